"""Draw pictures from simple parts, many at once: signed distances, smooth edges, no files.

The same code draws with NumPy and with PyTorch (`xp` below), so the training device draws for
itself. Lengths are in units of a picture's shorter side; y points down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Colour = tuple[float, float, float]
"""Red, green and blue from 0 to 1."""

FILLS = ("gradient", "stripes", "checks")
"""Kinds that cover the whole picture."""
_NUMBERS_AT = 7
"""Where a part's own numbers begin in its row: after two colours and the opacity."""
_LARGEST_PLANE = 1 << 26
"""How many values one step may work on: keeps memory low."""
_OUTLINE_WIDTH = 0.014


class Part(NamedTuple):
    """One area of one colour, or a fill of two."""

    kind: str
    numbers: tuple[float, ...]
    """What the kind needs: see the functions in this module."""
    colour: Colour
    second: Colour = (0.0, 0.0, 0.0)
    opacity: float = 1.0


class Parts(NamedTuple):
    """The parts of many pictures, sorted so that parts drawn alike lie together."""

    rows: np.ndarray[Any, Any]
    """One row of numbers for each part, f32."""
    owners: np.ndarray[Any, Any]
    """Which picture each part belongs to."""
    groups: list[tuple[str, int, int, int]]
    """Kind, how many numbers it takes, first row, end; drawn in this order."""
    pictures: int
    """How many pictures."""


def sort_parts(pictures: Sequence[Sequence[Part]]) -> Parts:
    """Sort the parts of many pictures into groups; what covers what stays as it was."""
    found = sorted(
        (layer, part.kind, len(part.numbers), owner, part)
        for owner, parts in enumerate(pictures)
        for layer, part in enumerate(parts)
    )
    width = _NUMBERS_AT + max(entry[2] for entry in found)
    rows = np.zeros((len(found), width), np.float32)
    for row, (*_, count, _, part) in zip(rows, found, strict=True):
        row[:_NUMBERS_AT] = (*part.colour, *part.second, part.opacity)
        row[_NUMBERS_AT : _NUMBERS_AT + count] = part.numbers
    groups, start = [], 0
    for (_, kind, count), members in groupby(found, key=lambda entry: entry[:3]):
        end = start + len(list(members))
        groups.append((kind, count, start, end))
        start = end
    owners = np.array([entry[3] for entry in found], np.int64)
    return Parts(rows, owners, groups, len(pictures))


