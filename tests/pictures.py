"""What a picture shows, as the demo model's pictures are asked: background, colour, shape."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Point = tuple[float, float]

COLOURS = {
    "red": (220, 40, 40),
    "orange": (245, 140, 20),
    "yellow": (250, 225, 60),
    "green": (40, 160, 70),
    "blue": (40, 80, 215),
    "purple": (125, 45, 165),
    "pink": (250, 150, 195),
    "white": (250, 250, 250),
    "black": (20, 20, 20),
}
"""What the demo model learnt these words with."""

_ARM = 0.33
_RING_HOLE = 0.58
_EDGE = 3
"""Pixels along each side that are taken for background."""
_DIFFERENT = 60
"""Distance in RGB from which on a pixel is no background."""
_SMALLEST_SHAPE = 60
"""Pixels."""


class Described(NamedTuple):
    """What a picture shows."""

    background: str
    colour: str | None
    """None where there is nothing but background."""
    shape: str | None


def describe(picture: Image.Image) -> Described:
    """Name the colours of background and object and the shape that covers the object best."""
    pixels = np.asarray(picture.convert("RGB"), float)
    background = _border_colour(pixels)
    mask = np.linalg.norm(pixels - background, axis=-1) > _DIFFERENT
    if mask.sum() < _SMALLEST_SHAPE:
        return Described(_nearest_colour(background), None, None)
    overlaps = shape_overlaps(mask)
    return Described(
        _nearest_colour(background),
        _nearest_colour(np.median(pixels[mask], axis=0)),
        max(overlaps, key=overlaps.__getitem__),
    )


def shape_overlaps(mask: Mask) -> dict[str, float]:
    """For each shape, stretched to the mask's bounding box: intersection divided by union."""
    rows = np.flatnonzero(mask.sum(axis=1) > 1)
    columns = np.flatnonzero(mask.sum(axis=0) > 1)
    box = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
    ideals = {shape: _shape_mask(shape, box, (mask.shape[1], mask.shape[0])) for shape in OUTLINES}
    return {
        shape: float((mask & ideal).sum() / (mask | ideal).sum()) for shape, ideal in ideals.items()
    }


def psnr(first: Image.Image, second: Image.Image) -> float:
    """How alike two pictures are, in decibels: infinite when equal, 30 and more when close."""
    difference = np.asarray(first.convert("RGB"), float) - np.asarray(second.convert("RGB"), float)
    error = float(np.mean(difference**2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def draw_shape(
    shape: str, colour: str, background: str, size: int = 128, radius: float = 0.3
) -> Image.Image:
    """An ideal picture of a shape in the middle; the radius is a fraction of the width."""
    low, high = round(size * (0.5 - radius)), round(size * (0.5 + radius))
    mask = _shape_mask(shape, (low, low, high, high), (size, size))
    pixels = np.where(mask[..., None], COLOURS[colour], COLOURS[background])
    return Image.fromarray(pixels.astype(np.uint8))


def _border_colour(pixels: Array) -> Array:
    sides = (pixels[:_EDGE], pixels[-_EDGE:], pixels[:, :_EDGE], pixels[:, -_EDGE:])
    return np.asarray(np.median(np.concatenate([side.reshape(-1, 3) for side in sides]), axis=0))


def _nearest_colour(rgb: Array) -> str:
    return min(COLOURS, key=lambda name: float(np.sum((rgb - COLOURS[name]) ** 2)))


def _circle() -> list[Point]:
    angles = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    return [(math.cos(angle), math.sin(angle)) for angle in angles]


def _star() -> list[Point]:
    corners = [(1.05 if corner % 2 == 0 else 0.45, corner * math.pi / 5) for corner in range(10)]
    return [(radius * math.sin(angle), -radius * math.cos(angle)) for radius, angle in corners]


def _heart() -> list[Point]:
    turns = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    x = 1.02 * np.sin(turns) ** 3
    y = 13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns)
    return list(zip(x.tolist(), (-y / 16.5 - 0.08).tolist(), strict=True))


def _cross() -> list[Point]:
    quarter = [(-_ARM, -1.0), (_ARM, -1.0), (_ARM, -_ARM)]
    turned = [quarter]
    for _ in range(3):
        turned.append([(-y, x) for x, y in turned[-1]])
    return [point for corners in turned for point in corners]


OUTLINES: dict[str, list[Point]] = {
    "circle": _circle(),
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -1), (1, 0.8), (-1, 0.8)],
    "star": _star(),
    "heart": _heart(),
    "diamond": [(0, -1.05), (0.75, 0), (0, 1.05), (-0.75, 0)],
    "ring": _circle(),
    "cross": _cross(),
}
"""Polygons around (0, 0) that reach to about 1; y points down."""


def _shape_mask(shape: str, box: tuple[int, int, int, int], size: tuple[int, int]) -> Mask:
    """The shape stretched to the box (left, top, right, bottom) in a picture of that size."""
    left, top, right, bottom = box
    points = np.array(OUTLINES[shape], float)
    low, high = points.min(axis=0), points.max(axis=0)

    def placed(outline: Array) -> list[Point]:
        fractions = (outline - low) / (high - low)
        return [(float(x), float(y)) for x, y in fractions * [right - left, bottom - top] + box[:2]]

    picture = Image.new("L", size)
    pen = ImageDraw.Draw(picture)
    pen.polygon(placed(points), fill=255)
    if shape == "ring":
        middle = (low + high) / 2
        pen.polygon(placed((points - middle) * _RING_HOLE + middle), fill=0)
    return np.asarray(picture) > 127
