"""`sdcpu video`: a video from a prompt."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from sdcpu.cli.options import (
    OUTPUT_FILE,
    STARTING_POINT,
    VIDEO,
    Option,
    SectionedCommand,
    json_option,
    machine_from,
    machine_options,
)
from sdcpu.cli.output import print_json
from sdcpu.cli.video_options import video_from, video_options


@click.command(
    cls=SectionedCommand,
    short_help="Make a video from a prompt.",
    epilog="""\b
Examples:
  sdcpu video "waves on a beach at dusk"
  sdcpu video "the boat sails away" --init boat.jpg -o boat.mp4
  sdcpu video "a cat yawns" --frames 17 -W 480 -H 320 -o cat.webp
  sdcpu video "a cat yawns" -o frames/""",
)
@click.argument("prompt", required=False)
@click.option(
    "-m",
    "--model",
    cls=Option,
    heading=VIDEO,
    metavar="MODEL",
    help="A video model from 'sdcpu models --all', or a file. Without it, the smallest.",
)
@video_options
@click.option(
    "--from",
    "from_video",
    cls=Option,
    heading=STARTING_POINT,
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="Make this video of sdcpu again. Options given beside it win.",
)
@machine_options
@click.option(
    "-o",
    "--output",
    cls=Option,
    type=OUTPUT_FILE,
    metavar="FILE",
    help="A .mp4, .webm, .webp or .gif file; a name without an ending is a folder of frames.",
)
@click.option("--force", cls=Option, is_flag=True, help="Replace files that are there already.")
@click.option(
    "--preview",
    cls=Option,
    is_flag=True,
    help="Show the middle frame in the terminal while it is drawn.",
)
@click.option(
    "--report",
    cls=Option,
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Write what happened as JSON: machine, plan, seconds, memory.",
)
@click.option("-q", "--quiet", cls=Option, is_flag=True, help="Print only the video's path.")
@click.option("-v", "--verbose", cls=Option, is_flag=True, help="Say all reasons of the plan.")
@json_option
def video(  # noqa: PLR0917 - click passes them by name
    prompt: str | None,
    model: str | None,
    from_video: Path | None,
    output: Path | None,
    force: bool,
    preview: bool,
    report: Path | None,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Make a video from PROMPT and print its path.

    Before it starts, it says what it will download, how much memory and time it needs, and why.
    """
    from sdcpu.cli.drawing import Drawing
    from sdcpu.cli.outputs import VideoOutput, check_file
    from sdcpu.generator import ImageGenerator
    from sdcpu.videos import VideoRequest

    request = video_from(values)
    if from_video is not None:
        from sdcpu.jobs import request_fields
        from sdcpu.video_files import read_video_recipe

        recipe = read_video_recipe(from_video)
        request = request_fields(recipe, VideoRequest) | request
        model = model or recipe.get("model")
    if prompt is not None:
        request["prompt"] = prompt
    if "prompt" not in request:
        raise click.UsageError('What should be seen? sdcpu video "waves on a beach at dusk"')
    if preview:
        request["preview"] = "auto"
    VideoRequest(**request)  # what cannot be right is said before anything is looked up
    outputs = VideoOutput(output, force=force)
    if report is not None:
        check_file(report, force=force)
    drawing = Drawing(
        outputs=outputs,
        preview_folder=None,
        show_pictures=preview,
        print_paths=not as_json,
        quiet=quiet,
        verbose=verbose,
    )
    with (
        ImageGenerator(model, **machine_from(values)) as generator,
        # Leaving early closes the events first, which cancels the video.
        closing(generator.stream_video(**request)) as events,
    ):
        if report is None:
            drawing.follow(events)
        else:
            drawing.follow_and_report(events, report)
    if as_json:
        print_json({"plan": drawing.plan, "videos": drawing.pictures})
