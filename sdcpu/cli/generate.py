"""`sdcpu generate`: pictures from a prompt."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdcpu.cli.options import (
    OUTPUT_FILE,
    PICTURE,
    PICTURE_FILE,
    STARTING_POINT,
    Option,
    SectionedCommand,
    json_option,
    machine_options,
    request_from,
    request_options,
)
from sdcpu.cli.output import print_json
from sdcpu.cli.prompt_options import prompt_options, prompts_from, styles_from
from sdcpu.cli.remote_options import generator_from, remote_options

if TYPE_CHECKING:
    from sdcpu.cli.outputs import Outputs

LONGEST_PROMPT_READ = 1_000_000
"""Characters taken from standard input; more is surely not a prompt."""


@click.command(
    cls=SectionedCommand,
    short_help="Make pictures from a prompt.",
    epilog="""\b
Examples:
  sdcpu generate "a lighthouse at dawn"
  sdcpu generate "a red bicycle" -m sd-turbo -o bicycle.png --seed 42
  sdcpu generate "the same in winter" --init street.jpg --strength 0.6
  sdcpu generate "a lighthouse at dawn" --preview
  sdcpu generate --from bicycle.png --steps 8
  sdcpu generate "a {red|green} {car|boat}" -o pictures
  sdcpu generate - < prompt.txt""",
)
@click.argument("prompt", required=False)
@click.option(
    "-m",
    "--model",
    cls=Option,
    heading=PICTURE,
    metavar="MODEL",
    help="A name from 'sdcpu models', a file, a folder, or owner/repository/file on the hub.",
)
@prompt_options
@request_options
@click.option(
    "--from",
    "from_picture",
    cls=Option,
    heading=STARTING_POINT,
    type=PICTURE_FILE,
    metavar="FILE",
    help="Make this picture of sdcpu again. Options given beside it win.",
)
@machine_options
@remote_options
@click.option(
    "-o",
    "--output",
    cls=Option,
    type=OUTPUT_FILE,
    metavar="FILE",
    help="A .png, .jpg or .webp file, or a folder. Without it, a name made from the prompt.",
)
@click.option("--force", cls=Option, is_flag=True, help="Replace files that are there already.")
@click.option(
    "--preview",
    cls=Option,
    is_flag=True,
    help="Show the picture in the terminal while it is drawn, and when it is done.",
)
@click.option(
    "--preview-dir",
    cls=Option,
    type=OUTPUT_FILE,
    metavar="DIR",
    help="Keep every unfinished picture in this folder.",
)
@click.option(
    "--report",
    cls=Option,
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Write what happened as JSON: machine, plan, seconds, memory.",
)
@click.option("-q", "--quiet", cls=Option, is_flag=True, help="Print only the pictures' paths.")
@click.option("-v", "--verbose", cls=Option, is_flag=True, help="Say all reasons of the plan.")
@json_option
def generate(  # noqa: PLR0917 - click passes them by name
    prompt: str | None,
    from_picture: Path | None,
    model: str | None,
    output: Path | None,
    force: bool,
    preview: bool,
    preview_dir: Path | None,
    report: Path | None,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Make pictures from PROMPT and print their paths.

    Of alternatives such as {red|green} every one is drawn; __animal__ stands for all lines of
    animal.txt, a wildcard file.

    Before it starts, it says what it will download, how much memory and time it needs, and why.
    """
    from sdcpu.cli.drawing import Drawing
    from sdcpu.cli.outputs import made_folder
    from sdcpu.series import stream_series

    styles = styles_from(values)
    request = styles | request_from(values)
    if from_picture is not None:
        from sdcpu.jobs import request_fields
        from sdcpu.recipe import read_recipe
        from sdcpu.styles import words_without_styles

        recipe = read_recipe(from_picture)
        # Other styles take the place of those that the picture has.
        request = request_fields(recipe) | words_without_styles(styles and recipe) | request
        model = model or recipe.get("model")
    if prompt is None and "prompt" not in request:
        raise click.UsageError('What should be drawn? sdcpu generate "a lighthouse at dawn"')
    if preview or preview_dir:
        request["preview"] = "auto"
    # A recipe's prompt is one that was drawn: nothing in it is open any more.
    prompts = prompts_from(values, None if prompt is None else _prompt(prompt), request)
    requests = [request | {"prompt": each} for each in prompts]
    drawing = Drawing(
        outputs=_checked_outputs(requests, output, report, force=force),
        preview_folder=made_folder(preview_dir) if preview_dir else None,
        show_pictures=preview,
        print_paths=not as_json,
        quiet=quiet,
        verbose=verbose,
    )
    with (
        generator_from(values, model, requests) as generator,
        # Leaving early closes the events first, which cancels the picture.
        closing(stream_series(generator, requests)) as events,
    ):
        if report is None:
            drawing.follow(events)
        else:
            drawing.follow_and_report(events, report)
    if as_json:
        print_json({"plan": drawing.plan, "pictures": drawing.pictures})


def _prompt(given: str) -> str:
    """The prompt itself, or what comes from standard input."""
    if given != "-":
        return given
    try:
        return sys.stdin.read(LONGEST_PROMPT_READ).strip()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"Standard input is not text: {error}.") from error


def _checked_outputs(
    requests: list[dict[str, Any]],
    output: Path | None,
    report: Path | None,
    *,
    force: bool,
) -> Outputs:
    """Check the requests and everything that will be written, before any work is done."""
    from sdcpu.cli.outputs import Outputs, check_file
    from sdcpu.images import ImageRequest

    pictures = sum(ImageRequest(**request).count for request in requests)
    outputs = Outputs(output, count=pictures, force=force)
    if report is not None:
        check_file(report, force=force)
    return outputs
