"""`sdcpu plan`: how a picture would be made, and why."""

from __future__ import annotations

from typing import Any

import click

from sdcpu.cli.options import (
    PICTURE,
    Option,
    SectionedCommand,
    json_option,
    machine_from,
    machine_options,
    request_from,
    request_options,
)
from sdcpu.cli.output import print_fields, print_json


@click.command(
    cls=SectionedCommand,
    short_help="Say how a picture would be made, and why.",
    epilog="""\b
Examples:
  sdcpu plan
  sdcpu plan wan21-t2v-1_3b --frames 17
  sdcpu plan sd15-q8_0 -W 768 -H 768 --memory-limit "4 GiB\"""",
)
@click.argument("model", required=False)
@request_options
@click.option(
    "--frames",
    cls=Option,
    heading=PICTURE,
    type=int,
    metavar="NUMBER",
    help="How many frames, with models that make videos.",
)
@machine_options
@json_option
def plan(model: str | None, frames: int | None, as_json: bool, **values: Any) -> None:
    """Say how MODEL would make a picture or video, and why; nothing is downloaded or drawn.

    Without MODEL, it says which model would be taken.
    """
    from sdcpu.cli.plan_text import plan_fields
    from sdcpu.generator import ImageGenerator

    request = request_from(values)
    with ImageGenerator(model, **machine_from(values)) as generator:
        if frames is None and not generator.makes_videos:
            made = generator.plan(**request)
        else:
            made = generator.plan_video(frames=frames, **request)
    if as_json:
        print_json(made)
    else:
        print_fields(plan_fields(made))
