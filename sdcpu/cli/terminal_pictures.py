"""Pictures in a terminal: in full where it can draw pixels, else as coloured half blocks.

Kitty's protocol and sixels (iTerm2, WezTerm, foot, Konsole, xterm, Windows Terminal and more) come
from the library `textual-image`, which asks the terminal what it can; it is the extra "preview".
Half blocks need nothing: each character shows two pixels, one above the other.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import Console, ConsoleOptions, RenderResult

MOST_COLUMNS = 80
"""A picture is not shown wider than this; more would fill the screen of a wide terminal."""
ROWS_LEFT_FREE = 4
"""Lines of the terminal for what stands above and below a picture."""


def can_show_pictures(console: Console) -> bool:
    """Whether it is a terminal that shows colours and lets the cursor move."""
    has_colours = console.color_system is not None and not console.no_color
    return console.is_terminal and has_colours and not console.is_dumb_terminal


class TerminalPictures:
    """Pictures in a terminal, each in the place of the one before.

    >>> from PIL.Image import new
    >>> from rich.console import Console
    >>> console = Console(force_terminal=True, color_system="truecolor", width=40, height=12)
    >>> with console.capture() as capture:
    ...     TerminalPictures(console).show(new("RGB", (64, 64), "red"))
    >>> capture.get().count("▀")  # 16 columns, 8 rows
    128
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows = 0
        """Rows of the picture that the next one replaces."""
        self._shown: Any = None

    def show(self, image: Image) -> None:
        """Draw a picture, as large as the terminal allows."""
        size = _cells(image.size, self._console.width, self._console.height)
        drawn = (_pixel_drawing() or HalfBlocks)(image, *size)
        self._erase()
        self._console.print(drawn, end="")
        if hasattr(self._shown, "cleanup"):
            self._shown.cleanup()  # a terminal keeps the pixels until it is told that they may go
        self._shown, self._rows = drawn, size[1]

    def keep(self) -> None:
        """Let the picture stay; the next one comes below."""
        self._rows, self._shown = 0, None

    def _erase(self) -> None:
        from rich.control import Control
        from rich.segment import ControlType

        whole_line = 2
        for _ in range(self._rows):
            up, erased = (ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, whole_line)
            self._console.control(Control(up, erased))


class HalfBlocks:
    """A picture of characters whose upper half has one colour and whose lower half another."""

    def __init__(self, image: Image, columns: int, rows: int) -> None:
        from PIL.Image import Resampling

        enlarged = columns > image.width
        self._pixels = image.convert("RGB").resize(
            (columns, 2 * rows), Resampling.NEAREST if enlarged else Resampling.LANCZOS
        )

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        """Yield the segments of each row, as rich asks for them."""
        from rich.color import Color
        from rich.segment import Segment
        from rich.style import Style

        colours = [Color.from_rgb(*colour) for colour in _colours(self._pixels)]
        width = self._pixels.width
        for row in range(0, len(colours), 2 * width):
            above, below = colours[row : row + width], colours[row + width : row + 2 * width]
            for upper, lower in zip(above, below, strict=True):
                yield Segment("▀", Style(color=upper, bgcolor=lower))
            yield Segment.line()


def _colours(image: Image) -> list[tuple[int, int, int]]:
    """The pixels of an RGB picture, row by row."""
    data = iter(image.tobytes())
    return list(zip(data, data, data, strict=True))


def _cells(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """Columns and rows for a picture; a character is taken to be twice as high as wide.

    >>> _cells((512, 512), 80, 24)
    (40, 20)
    >>> _cells((1024, 256), 200, 50)
    (80, 10)
    """
    width, height = size
    most_columns, most_rows = min(columns, MOST_COLUMNS), max(1, rows - ROWS_LEFT_FREE)
    scale = min(most_columns / width, 2 * most_rows / height)
    return max(1, round(width * scale)), max(1, round(height * scale / 2))


@cache
def _pixel_drawing() -> Any:
    """What draws real pixels into this terminal; None where half blocks must do.

    The library asks the terminal when it is imported, through standard input and output.
    """
    streams = (sys.__stdin__, sys.__stdout__)
    if not all(stream is not None and stream.isatty() for stream in streams):
        return None
    if 0 in os.get_terminal_size(1):  # a serial console does not tell, and the library divides
        return None
    try:
        from textual_image.renderable import Image, SixelImage, TGPImage
    except ImportError:
        return None
    return Image if Image in (SixelImage, TGPImage) else None
