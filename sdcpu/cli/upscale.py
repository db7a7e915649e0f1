"""`sdcpu upscale`: larger pictures."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from sdcpu.cli.options import (
    OUTPUT_FILE,
    PICTURE,
    Option,
    SectionedCommand,
    json_option,
    machine_from,
    machine_options,
)
from sdcpu.cli.output import print_json, print_note, print_result
from sdcpu.figures import size_text


@click.command(
    cls=SectionedCommand,
    short_help="Make a picture 2 or 4 times as large.",
    epilog="""\b
Examples:
  sdcpu upscale lighthouse.png
  sdcpu upscale photo.jpg -o large.jpg --scale 2
  sdcpu upscale comic.png --upscaler realesrgan-x4plus-anime""",
)
@click.argument("picture", metavar="IMAGE", type=click.Path(path_type=Path))
@click.option(
    "-m",
    "--model",
    "--upscaler",
    "upscaler",
    cls=Option,
    heading=PICTURE,
    metavar="NAME",
    help="An upscaler of 'sdcpu models --all', or an ESRGAN file. Without it, realesrgan-x4plus.",
)
@click.option(
    "--scale",
    cls=Option,
    heading=PICTURE,
    type=click.Choice(["2", "4"]),
    default="4",
    show_default=True,
    help="How many times as wide and high.",
)
@machine_options
@click.option(
    "-o",
    "--output",
    cls=Option,
    type=OUTPUT_FILE,
    metavar="FILE",
    help="A .png, .jpg or .webp file. Without it, the picture's name with -x2 or -x4.",
)
@click.option("--force", cls=Option, is_flag=True, help="Replace a file that is there already.")
@click.option("-q", "--quiet", cls=Option, is_flag=True, help="Print only the picture's path.")
@json_option
def upscale(  # noqa: PLR0917 - click passes them by name
    picture: Path,
    upscaler: str | None,
    scale: str,
    output: Path | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Make IMAGE larger with a network that knows what details look like; print the new path."""
    from sdcpu.cli.progress import open_display
    from sdcpu.recipe import check_output
    from sdcpu.upscaler import UpscaledImage, UpscalePlan, Upscaler

    output = output or picture.with_name(f"{picture.stem}-x{scale}.png")
    check_output(output, overwrite=force)
    with (
        Upscaler(upscaler, **machine_from(values)) as opened,
        closing(opened.stream(picture, scale=int(scale))) as events,
        open_display(quiet=quiet) as display,
    ):
        announced = False
        for event in events:
            if isinstance(event, UpscalePlan):
                if not (quiet or announced):
                    with display.aside():
                        _announce(event)
                announced = True
            elif isinstance(event, UpscaledImage):
                event.save(output, overwrite=force)
                made = event
            else:
                display.show(event)
    if as_json:
        print_json(
            {
                "path": output.absolute(),
                "upscaler": made.upscaler,
                "width": made.width,
                "height": made.height,
                "seconds": round(made.seconds, 3),
            }
        )
    else:
        print_result(str(output))


def _announce(plan: Any) -> None:
    """Say what is going to be done and what it needs."""
    from sdcpu.measurements import format_duration

    width, height = plan.enlargement.size
    time = plan.seconds_expected
    print_note(
        f"{plan.model.name}: {width}x{height}, {plan.threads} threads, "
        f"{size_text(plan.memory_needed)} of {size_text(plan.memory_available)} memory, "
        f"{'time not known yet' if time is None else format_duration(time)}"
    )
    if plan.download_size:
        print_note(
            f"to download first: {size_text(plan.download_size)} (licence: {plan.model.license})"
        )
