"""`sdcpu batch`: the pictures that a file asks for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sdcpu.cli.options import (
    MACHINE,
    PICTURE,
    PICTURE_FILE,
    Option,
    SectionedCommand,
    json_option,
    machine_from,
    machine_options,
    request_from,
    request_options,
)
from sdcpu.cli.output import print_json, print_note, print_result
from sdcpu.cli.prompt_options import folders_from, prompt_options, styles_from
from sdcpu.errors import InvalidRequestError, SdcpuError

if TYPE_CHECKING:
    from sdcpu.batch import Batch, BatchContents, BatchEvent, BatchSummary, BrokenLine, LineProgress
    from sdcpu.cli.progress import Display
    from sdcpu.events import Progress

SOME_FAILED = 1
"""The exit code when lines could not be drawn."""


def _workers(_ctx: click.Context, _option: click.Parameter, text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number nor auto.") from None


@click.command(
    cls=SectionedCommand,
    short_help="Make the pictures that a file asks for.",
    epilog="""\b
Examples:
  sdcpu batch prompts.txt -o pictures
  sdcpu batch prompts.txt -o pictures --resume
  sdcpu batch prompts.txt -m demo --steps 4 -n 2 --check""",
)
@click.argument("file", type=PICTURE_FILE)
@click.option(
    "-m",
    "--model",
    cls=Option,
    heading=PICTURE,
    metavar="MODEL",
    help="For lines that name none: see 'sdcpu models'.",
)
@prompt_options
@request_options
@machine_options
@click.option(
    "-o",
    "--output",
    cls=Option,
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="FOLDER",
    help="Where the pictures go. Without it, here.",
)
@click.option("--resume", cls=Option, is_flag=True, help="Draw only what is not drawn yet.")
@click.option("--force", cls=Option, is_flag=True, help="Replace files that are there already.")
@click.option(
    "--keep-going", cls=Option, is_flag=True, help="Draw the others when lines are broken."
)
@click.option(
    "--workers",
    cls=Option,
    heading=MACHINE,
    default="auto",
    callback=_workers,
    metavar="NUMBER|auto",
    help="Engines side by side, which share threads and memory; 'sdcpu bench --workers' finds out "
    "how many are best here. Without that, one, or one for each card.",
)
@click.option(
    "--dask",
    "cluster",
    cls=Option,
    heading=MACHINE,
    metavar="ADDRESS",
    help="Let the workers of a Dask cluster draw: the address of its scheduler, or its file.",
)
@click.option(
    "--shared-cache",
    cls=Option,
    heading=MACHINE,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="A folder that all of them see, for models. Without it, each has its own.",
)
@click.option(
    "--check", "check_only", cls=Option, is_flag=True, help="Read the file, draw nothing."
)
@click.option("-q", "--quiet", cls=Option, is_flag=True, help="Print only the pictures' paths.")
@json_option
def batch(  # noqa: PLR0917 - click passes them by name
    file: Path,
    model: str | None,
    output: Path,
    resume: bool,
    force: bool,
    keep_going: bool,
    check_only: bool,
    workers: int | Literal["auto"],
    cluster: str | None,
    shared_cache: Path | None,
    quiet: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Make the pictures that FILE asks for, and print their paths.

    FILE is text with a prompt a line, a .csv with a header of fields such as prompt,seed,steps, or
    a .jsonl with an object a line. A line may also name its model and its output. Options hold for
    lines that do not say otherwise.

    The whole file is checked first. A line that fails does not stop the others.
    """
    from sdcpu.batch import Batch

    styles = styles_from(values)
    job = Batch(
        file,
        output,
        model=model,
        defaults=styles | request_from(values),
        wildcards=folders_from(values),
        sample=values.pop("sample"),
        resume=resume,
        force=force,
        workers=workers,
        cluster=cluster,
        shared_cache=shared_cache,
        **machine_from(values),
    )
    contents = job.check()
    _say_contents(contents, keep_going=keep_going, quiet=quiet)
    if check_only:
        if as_json:
            print_json(contents)
        return SOME_FAILED if contents.broken else 0
    if contents.broken and not keep_going:
        raise InvalidRequestError(
            f"{_counted(contents.broken_count, 'line')} of {file} cannot be drawn.",
            hint="Correct them, or draw the others with --keep-going.",
        )
    summary = _Run(job, contents, quiet=quiet, print_paths=not as_json).follow()
    if as_json:
        print_json({"summary": summary, "lines": _records(job)})
    return SOME_FAILED if summary.failed else 0


