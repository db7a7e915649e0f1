"""How far the work is: a bar on a terminal, a few plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from sdcpu.cli.output import print_note
from sdcpu.events import DownloadProgress, Preview, Progress
from sdcpu.figures import size_text
from sdcpu.images import GeneratedImage
from sdcpu.measurements import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    from sdcpu.cli.terminal_pictures import TerminalPictures

STAGES = {
    "download": "downloading",
    "load": "loading the model",
    "text": "reading the prompt",
    "sample": "drawing",
    "decode": "decoding",
    "upscale": "enlarging",
}
"""The stages in words."""

BAR_WIDTH = 20
"""Columns; what stands beside it must fit a terminal of 80."""

SECONDS_BETWEEN_LINES = 30
"""A log that nobody watches needs no more."""


NO_PICTURES = (
    "Pictures cannot be shown here: that needs a terminal with colours. "
    "--preview-dir keeps them in a folder."
)


class Display(Protocol):
    """Shows events of long work."""

    def show(self, event: object) -> None:
        """Show one event; of kinds it does not know nothing is shown."""

    def aside(self) -> AbstractContextManager[None]:
        """Make room for something else to be printed."""


def open_display(
    *, quiet: bool = False, with_pictures: bool = False
) -> AbstractContextManager[Display]:
    """Choose what suits standard error; pictures are shown in a terminal that has colours."""
    if quiet:
        return _NoDisplay()
    if not sys.stderr.isatty():
        if with_pictures:
            print_note(NO_PICTURES)
        return _LineDisplay()
    return _BarDisplay(with_pictures=with_pictures)


class _NoDisplay:
    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: object) -> None:
        pass

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()


class _LineDisplay(_NoDisplay):
    """A line when a stage begins, and now and then while it lasts."""

    def __init__(self) -> None:
        self._shown: tuple[object, ...] = ()
        self._shown_at = 0.0

    def show(self, event: object) -> None:
        if isinstance(event, DownloadProgress):
            words, figures = _download_words(event, event.file), _download_figures(event)
            self._line((event.file,), f"{words}: {figures}" if figures else words)
        elif isinstance(event, Progress):
            self._line((event.stage, event.picture), _stage_line(event))

    def _line(self, what: tuple[object, ...], text: str) -> None:
        now = time.monotonic()
        if what != self._shown or now - self._shown_at >= SECONDS_BETWEEN_LINES:
            self._shown, self._shown_at = what, now
            print_note(text)


class _BarDisplay(_NoDisplay):
    """One bar that is redrawn; it is gone when the work is done."""

    def __init__(self, *, with_pictures: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bar
        from rich.table import Column

        console = Console(stderr=True)
        self._pictures: TerminalPictures | None = None
        if with_pictures:
            from sdcpu.cli.terminal_pictures import TerminalPictures, can_show_pictures

            if can_show_pictures(console):
                self._pictures = TerminalPictures(console)
            else:
                print_note(NO_PICTURES)
        self._bar: Bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=BAR_WIDTH),
            _time_left_column(),
            console=console,
            transient=True,
            # Results must reach standard output, wherever it goes: `aside` makes room for them.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("starting", total=None, left=None, at=0.0, figures="")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: object) -> None:
        if isinstance(event, DownloadProgress):
            words = _download_words(event, event.file.rpartition("/")[2])
            self._update(words, event.done, event.total, event.seconds_left)
            self._bar.update(self._task, figures=_download_figures(event))
        elif isinstance(event, Progress):
            self._update(_stage_words(event), event.step, event.steps, event.seconds_left)
            self._bar.update(self._task, figures="")
        elif isinstance(event, Preview | GeneratedImage) and self._pictures:
            with self._without_bar():
                self._pictures.show(event.image)

    @contextmanager
    def aside(self) -> Iterator[None]:
        with self._without_bar():
            if self._pictures:
                self._pictures.keep()
            yield

    @contextmanager
    def _without_bar(self) -> Iterator[None]:
        self._bar.stop()
        yield
        self._bar.start()

    def _update(self, text: str, done: int, total: int, left: float | None) -> None:
        # Set here: rich's update() reads a total of None as "no change", and what was once finished
        # stays so.
        self._bar.tasks[0].total = total or None
        self._bar.tasks[0].finished_time = None
        self._bar.update(
            self._task, description=text, completed=done, left=left, at=time.monotonic()
        )


def _time_left_column() -> ProgressColumn:
    """What stands behind the bar; between two events the time left counts down by itself."""
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        def render(self, task: Task) -> Text:
            if task.fields["figures"]:
                return Text(task.fields["figures"])
            left = task.fields["left"]
            if left is None:
                return Text("")
            left = max(0.0, left - (time.monotonic() - task.fields["at"]))
            return Text(f"{format_duration(left)} left" if left >= 1 else "almost done")

    return TimeLeft(table_column=Column(no_wrap=True, overflow="ellipsis"))


def _stage_words(event: Progress) -> str:
    words = STAGES.get(event.stage, event.stage)
    if event.stage == "sample":
        words += f", step {min(event.step + 1, event.steps)} of {event.steps}"
    return f"picture {event.picture} of {event.pictures}: {words}" if event.pictures > 1 else words


def _stage_line(event: Progress) -> str:
    left = event.seconds_left
    return _stage_words(event) + (f", {format_duration(left)} left" if left else "")


def _download_words(event: DownloadProgress, name: str) -> str:
    """What is done with a file; of one that is made here, by quantising, no size is told."""
    return f"{'downloading' if event.total else 'preparing'} {name}"


def _download_figures(event: DownloadProgress) -> str:
    if not event.total:
        return ""
    figures = f"{size_text(event.done)} of {size_text(event.total)}"
    if event.bytes_per_second:
        figures += f", {size_text(event.bytes_per_second)}/s"
    if event.seconds_left is not None:
        figures += f", {format_duration(event.seconds_left)} left"
    return figures
