"""What an agent is told of the models that it can choose from."""

from __future__ import annotations

from dataclasses import dataclass

from sdcpu.catalog import Catalog
from sdcpu.errors import NotEnoughMemoryError, SdcpuError
from sdcpu.families import FAMILIES
from sdcpu.generator import ImageGenerator
from sdcpu.models import Model
from sdcpu.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """A model, in plain values."""

    name: str
    good_for: str
    here: bool
    """Whether nothing would have to be downloaded."""
    download_bytes: int
    """Of all its files; 0 for what ships with sdcpu."""
    license: str
    width: int
    """Pixels, of the pictures that it makes best."""
    height: int
    steps: int
    edits_by_prompt: bool
    """Whether it changes a picture as the prompt says, instead of painting over it."""
    needs_picture: bool
    """Whether it draws only with a picture to start from."""
    fits_memory: bool | None
    """Whether this machine has the memory for it now; None where it is not here."""
    seconds: float | None
    """That a picture takes on this machine, once the model is loaded; None: not known yet."""


def known_models(settings: Settings, *, only_here: bool = False) -> list[KnownModel]:
    """List the models that draw pictures, in the order of `sdcpu models`.

    >>> from sdcpu.settings import load_settings
    >>> known_models(load_settings())[0].name
    'demo'
    """
    catalog = Catalog(settings)
    models = [model for model in catalog.registry.models.values() if model.kind == "image"]
    return [
        _described(model, catalog.is_here(model), settings)
        for model in models
        if not only_here or catalog.is_here(model)
    ]


def _described(model: Model, here: bool, settings: Settings) -> KnownModel:
    family = FAMILIES.get(model.family)
    fits, seconds = _on_this_machine(model, settings) if here else (None, None)
    return KnownModel(
        name=model.name,
        good_for=model.summary,
        here=here,
        download_bytes=model.download_size,
        license=model.license,
        width=model.defaults.width,
        height=model.defaults.height,
        steps=model.defaults.steps,
        edits_by_prompt=family is not None and family.edits,
        needs_picture=family is not None and family.starts_from_picture,
        fits_memory=fits,
        seconds=seconds,
    )


def _on_this_machine(model: Model, settings: Settings) -> tuple[bool | None, float | None]:
    """Whether it fits the memory, and the seconds for a picture."""
    try:
        with ImageGenerator(model.name, settings=settings) as generator:
            plan = generator.plan()
    except NotEnoughMemoryError:
        return False, None
    except SdcpuError:  # such as a damaged file; drawing with it will say so
        return None, None
    return True, plan.seconds_expected
