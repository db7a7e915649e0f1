"""The models that sdcpu knows by name, and how to look one up."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdcpu.errors import UnknownModelError
from sdcpu.families import FileRole
from sdcpu.models import Defaults, Model, ModelFile, ModelKind, ModelSource
from sdcpu.models_file import read_models

__all__ = [
    "Defaults",
    "FileRole",
    "Model",
    "ModelFile",
    "ModelKind",
    "ModelSource",
    "Registry",
    "load_registry",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    """All models that are known by name."""

    models: Mapping[str, Model]
    """In the order of models.toml: ours, then those only the user has."""

    def find(self, name: str) -> Model:
        """Look a model up by its name, with ":" and a quantisation or without; any capitals.

        Raises:
            UnknownModelError: its hint names those that are meant, perhaps.

        >>> load_registry(None).find("demo").name
        'demo'
        """
        base, colon, quantization = name.lower().partition(":")
        model = self.models.get(base)
        if model is not None and not colon:
            return model
        if model is not None:
            return _variant(model, quantization)
        shown = name if len(name) <= 80 else f"{name[:79]}…"
        meant = [known for known in self.models if name and name.lower() in known]
        close = difflib.get_close_matches(name.lower(), self.models, n=3, cutoff=0.5)
        guesses = list(dict.fromkeys([*meant, *close]))[:3]
        hint = f"Did you mean {' or '.join(guesses)}? " if guesses else ""
        raise UnknownModelError(
            f"There is no model named {shown!r}.",
            hint=f"{hint}`sdcpu models` lists all; a path to a GGUF or safetensors file works too.",
        )

    def pickle_sha256s(self) -> frozenset[str]:
        """The sha256 of every file that is pinned: only these may be pickles."""
        files = (file for model in self.models.values() for file in model.all_files)
        return frozenset(file.sha256 for file in files if file.sha256)


def _variant(model: Model, quantization: str) -> Model:
    for variant in model.variants:
        if variant.quantization == quantization:
            return variant
    known = ", ".join(variant.name for variant in model.variants)
    raise UnknownModelError(
        f"There is no {model.name} in {quantization[:80]!r}.",
        hint=f"There are {known}." if known else f"It can be had in one way only: {model.name}.",
    )


def load_registry(models_file: Path | None) -> Registry:
    """Read our models.toml and merge the user's over it, which may be missing.

    A user's entry with a known name changes only the keys it gives; another name adds a model.

    Raises:
        RegistryError: a mistake in a file; it names the file, the entry and the key.

    >>> "lcm-dreamshaper-v7" in load_registry(None).models
    True
    """
    return Registry(models=read_models(models_file))
