"""`sdcpu builds`: builds of the engine for cards and for this processor."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_json, print_note, print_result, print_table
from sdcpu.figures import size_text

if TYPE_CHECKING:
    from sdcpu.builds.compilation import CompileProgress
    from sdcpu.settings import Settings

SECONDS_BETWEEN_LINES = 15
"""Where nobody watches."""


@click.group(
    invoke_without_command=True,
    short_help="Make and check builds of the engine for graphics cards.",
    epilog="""\b
Examples:
  sdcpu builds
  sdcpu builds install vulkan
  sdcpu builds prove""",
)
@json_option
@click.pass_context
def builds(ctx: click.Context, as_json: bool) -> None:
    """List the builds of the engine: which there are, which one draws, and what holds others up."""
    if ctx.invoked_subcommand is not None:
        return
    from sdcpu.builds.compilation import remove_unfinished
    from sdcpu.builds.states import build_states
    from sdcpu.settings import load_settings

    settings = load_settings()
    remove_unfinished(settings.builds_folder)
    states = build_states(settings)
    if as_json:
        print_json(states)
    else:
        rows = [(state.name, state.state, state.title, state.explanation) for state in states]
        print_table(("build", "state", "computes on", ""), rows)


@builds.command(short_help="Compile a build and prove it.")
@click.argument("name")
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="The engine's source: the binding's archive from PyPI, or its folder.",
)
@click.option("--jobs", type=click.IntRange(1), metavar="NUMBER", help="Compilers at once.")
@click.option(
    "--device", type=click.IntRange(0), metavar="NUMBER", help="Only that of several cards."
)
def install(name: str, source: Path | None, jobs: int | None, device: int | None) -> None:
    """Compile the build NAME for this machine, into sdcpu's own folder, and prove it."""
    from sdcpu.builds.compilation import compile_build
    from sdcpu.builds.recipes import find_recipe
    from sdcpu.builds.source import archive_path, fetch_source
    from sdcpu.builds.tools import find_tools
    from sdcpu.cli.progress import open_display
    from sdcpu.gpus import detect_gpus
    from sdcpu.hardware import detect_hardware
    from sdcpu.settings import child_environment

    settings = _settings(device)
    recipe = find_recipe(name)
    find_tools(recipe, child_environment())  # before anything is downloaded
    if source is None:
        with open_display() as display:
            for download in fetch_source(settings):
                display.show(download)
        source = archive_path(settings)
    compilation = compile_build(
        recipe, source, settings, detect_hardware(), detect_gpus(), jobs=jobs
    )
    with _ended_like_ctrl_c():
        for line in _told(compilation):
            print_note(line)
    _prove(name, settings, device)


@builds.command(short_help="Let a build draw and see whether it does it right.")
@click.argument("name", required=False)
@click.option(
    "--device", type=click.IntRange(0), metavar="NUMBER", help="Only that of several cards."
)
def prove(name: str | None, device: int | None) -> None:
    """Let the build NAME draw the demo picture again; without NAME, every build made here."""
    from sdcpu.builds.installed import own_build
    from sdcpu.builds.recipes import RECIPES
    from sdcpu.errors import BuildUnusableError

    settings = _settings(device)
    names = [name] if name else [own for own in RECIPES if own_build(own, settings)]
    if not names:
        print_note("No build was made here: 'sdcpu builds install NAME' makes one.")
    for each in names:
        try:
            _prove(each, settings, device)
        except BuildUnusableError as error:
            if name:
                raise
            print_note(f"{each}: {error.message}")  # the others are proved all the same


@builds.command(short_help="Delete a build.")
@click.argument("name")
def remove(name: str) -> None:
    """Delete the build NAME that was compiled here."""
    from sdcpu.builds.installed import remove_build

    freed = remove_build(name, _settings(None))
    print_result(f"{name} removed, {size_text(freed)} freed")


def _settings(device: int | None) -> Settings:
    from sdcpu.settings import load_settings

    settings = load_settings()
    return settings if device is None else replace(settings, device=device)


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end us as Ctrl-C does: with nothing left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _prove(name: str, settings: Settings, device: int | None) -> None:
    """Prove a build on the device that was named, or on every card."""
    from sdcpu.engine_choice import devices_to_prove
    from sdcpu.proving import prove_build

    numbers = (device,) if device is not None else devices_to_prove(name, settings)
    for number in numbers:
        where = f"{name} on device {number}" if len(numbers) > 1 else name
        print_note(f"{where}: drawing the demo picture with it and with the processor")
        proof = prove_build(name, replace(settings, device=number))
        print_result(f"{where}: {proof.verdict}. {proof.facts}")


def _told(compilation: Iterator[CompileProgress]) -> Iterator[str]:
    """Lines about the progress: on a terminal each in place of the last, elsewhere a few."""
    import time

    shown, shown_at = "", 0.0
    for event in compilation:
        figures = f" {event.done} of {event.total}" if event.total else ""
        ended = event.total and event.done == event.total
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{event.build}: {event.stage}{figures}", err=True, nl=bool(ended))
        elif event.stage != shown or ended or time.monotonic() - shown_at > SECONDS_BETWEEN_LINES:
            shown, shown_at = event.stage, time.monotonic()
            yield f"{event.build}: {event.stage}{figures}"
