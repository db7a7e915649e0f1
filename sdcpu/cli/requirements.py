"""What models need on this machine, as a table of `sdcpu models --requirements`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdcpu.cli.output import print_json, print_note, print_table
from sdcpu.errors import NotEnoughMemoryError
from sdcpu.figures import size_text
from sdcpu.measurements import format_duration

if TYPE_CHECKING:
    from sdcpu.models import Model

UNKNOWN = "?"
SIDES = (512, 1024)
"""Widths and heights of the pictures that are planned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """What one picture of one size needs."""

    model: str
    """Its name, with the quantisation that was taken."""
    download: int
    """Bytes of all its files."""
    side: int
    """Pixels, width and height."""
    memory: int | None
    """Bytes; None where it is not known."""
    seconds: float | None
    """None where nothing like it was measured on this machine."""
    fits: bool
    """Whether this machine has that memory now."""


def print_requirements(models: Sequence[Model], *, as_json: bool) -> None:
    """Plan a picture of each size with each model and print what they need."""
    planned = [(model, [_requirement(model, side) for side in SIDES]) for model in models]
    if as_json:
        print_json(
            [
                {"model": model.name, "download": model.download_size, "pictures": requirements}
                for model, requirements in planned
            ]
        )
        return
    rows = [
        (
            requirements[0].model,
            _download_text(model, requirements[0].download),
            *(_memory_text(requirement) for requirement in requirements),
            *(_time_text(requirement) for requirement in requirements),
        )
        for model, requirements in planned
    ]
    headings = ("NAME", "DOWNLOAD", *(f"MEMORY {s}" for s in SIDES), *(f"TIME {s}" for s in SIDES))
    print_table(headings, rows)
    print_note("\n! does not fit the memory that is free now; ? not known before the first picture")


def _requirement(model: Model, side: int) -> Requirement:
    from sdcpu.generator import ImageGenerator

    try:
        with ImageGenerator(model.name) as generator:
            plan = generator.plan(width=side, height=side)
    except NotEnoughMemoryError as error:
        memory = error.details.get("memory_needed")
        needed = memory if isinstance(memory, int) else None
        smallest = (model.variants or (model,))[-1]
        return Requirement(
            model=smallest.name,
            download=smallest.download_size,
            side=side,
            memory=needed,
            seconds=None,
            fits=False,
        )
    return Requirement(
        model=plan.model.name,
        download=plan.model.download_size,
        side=side,
        memory=plan.memory_needed,
        seconds=plan.seconds_expected,
        fits=True,
    )


def _download_text(model: Model, size: int) -> str:
    if model.built_in:
        return "-"
    return size_text(size) if size else UNKNOWN


def _memory_text(requirement: Requirement) -> str:
    memory = UNKNOWN if requirement.memory is None else size_text(requirement.memory)
    return memory + ("" if requirement.fits else " !")


def _time_text(requirement: Requirement) -> str:
    return UNKNOWN if requirement.seconds is None else format_duration(requirement.seconds)