def draw(
    parts: Parts,
    height: int,
    width: int,
    *,
    xp: ModuleType = np,
    device: Any = None,
    outlines: bool = False,
) -> Any:
    """Draw all pictures; returns f32 in [0, 1], shape (pictures, 3, height, width).

    With `outlines` every area is white with a black line around it.
    """
    place = {} if device is None else {"device": device}
    rows, owners = xp.asarray(parts.rows, **place), xp.asarray(parts.owners, **place)
    side = min(height, width)
    y = ((xp.arange(height, **place) + 0.5) / side).reshape(1, height, 1)
    x = ((xp.arange(width, **place) + 0.5) / side).reshape(1, 1, width)
    canvas = xp.ones((parts.pictures, 3, height, width), dtype=xp.float32, **place)
    for kind, count, first, end in parts.groups:
        vertices = count // 2 if kind == "polygon" else 1
        at_once = max(1, _LARGEST_PLANE // (height * width * vertices))
        for start in range(first, end, at_once):
            chosen = slice(start, min(end, start + at_once))
            row = rows[chosen]
            numbers = [row[:, k, None, None] for k in range(_NUMBERS_AT, _NUMBERS_AT + count)]
            if outlines and (kind in FILLS or kind == "glow"):
                continue
            if kind in FILLS:
                mix = _FILLS[kind](xp, x, y, numbers, 1 / side)[:, None]
                paint = row[:, :3, None, None] * (1 - mix) + row[:, 3:6, None, None] * mix
                canvas[owners[chosen]] = paint
                continue
            opacity = row[:, 6, None, None]
            if outlines:
                line = _OUTLINE_WIDTH / 2
                distance = _DISTANCES[kind](xp, x, y, numbers)
                cover = _coverage(xp, distance - line, side) * (opacity == 1)
                paint = 1 - _coverage(xp, abs(distance) - line, side)[:, None]
            else:
                paint = row[:, :3, None, None]
                if kind == "glow":
                    cover = _glow(xp, x, y, numbers) * opacity
                else:
                    cover = _coverage(xp, _DISTANCES[kind](xp, x, y, numbers), side) * opacity
            under = canvas[owners[chosen]]
            canvas[owners[chosen]] = under + (paint - under) * cover[:, None]
    return canvas


def _coverage(xp: ModuleType, distance: Any, side: int) -> Any:
    """How much of a pixel lies inside, by its centre's distance to the edge."""
    return xp.clip(0.5 - distance * side, 0, 1)


def _gradient(xp: ModuleType, x: Any, y: Any, n: Sequence[Any], pixel: float) -> Any:
    """From the first colour at one point to the second at another: x, y, x, y."""
    dx, dy = n[2] - n[0], n[3] - n[1]
    along = ((x - n[0]) * dx + (y - n[1]) * dy) / (dx * dx + dy * dy)
    return xp.clip(along, 0, 1)


def _wave(xp: ModuleType, along: Any, period: Any, pixel: float) -> Any:
    """A square wave between -1 and 1 with edges one pixel wide."""
    phase = along / period
    triangle = abs(phase - xp.floor(phase) - 0.5) * 4 - 1
    return xp.clip(triangle * period / (4 * pixel) * 2, -1, 1)


def _stripes(xp: ModuleType, x: Any, y: Any, n: Sequence[Any], pixel: float) -> Any:
    """Two colours in turn: angle, period, shift."""
    along = x * xp.cos(n[0]) + y * xp.sin(n[0]) + n[2]
    return 0.5 + 0.5 * _wave(xp, along, n[1], pixel)


def _checks(xp: ModuleType, x: Any, y: Any, n: Sequence[Any], pixel: float) -> Any:
    """A board of squares: period, shift in x, shift in y."""
    across = _wave(xp, x + n[1] + 0 * y, n[0], pixel)
    return 0.5 + 0.5 * across * _wave(xp, y + n[2] + 0 * x, n[0], pixel)


def _glow(xp: ModuleType, x: Any, y: Any, n: Sequence[Any]) -> Any:
    """Light that fades from a centre: x, y, radius."""
    far = xp.sqrt((x - n[0]) ** 2 + (y - n[1]) ** 2) / n[2]
    return xp.clip(1 - far, 0, 1) ** 2


def _ellipse(xp: ModuleType, x: Any, y: Any, n: Sequence[Any]) -> Any:
    """Centre x, y, half width, half height; the distance is exact for circles and at the edge."""
    dx, dy = x - n[0], y - n[1]
    far = xp.sqrt((dx / n[2]) ** 2 + (dy / n[3]) ** 2) + 1e-6
    slope = xp.sqrt((dx / n[2] ** 2) ** 2 + (dy / n[3] ** 2) ** 2) + 1e-6
    return far * (far - 1) / slope


def _ring(xp: ModuleType, x: Any, y: Any, n: Sequence[Any]) -> Any:
    """Centre x, y, radius of its middle line, half the line's width."""
    return abs(xp.sqrt((x - n[0]) ** 2 + (y - n[1]) ** 2) - n[2]) - n[3]


def _crescent(xp: ModuleType, x: Any, y: Any, n: Sequence[Any]) -> Any:
    """A disc without another: x, y, radius of each."""
    disc = xp.sqrt((x - n[0]) ** 2 + (y - n[1]) ** 2) - n[2]
    other = xp.sqrt((x - n[3]) ** 2 + (y - n[4]) ** 2) - n[5]
    return xp.maximum(disc, -other)


def _heart(xp: ModuleType, x: Any, y: Any, n: Sequence[Any]) -> Any:
    """A square on its corner with a half disc on both upper sides: x, y, size, angle."""
    cos, sin = xp.cos(n[3]), xp.sin(n[3])
    u = (x - n[0]) * cos + (y - n[1]) * sin
    v = (y - n[1]) * cos - (x - n[0]) * sin
    half = n[2] * 0.56
    p, q = (u + v + n[2] * -0.14) * math.sqrt(0.5), (v - u + n[2] * -0.14) * math.sqrt(0.5)
    square = xp.maximum(abs(p), abs(q)) - half
    left = xp.sqrt((p + half) ** 2 + q**2) - half
    right = xp.sqrt(p**2 + (q + half) ** 2) - half
    return xp.minimum(square, xp.minimum(left, right))


def _box(xp: ModuleType, x: Any, y: Any, n: Sequence[Any]) -> Any:
    """Left, top, right, bottom."""
    across = xp.maximum(n[0] - x, x - n[2]) + 0 * y
    return xp.maximum(across, xp.maximum(n[1] - y, y - n[3]) + 0 * x)


def _polygon(xp: ModuleType, x: Any, y: Any, n: Sequence[Any]) -> Any:
    """Corners x, y, x, y, …: distance to the nearest side, negative inside (even-odd)."""
    px, py = xp.stack(list(n[0::2]), 1), xp.stack(list(n[1::2]), 1)  # (n, corners, 1, 1)
    qx, qy = xp.stack([*n[2::2], n[0]], 1), xp.stack([*n[3::2], n[1]], 1)
    x, y = x[:, None], y[:, None]
    ex, ey, wx, wy = qx - px, qy - py, x - px, y - py
    along = xp.clip((wx * ex + wy * ey) / (ex * ex + ey * ey + 1e-12), 0, 1)
    nearest = ((wx - ex * along) ** 2 + (wy - ey * along) ** 2).min(1)
    nearest = nearest if isinstance(nearest, np.ndarray) else nearest.values
    crosses = ((py > y) != (qy > y)) & (wx < ex * wy / xp.where(ey == 0, ey + 1e-12, ey))
    inside = crosses.sum(1) % 2 == 1
    return xp.sqrt(nearest) * xp.where(inside, -1.0, 1.0)


_FILLS = {"gradient": _gradient, "stripes": _stripes, "checks": _checks}
_DISTANCES = {
    "ellipse": _ellipse,
    "ring": _ring,
    "crescent": _crescent,
    "heart": _heart,
    "box": _box,
    "polygon": _polygon,
}


def polygon(corners: Iterable[tuple[float, float]], colour: Colour, opacity: float = 1.0) -> Part:
    """A polygon with these corners."""
    return Part("polygon", tuple(v for corner in corners for v in corner), colour, opacity=opacity)
