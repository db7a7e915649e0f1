"""Pictures in the terminal: colours, places, and what cannot show them."""

import io
import re
from itertools import pairwise

import pytest
from PIL import Image
from rich.console import Console

from sdcpu.cli import progress
from sdcpu.cli.terminal_pictures import TerminalPictures, can_show_pictures
from sdcpu.events import Preview, Progress
from tests.unit.test_cli_progress import become_terminal

CORNERS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
_CODE = re.compile(r"\x1b\[([\d;]*)m|(\n)|▀")


def corners(side: int = 64) -> Image.Image:
    """A picture with another colour in each quarter: red, green above blue, white."""
    small = Image.new("RGB", (2, 2))
    small.putdata(CORNERS)
    return small.resize((side, side), Image.Resampling.NEAREST)


def seen(written: str) -> list[list[tuple[int, ...]]]:
    """The rows of pixels that half blocks show; two for each line."""
    rows: list[list[tuple[int, ...]]] = [[], []]
    above = below = (0, 0, 0)
    for code, end, *_ in (match.groups() for match in _CODE.finditer(written)):
        numbers = [int(number) for number in (code or "").split(";") if number]
        for at, number in enumerate(numbers):
            if number in (38, 48) and numbers[at + 1] == 2:
                colour = (numbers[at + 2], numbers[at + 3], numbers[at + 4])
                above, below = (colour, below) if number == 38 else (above, colour)
        if end:
            rows += [[], []]
        elif code is None:
            rows[-2].append(above)
            rows[-1].append(below)
    return [row for row in rows if row]


def terminal(width: int = 60, height: int = 20) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        width=width,
        height=height,
        _environ={"TERM": "xterm-256color"},
    )


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_corner_has_its_colour() -> None:
    console = terminal()
    TerminalPictures(console).show(corners())
    rows = seen(written(console))
    assert (len(rows), len(rows[0])) == (32, 32), "16 lines: 4 of the terminal's stay free"
    shown = (rows[3][3], rows[3][-4], rows[-4][3], rows[-4][-4])
    assert shown == CORNERS


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [((512, 256), 30, 60), ((256, 1024), 32, 8), ((9, 9), 32, 32), ((4000, 1), 2, 60)],
)
def test_a_picture_fits_the_terminal(size: tuple[int, int], rows: int, columns: int) -> None:
    console = terminal()
    TerminalPictures(console).show(Image.new("RGB", size, "red"))
    shown = seen(written(console))
    assert (len(shown), len(shown[0])) == (rows, columns)


def test_the_next_picture_takes_the_place_of_the_last() -> None:
    console = terminal()
    pictures = TerminalPictures(console)
    pictures.show(corners())
    first = len(written(console))
    pictures.show(corners())
    assert written(console)[first:].startswith("\x1b[1A\x1b[2K" * 16)
    assert written(console).count("\x1b[1A") == 16
    pictures.keep()
    pictures.show(corners())
    assert written(console).count("\x1b[1A") == 16, "what is kept is not drawn over"


@pytest.mark.parametrize(
    ("environment", "can"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "unknown"}, False),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
    ],
)
def test_it_takes_colours(environment: dict[str, str], can: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, _environ=environment)
    assert can_show_pictures(console) is can


def test_a_pipe_shows_none() -> None:
    assert not can_show_pictures(Console(file=io.StringIO()))


def test_the_picture_grows_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = become_terminal(monkeypatch)
    monkeypatch.setenv("COLORTERM", "truecolor")
    colours = ("red", "green", "blue")
    with progress.open_display(with_pictures=True) as display:
        for step, colour in enumerate(colours, 1):
            display.show(Preview(image=Image.new("RGB", (8, 8), colour), step=step))
            display.show(Progress(stage="sample", step=step, steps=3))
        with display.aside():
            shown.write("cat.png\n")
    places = [shown.getvalue().find(f"38;2;{rgb}") for rgb in ("255;0;0", "0;128;0", "0;0;255")]
    places += [shown.getvalue().find("cat.png")]
    assert -1 not in places
    assert all(before < after for before, after in pairwise(places))


def test_pictures_are_shown_when_asked_for_only(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = become_terminal(monkeypatch)
    with progress.open_display() as display:
        display.show(Preview(image=Image.new("RGB", (8, 8), "red"), step=1))
    assert "▀" not in shown.getvalue()


def test_a_terminal_without_colours_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = become_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with progress.open_display(with_pictures=True) as display:
        display.show(Preview(image=Image.new("RGB", (8, 8), "red"), step=1))
    assert "needs a terminal with colours" in " ".join(shown.getvalue().split())
    assert "▀" not in shown.getvalue()
