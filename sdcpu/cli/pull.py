"""`sdcpu pull`: downloads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_json, print_note, print_result
from sdcpu.cli.plan_text import licence_text
from sdcpu.errors import NotEnoughMemoryError
from sdcpu.families import FAMILIES, Family
from sdcpu.figures import size_text

if TYPE_CHECKING:
    from sdcpu.generator import ImageGenerator
    from sdcpu.models import Model
    from sdcpu.plan import EnginePlan


@click.command(
    short_help="Download models.",
    epilog="""\b
Example:
  sdcpu pull sd-turbo taesd""",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--keep-original",
    is_flag=True,
    default=None,
    help="Keep the downloaded file of a model that is made smaller here.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the files' paths.")
@json_option
def pull(models: tuple[str, ...], keep_original: bool | None, quiet: bool, as_json: bool) -> None:
    """Download models, or what is missing of them, and print where their files are.

    Of a model that can be had in several quantisations, the one that 'sdcpu plan' would take; to
    have another, name it: flux1-schnell:q8_0. A download that was broken off goes on where it
    stopped.
    """
    from sdcpu.catalog import Catalog
    from sdcpu.cli.progress import open_display
    from sdcpu.quantization import quantize
    from sdcpu.settings import load_settings

    settings = load_settings()
    if keep_original is not None:
        settings = replace(settings, keep_original=keep_original)
    catalog = Catalog(settings)
    wanted = [catalog.find(name) for name in models]
    pulled = []
    for named in wanted:
        model, memory = _fitting(named)
        missing = [file for file, path in catalog.locate(model).items() if path is None]
        if missing and not model.built_in and not quiet:
            size = size_text(sum(file.size or 0 for file in missing))
            print_note(f"{model.name}: {size} to download (licence: {licence_text(model)}){memory}")
        with open_display(quiet=quiet) as display:
            for event in catalog.fetch(model, quantize):
                display.show(event)
        paths = [str(path) for path in catalog.locate(model).values()]
        pulled.append({"model": model.name, "files": paths})
        if not as_json:
            print_result("\n".join(paths))
    if as_json:
        print_json(pulled)


def _fitting(model: Model) -> tuple[Model, str]:
    """The model in the quantisation that fits, and in words the memory that it takes."""
    from sdcpu.generator import ImageGenerator
    from sdcpu.video_rules import frame_count

    family = FAMILIES.get(model.family)
    if model.kind not in ("image", "video") or family is None or model.built_in:
        return model, ""
    try:
        with ImageGenerator(model.name) as generator:
            plan = _plan(generator, family)
    except NotEnoughMemoryError as error:
        return (model.variants or (model,))[-1], f"\n- It will not fit now: {error.message}"
    needed, available = size_text(plan.memory_needed), size_text(plan.memory_available)
    size = f"{plan.request.width}x{plan.request.height}"
    size += f", {frame_count(plan.request)} frames" if family.video else ""
    why = f"\n- {plan.surprises[0]}" if model.variants else ""
    return plan.model, f", {needed} of {available} memory for {size}{why}"


def _plan(generator: ImageGenerator, family: Family) -> EnginePlan:
    """Plan what the model usually makes."""
    if not family.video:
        return generator.plan()
    from PIL import Image

    first = Image.new("RGB", (family.width, family.height))
    return generator.plan_video(init_image=first if family.starts_from_picture else None)
