"""`sdcpu models`: what is here, what can be had, and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_json, print_note, print_table
from sdcpu.figures import size_text
from sdcpu.models import ModelKind

if TYPE_CHECKING:
    from sdcpu.models import Model


@click.command(
    short_help="List the models and what they need.",
    epilog="""\b
Examples:
  sdcpu models
  sdcpu models --kind lora
  sdcpu models --requirements""",
)
@click.option("--all", "with_parts", is_flag=True, help="List those that draw no pictures too.")
@click.option(
    "--kind",
    type=click.Choice(get_args(ModelKind)),
    help="List those of one kind; LoRAs in your own folder are among them.",
)
@click.option("--here", is_flag=True, help="List only what is on this disk.")
@click.option(
    "--requirements",
    is_flag=True,
    help="Say what each model needs on this machine: download, memory, time.",
)
@json_option
def models(
    with_parts: bool, kind: str | None, here: bool, requirements: bool, as_json: bool
) -> None:
    """List the models that can be named with -m, in 'sdcpu pull' and in 'sdcpu plan'."""
    from sdcpu.adapters import Adapters, described
    from sdcpu.catalog import Catalog
    from sdcpu.settings import load_settings

    settings = load_settings()
    catalog = Catalog(settings)
    own = [described(lora) for lora in Adapters(catalog, settings).own_loras()]
    known = [*catalog.registry.models.values(), *own]
    entries = [
        (model, catalog.is_here(model))
        for model in known
        if with_parts or model.kind == (kind or "image")
    ]
    if here:
        entries = [(model, is_here) for model, is_here in entries if is_here]
    if requirements:
        from sdcpu.cli.requirements import print_requirements

        drawing = [model for model, _ in entries if model.kind == "image"]
        print_requirements(drawing, as_json=as_json)
    elif as_json:
        print_json([{"here": is_here, "model": model} for model, is_here in entries])
    else:
        print_table(
            ("NAME", "HERE", "DOWNLOAD", "LICENCE", "GOOD FOR"),
            [_row(model, is_here) for model, is_here in entries],
        )
        left_out = len(known) - len(entries)
        if left_out and not here and kind is None:
            print_note(f"\n{left_out} more draw no pictures by themselves: sdcpu models --all")


def _row(model: Model, is_here: bool) -> tuple[str, ...]:
    download = "ships with sdcpu" if model.built_in else _download_text(model)
    licence = model.license + (" (gated)" if model.gated else "")
    return (model.name, "yes" if is_here else "-", download, licence, model.summary)


def _download_text(model: Model) -> str:
    """One size, or those of the smallest and the largest quantisation."""
    sizes = [variant.download_size for variant in model.variants or (model,)]
    if min(sizes) == max(sizes):
        return size_text(sizes[0]) if sizes[0] else "-"
    return f"{size_text(min(sizes))} to {size_text(max(sizes))}"