class _Run:
    """One run of the command, from the first line to the summary."""

    def __init__(
        self, job: Batch, contents: BatchContents, *, quiet: bool, print_paths: bool
    ) -> None:
        self._job, self._contents = job, contents
        self._quiet, self._print_paths = quiet, print_paths
        self._began = time.monotonic()
        self._pictures = 0
        self._finished_at = 0, self._began
        """How many pictures were done when the last one was, and when that was."""
        self._announced: set[str] = set()

    def follow(self) -> BatchSummary:
        from sdcpu.cli.progress import open_display

        try:
            with (
                open_display(quiet=self._quiet) as display,
                closing(self._job.draw(self._contents)) as events,
            ):
                summary = self._followed(events, display)
        except KeyboardInterrupt:
            print_note("What is drawn is kept; the same command with --resume goes on.")
            raise
        if not self._quiet:
            print_note(_summary_text(summary))
        return summary

    def _followed(self, events: Iterator[BatchEvent], display: Display) -> BatchSummary:
        from sdcpu.batch import BatchSummary, LineDone, LineFailed

        for event in events:
            if isinstance(event, BatchSummary):
                return event
            if isinstance(event, LineDone):
                self._pictures += len(event.files)
                self._finished_at = self._pictures, time.monotonic()
                if self._print_paths:
                    with display.aside():
                        for path in event.files:
                            print_result(str(path))
            elif isinstance(event, LineFailed):
                with display.aside():
                    print_note(_problem_text(event.line.number, event.error))
            else:
                self._show(event, display)
        raise AssertionError("a batch ends with its summary")

    def _show(self, event: LineProgress, display: Display) -> None:
        from sdcpu.cli.plan_text import announcement
        from sdcpu.events import DownloadProgress, Progress
        from sdcpu.plan import EnginePlan

        told = event.event
        if isinstance(told, EnginePlan) and told.model.name not in self._announced:
            self._announced.add(told.model.name)
            if not self._quiet:
                with display.aside():
                    for line in announcement(told, all_reasons=False):
                        print_note(line)
        elif isinstance(told, DownloadProgress):
            display.show(told)
        elif isinstance(told, Progress) and event.worker == 0:
            display.show(self._among_all(told))

    def _among_all(self, progress: Progress) -> Progress:
        """Progress counted through all pictures of the batch."""
        left, done = None, self._pictures + progress.picture - 1
        if progress.picture > 1 and self._finished_at[0] != done:
            self._finished_at = done, time.monotonic()
        if done:
            each = (self._finished_at[1] - self._began) / done
            since = time.monotonic() - self._finished_at[1]
            left = max(0.0, each * (self._contents.pictures - done) - since)
        return replace(
            progress,
            picture=self._pictures + progress.picture,
            pictures=self._contents.pictures,
            seconds_left=left,
        )


def _say_contents(contents: BatchContents, *, keep_going: bool, quiet: bool) -> None:
    for line in contents.broken:
        print_note(_problem_text(line.number, line))
    more = contents.broken_count - len(contents.broken)
    if more:
        print_note(f"and {more:,} more")
    if not quiet and (keep_going or not contents.broken):
        lines = _counted(contents.lines, "line")
        done = f", {contents.done:,} of them done before" if contents.done else ""
        print_note(f"{lines}{done}: {_counted(contents.pictures, 'picture')} to draw")


def _problem_text(number: int, problem: BrokenLine | SdcpuError) -> str:
    return f"line {number}: {problem.message} {problem.hint}".rstrip()


def _summary_text(summary: BatchSummary) -> str:
    from sdcpu.measurements import format_duration

    pictures = _counted(summary.pictures, "picture")
    parts = [f"{summary.drawn:,} drawn ({pictures})", f"{summary.failed:,} failed"]
    if summary.skipped:
        parts.insert(1, f"{summary.skipped:,} done before")
    total = _counted(summary.drawn + summary.skipped + summary.failed, "line")
    workers = f" with {summary.workers} workers" if summary.workers > 1 else ""
    return f"{total}: {', '.join(parts)}, in {format_duration(summary.seconds)}{workers}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _records(job: Batch) -> list[dict[str, Any]]:
    """What became of each line, in their order."""
    from sdcpu.batch import Journal

    with closing(Journal(job.journal_path, resume=True)) as journal:
        return [
            {**record, "files": [str((job.folder / name).absolute()) for name in record["files"]]}
            if "files" in record
            else record
            for record in journal.records()
        ]
