"""Putting the pictures of a grid together, with labels at the left and above."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sdcpu.grid.cells import Grid

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as PlainFont

    Font = FreeTypeFont | PlainFont

MAX_PIXELS = 40_000_000
"""Of all pictures in the sheet together; where they have more, smaller copies stand in it."""
GAP = 8
"""Pixels between pictures and around them."""
_LETTERS = 22
"""Of a usual width that a label has in a line, at least."""
_MAX_LINES = 6
_PAPER, _INK = "white", "black"


def small_copy(image: Image, cells: int) -> Image:
    """The picture, made smaller if so many like it would be too large for a sheet.

    >>> from PIL import Image
    >>> small_copy(Image.new("RGB", (2000, 1000)), 100).size
    (894, 447)
    """
    allowed = MAX_PIXELS / cells
    share = (allowed / (image.width * image.height)) ** 0.5
    if share >= 1:
        return image
    return image.resize((max(1, int(image.width * share)), max(1, int(image.height * share))))


def grid_picture(grid: Grid, pictures: Mapping[int, Image]) -> Image:
    """One picture of a grid's pictures, given by their places among its cells; some may be missing.

    >>> from PIL import Image
    >>> from sdcpu.grid import make_grid
    >>> grid = make_grid("a {red|green} circle")
    >>> sheet = grid_picture(grid, {0: Image.new("RGB", (64, 64)), 1: Image.new("RGB", (64, 64))})
    >>> sheet.width >= 128, sheet.height > 64
    (True, True)
    """
    from PIL import Image, ImageDraw

    copies = {place: small_copy(image, len(grid.cells)) for place, image in pictures.items()}
    cell_width = max((image.width for image in copies.values()), default=1)
    cell_height = max((image.height for image in copies.values()), default=1)
    font = _font(cell_width)
    side = _label_width(grid.rows, font, cell_width)
    rows = [_wrapped(label, font, side) for label in grid.rows]
    columns = [_wrapped(label, font, cell_width) for label in grid.columns]
    line = _line_height(font)
    head = max(map(len, columns)) * line
    left, top = GAP + (side + GAP) * bool(side), GAP + (head + GAP) * bool(head)
    heights = [max(cell_height, len(lines) * line) for lines in rows]
    size = (left + len(columns) * (cell_width + GAP), top + sum(heights) + GAP * len(heights))
    sheet = Image.new("RGB", size, _PAPER)
    pencil = ImageDraw.Draw(sheet)
    for column, lines in enumerate(columns):
        middle = left + column * (cell_width + GAP) + cell_width // 2
        _write(pencil, lines, font, middle, GAP + head - len(lines) * line)
    for row, lines in enumerate(rows):
        y = top + sum(heights[:row]) + GAP * row
        _write(pencil, lines, font, GAP + side // 2, y + (heights[row] - len(lines) * line) // 2)
        for column in range(len(columns)):
            copy = copies.get(row * len(columns) + column)
            if copy is not None:
                x = left + column * (cell_width + GAP) + (cell_width - copy.width) // 2
                sheet.paste(copy.convert("RGB"), (x, y + (heights[row] - copy.height) // 2))
    return sheet


def _font(cell_width: int) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(min(40, max(11, cell_width // _LETTERS)))


def _line_height(font: Font) -> int:
    _, top, _, bottom = font.getbbox("Ag|")
    return round((bottom - top) * 1.3)


def _label_width(labels: tuple[str, ...], font: Font, cell_width: int) -> int:
    """Pixels for the labels at the left: as wide as the longest, and half a picture at most."""
    if not any(labels):
        return 0
    longest = max(font.getlength(label) for label in labels)
    return max(int(min(longest + 2, cell_width / 2)), int(font.getlength("w" * 6)))


def _wrapped(label: str, font: Font, width: int) -> list[str]:
    """The label in lines of a width; words that are wider are cut, what is too long ends in …."""
    lines: list[str] = []
    for word in label.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        while font.getlength(word) > width and len(word) > 1:
            fitting = next(
                n
                for n in range(len(word) - 1, 0, -1)
                if n == 1 or font.getlength(word[:n]) <= width
            )
            lines.append(word[:fitting])
            word = word[fitting:]  # noqa: PLW2901 - what is left of it
        lines.append(word)
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], lines[_MAX_LINES - 1] + "…"]
    return lines


def _write(pencil: ImageDraw, lines: list[str], font: Font, middle: int, top: int) -> None:
    for number, text in enumerate(lines):
        place = (middle, top + number * _line_height(font))
        pencil.text(place, text, fill=_INK, font=font, anchor="ma")
