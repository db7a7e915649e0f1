"""Where a picture that is brought along lies on what the engine draws, and what comes out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.images import Extension, Fit

Size = tuple[int, int]
Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the right and the bottom one lie outside, as in Pillow."""

LARGEST_SHARE, SMALLEST_SHARE = 2.25, 0.25
"""Of the pixels of a model's usual picture: pictures between them keep their size, where none is
asked for. Beyond one and a half times the usual side models repeat themselves, and below half of
it they draw nothing sensible."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """The layout of one request; every box is in pixels of what the engine draws."""

    drawn: Size
    """Width and height that the engine draws, multiples of what the family needs."""
    place: Box
    """Where the scaled picture lies; it may reach over the edges, which then cut it."""
    result: Box
    """The part that comes out; the rest is only there for the multiples."""

    @property
    def result_size(self) -> Size:
        """Width and height of the picture that comes out."""
        left, top, right, bottom = self.result
        return right - left, bottom - top

    def lay(self, image: Image) -> Image:
        """Put the picture in its place, and around it what its edges show.

        The engine starts from these pixels: edges that go on are closer to what may come there
        than any colour.
        """
        import numpy as np
        from PIL import Image as Images

        left, top, right, bottom = self.place
        scaled = image
        if image.size != (right - left, bottom - top):
            scaled = image.resize((right - left, bottom - top), Images.Resampling.LANCZOS)
        inside = (max(0, left), max(0, top), min(self.drawn[0], right), min(self.drawn[1], bottom))
        pixels = np.asarray(scaled.crop(_moved(inside, -left, -top)))
        around = [
            (inside[1], self.drawn[1] - inside[3]),
            (inside[0], self.drawn[0] - inside[2]),
            *[(0, 0)] * (pixels.ndim - 2),
        ]
        return Images.fromarray(np.pad(pixels, around, mode="edge"))

    def lay_mask(self, mask: Image | None) -> Image:
        """Put a mask where the picture lies; what the picture does not cover is to be painted."""
        from PIL import Image as Images

        left, top, right, bottom = self.place
        laid = Images.new("L", self.drawn, 255)
        part = Images.new("L", (1, 1), 0) if mask is None else mask
        if part.size != (right - left, bottom - top):
            part = part.resize((right - left, bottom - top), Images.Resampling.NEAREST)
        laid.paste(part, (left, top))
        return laid

    def finished(self, drawn: Image, start: Image | None, mask: Image | None) -> Image:
        """Cut the result out; with a mask, what was not to be painted is as it was, exactly.

        The engine decodes the whole picture anew, also where nothing was painted: without this,
        every pixel would be a little off. `start` and `mask` are laid out already.
        """
        from PIL import Image as Images

        if start is not None and mask is not None:
            drawn = Images.composite(drawn, start, mask)
        return drawn.crop(self.result) if self.result != (0, 0, *self.drawn) else drawn


def canvas_for(
    picture: Size,
    *,
    asked: tuple[int | None, int | None],
    usual: Size,
    multiple: int,
    fit: Fit | None = None,
    extension: Extension = (0, 0, 0, 0),
) -> Canvas:
    """Lay out a picture on what the engine draws.

    Args:
        picture: Its width and height in pixels.
        asked: Width and height of the result, with the extension; None where it is left open.
        usual: Width and height of the model's usual picture.
        multiple: Pixels that the sides of what the engine draws are multiples of.
        fit: What to do with other proportions; None: "fit" where a side is left open, else "crop".
        extension: Pixels of the picture to add at the left, top, right and bottom.

    >>> canvas_for((500, 300), asked=(None, None), usual=(512, 512), multiple=64)
    Canvas(drawn=(512, 320), place=(0, 0, 500, 300), result=(0, 0, 500, 300))
    """
    left, top, right, bottom = extension
    whole = picture[0] + left + right, picture[1] + top + bottom
    fit = fit or ("crop" if None not in asked else "fit")
    scale = _asked_scale(whole, asked, fit) or _usual_scale(picture, usual)
    covered = _scaled(whole, scale)
    size = covered if fit == "fit" else (asked[0] or covered[0], asked[1] or covered[1])
    drawn = _up(size[0], multiple), _up(size[1], multiple)
    # What is cut off, or missing, is so equally on both sides.
    corner = (size[0] - covered[0]) // 2, (size[1] - covered[1]) // 2
    x, y = corner[0] + round(left * scale), corner[1] + round(top * scale)
    width, height = _scaled(picture, scale)
    return Canvas(drawn=drawn, place=(x, y, x + width, y + height), result=(0, 0, *size))


def _asked_scale(whole: Size, asked: tuple[int | None, int | None], fit: Fit) -> float | None:
    shares = [side / has for side, has in zip(asked, whole, strict=True) if side is not None]
    if not shares:
        return None
    return max(shares) if fit == "crop" else min(shares)


def _usual_scale(picture: Size, usual: Size) -> float:
    share = picture[0] * picture[1] / (usual[0] * usual[1])
    return 1.0 if SMALLEST_SHARE <= share <= LARGEST_SHARE else math.sqrt(1 / share)


def _scaled(size: Size, scale: float) -> Size:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _moved(box: Box, right: int, down: int) -> Box:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down
