"""What a picture shows, as the demo model's pictures are asked: background, colour, shape."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sdcpu.demo.words import SHAPES
from training.judging import background_of, look, median_colour, nearest_colour, objects_of
from training.raster import draw, sort_parts
from training.shapes import COLOURS, shape_part

_SMALLEST_SHAPE = 60
"""Pixels."""
_COLOUR_NAMES = list(COLOURS)


class Described(NamedTuple):
    """What a picture shows."""

    background: str
    colour: str | None
    """None where there is nothing but background."""
    shape: str | None


def describe(picture: Image.Image) -> Described:
    """Name the colours of background and object and the shape that is most like the object."""
    pixels = np.asarray(picture.convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255
    background = _name_of(background_of(pixels))
    mask = objects_of(pixels)
    if mask.sum() < _SMALLEST_SHAPE:
        return Described(background, None, None)
    (shape,) = look(mask).shape
    return Described(background, _name_of(median_colour(pixels, mask)), SHAPES[shape])


def psnr(first: Image.Image, second: Image.Image) -> float:
    """How alike two pictures are, in decibels: infinite when equal, 30 and more when close."""
    difference = np.asarray(first.convert("RGB"), float) - np.asarray(second.convert("RGB"), float)
    error = float(np.mean(difference**2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def draw_shape(shape: str, colour: str, background: str, size: int = 128) -> Image.Image:
    """An ideal picture of a shape in the middle."""
    ground = shape_part("square", 0.5, 0.5, 9, COLOURS[background])
    parts = [ground, shape_part(shape, 0.5, 0.5, 0.3, COLOURS[colour])]
    pixels = draw(sort_parts([parts]), size, size)[0].transpose(1, 2, 0)
    return Image.fromarray(np.round(255 * pixels).astype(np.uint8))


def _name_of(colours: npt.NDArray[Any]) -> str:
    """The known colour nearest to the only one given, shape (1, 3)."""
    return _COLOUR_NAMES[int(nearest_colour(colours)[0])]
