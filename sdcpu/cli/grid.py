"""`sdcpu grid`: pictures side by side that differ in one or two things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdcpu.cli.options import (
    OUTPUT_FILE,
    PICTURE,
    PROMPT,
    Option,
    SectionedCommand,
    json_option,
    machine_from,
    machine_options,
    request_from,
    request_options,
)
from sdcpu.cli.output import print_json, print_result
from sdcpu.cli.prompt_options import folders_from, styles_from, word_options

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.generator import Event, ImageGenerator
    from sdcpu.grid import Grid


@click.command(
    cls=SectionedCommand,
    short_help="Compare pictures that differ in one or two things.",
    epilog="""\b
Examples:
  sdcpu grid "a red circle" --x steps=1,2,4 --y seed=1,2,3 -o grid.png
  sdcpu grid "a {red|green} {circle|star}"
  sdcpu grid "a red circle" --x words=red,green,blue --y model=demo,demo-base""",
)
@click.argument("prompt")
@click.option(
    "--x",
    cls=Option,
    heading=PROMPT,
    metavar="NAME=A,B,…",
    help="What differs along the columns: any field of a request, such as steps, seed, cfg_scale, "
    "sampler or styles; model; words, of which the first stands in the prompt; lora_weight.",
)
@click.option("--y", cls=Option, heading=PROMPT, metavar="NAME=A,B,…", help="… and along the rows.")
@click.option(
    "-m",
    "--model",
    cls=Option,
    heading=PICTURE,
    metavar="MODEL",
    help="A name from 'sdcpu models', a file, a folder, or owner/repository/file on the hub.",
)
@word_options
@request_options
@machine_options
@click.option(
    "-o",
    "--output",
    cls=Option,
    type=OUTPUT_FILE,
    metavar="FILE",
    help="The grid, a .png, .jpg or .webp file; its pictures are numbered beside it.",
)
@click.option("--force", cls=Option, is_flag=True, help="Replace files that are there already.")
@click.option("-q", "--quiet", cls=Option, is_flag=True, help="Print only the pictures' paths.")
@json_option
def grid(  # noqa: PLR0917 - click passes them by name
    prompt: str,
    x: str | None,
    y: str | None,
    model: str | None,
    output: Path | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Draw PROMPT with different values, and put the pictures into one with labels.

    Alternatives in the prompt, {red|green}, take the sides that --x and --y leave free.
    All pictures have the same seed, unless it is what differs.
    """
    from sdcpu.cli.drawing import Drawing
    from sdcpu.cli.outputs import Outputs
    from sdcpu.generator import ImageGenerator
    from sdcpu.grid import grid_picture, make_grid, stream_grid
    from sdcpu.picture_names import slug, unused_path
    from sdcpu.recipe import check_output, save_picture

    request = styles_from(values) | request_from(values)
    plan = make_grid(prompt, x=x, y=y, model=model, wildcards=folders_from(values), **request)
    target = output or unused_path(Path(), f"{slug(prompt)}-grid", ".png")
    check_output(target, overwrite=force)
    drawing = Drawing(
        outputs=Outputs(target, count=len(plan.cells), force=force),
        preview_folder=None,
        show_pictures=False,
        print_paths=not as_json,
        quiet=quiet,
        verbose=False,
    )
    machine = machine_from(values)
    pictures: dict[int, Image] = {}

    def open_generator(name: str | None) -> ImageGenerator:
        return ImageGenerator(name, **machine)

    with closing(stream_grid(plan, open_generator)) as events:
        drawing.follow(_kept(events, pictures, plan))
    save_picture(grid_picture(plan, pictures), target, None, overwrite=force)
    if as_json:
        print_json({"grid": str(target.absolute()), "pictures": drawing.pictures})
    else:
        print_result(str(target))


def _kept(events: Iterator[Event], pictures: dict[int, Image], plan: Grid) -> Iterator[Event]:
    """Keep copies of the pictures that come by, small enough to keep many."""
    from sdcpu.grid import small_copy
    from sdcpu.images import GeneratedImage

    for event in events:
        if isinstance(event, GeneratedImage):
            pictures[event.index] = small_copy(event.image, len(plan.cells))
        yield event
