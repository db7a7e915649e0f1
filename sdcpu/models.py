"""What a model is: its files, where they come from, and what suits it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from sdcpu.families import FAMILIES, FileRole

ModelKind = Literal["image", "video", "upscaler", "control_net", "tiny_decoder", "lora", "part"]
"""What a model is for; "part" is a text encoder or VAE that several models share."""
ModelSource = Literal["sdcpu", "user", "file", "hub"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """One file of a model: what it is for and where it comes from."""

    role: FileRole
    repository: str | None = None
    """"owner/name" on the hub; None: the file comes from `url`, from disk or is made here."""
    path: str
    """Path inside the repository, with forward slashes; else the file's name."""
    size: int | None = None
    """Bytes; None while unknown."""
    size_is_approximate: bool = False
    sha256: str | None = None
    """What the content must hash to, 64 hexadecimal digits; None: nobody pinned it, so the hub's
    own checksum of the file is checked."""
    revision: str = "main"
    url: str | None = None
    """A plain https address, for files that are not on the hub."""
    license: str | None = None
    """None: unknown."""
    gated: bool = False
    """Whether the hub hands it out only after its licence was accepted."""
    quantization: str = ""
    """What tells it from other files of the same role, such as "q8_0"; "" where it is the only."""
    quantize: str | None = None
    """A tensor type such as "q8_0": the file is quantised here after the download."""
    weight: float = 1.0
    """How strongly a LoRA is applied."""
    built_in: bool = False
    """Made here from what ships with the package (`sdcpu.demo`); never downloaded."""
    local_path: Path | None = None
    """The file itself, where it is known to be on this disk."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What suits a model when the request does not say otherwise."""

    width: int = 512
    """Pixels."""
    height: int = 512
    steps: int = 20
    cfg_scale: float = 7.0
    guidance: float = 3.5
    """Distilled guidance; without effect outside FLUX."""
    sampler: str = "euler_a"
    """A name of `sdcpu.sampling.SAMPLERS`."""
    scheduler: str = "discrete"
    """A name of `sdcpu.sampling.SCHEDULERS`."""
    flow_shift: float | None = None
    """Shift of flow-matching models; None: the engine's own."""
    clip_skip: int | None = None


def family_defaults(family: str) -> Defaults:
    """What suits a model of a family of which nothing else is known.

    >>> family_defaults("sdxl").width
    1024
    """
    facts = FAMILIES.get(family)
    if facts is None:
        return Defaults()
    return Defaults(
        width=facts.width,
        height=facts.height,
        steps=facts.steps,
        cfg_scale=facts.cfg_scale,
        guidance=facts.guidance,
        sampler=facts.sampler,
        flow_shift=facts.flow_shift,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model: its files and what suits it."""

    name: str
    summary: str
    """One line: what it is good for."""
    kind: ModelKind = "image"
    family: str
    """A name of `sdcpu.families.FAMILIES`; "" where only the downloaded header will tell."""
    license: str = "unknown"
    gated: bool = False
    """Whether any file of it is gated."""
    files: tuple[ModelFile, ...]
    """In the order in which they are downloaded; files of other entries it uses included."""
    defaults: Defaults = Defaults()
    draft: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What quality "draft" changes: keys of `Defaults`."""
    best: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What quality "best" changes."""
    source: ModelSource = "sdcpu"
    """Where the entry comes from."""
    recommended_rank: int | None = None
    """1 is tried first when no model is named and the memory allows it; None: never by itself."""
    notes: str = ""
    quantization: str = ""
    """The quantisation that its files are in; "" where it can be had in one only."""
    variants: tuple[Model, ...] = ()
    """The same model in each quantisation, the largest first; empty where there is one only."""

    @property
    def all_files(self) -> tuple[ModelFile, ...]:
        """The files of every variant, each once."""
        files = [*self.files, *(file for variant in self.variants for file in variant.files)]
        return tuple(dict.fromkeys(files))

    @property
    def built_in(self) -> bool:
        """Whether it ships with the package, so that nothing is downloaded."""
        return all(file.built_in for file in self.files)

    @property
    def download_size(self) -> int:
        """Bytes to download when nothing of it is here; files of unknown size are not counted."""
        return sum(
            file.size or 0 for file in self.files if not file.built_in and file.local_path is None
        )


def in_variants(model: Model) -> Model:
    """Sort alternative files of a model into its variants.

    Each quantisation of its first file makes a variant. A variant takes of every role the file in
    its own quantisation where there is one, else the first. The first is what the model itself is.
    """
    first = model.files[0].role
    labels = [file.quantization for file in model.files if file.role is first]
    if len(labels) < 2 or first is FileRole.LORA:
        return replace(model, files=_files_in(model, labels[0]))
    variants = [
        replace(
            model,
            name=f"{model.name}:{label}",
            quantization=label,
            files=_files_in(model, label),
        )
        for label in labels
    ]
    largest_first = sorted(variants, key=lambda variant: -bits_of(variant.quantization))
    own = replace(variants[0], name=model.name)
    return replace(own, variants=tuple(largest_first))


def bits_of(quantization: str) -> int:
    """The bits of a value, as its name says.

    >>> bits_of("q4_k"), bits_of("f16")
    (4, 16)
    """
    digits = re.search("[0-9]+", quantization)
    return int(digits[0]) if digits else 0


def _files_in(model: Model, quantization: str) -> tuple[ModelFile, ...]:
    taken: dict[object, ModelFile] = {}
    for file in model.files:
        place = file if file.role is FileRole.LORA else file.role
        if place not in taken or file.quantization == quantization != taken[place].quantization:
            taken[place] = file
    return tuple(taken.values())
