"""The shapes and colours that the model knows, and combinations it never sees in training."""

from __future__ import annotations

import math
import zlib

from training.raster import Colour, Part, polygon

COLOURS: dict[str, Colour] = {
    name: (red / 255, green / 255, blue / 255)
    for name, (red, green, blue) in {
        "red": (220, 40, 40),
        "orange": (245, 140, 20),
        "yellow": (250, 225, 60),
        "green": (40, 160, 70),
        "blue": (40, 80, 215),
        "purple": (125, 45, 165),
        "pink": (250, 150, 195),
        "brown": (125, 72, 30),
        "turquoise": (60, 205, 220),
        "white": (250, 250, 250),
        "gray": (130, 130, 130),
        "black": (20, 20, 20),
    }.items()
}


def held_out(colour: str, shape: str, background: str) -> bool:
    """Say whether the combination is kept for the evaluation: about one in ten.

    >>> held_out("red", "circle", "blue")
    False
    """
    return zlib.crc32(f"{colour}|{shape}|{background}".encode()) % 10 == 0


def shape_part(
    shape: str, x: float, y: float, radius: float, colour: Colour, angle: float = 0.0
) -> Part:
    """A shape around a point; it reaches about one radius in every direction.

    >>> shape_part("circle", 0.5, 0.5, 0.25, (1, 0, 0)).kind
    'ellipse'
    """
    if shape == "circle":
        return Part("ellipse", (x, y, radius, radius), colour)
    if shape == "ring":
        return Part("ring", (x, y, radius * 0.79, radius * 0.21), colour)
    if shape == "heart":
        return Part("heart", (x, y, radius, angle), colour)
    cos, sin = math.cos(angle), math.sin(angle)
    if shape == "crescent":
        shift = 0.25 * radius
        return Part(
            "crescent",
            (
                *(x - shift * cos, y - shift * sin, radius),
                *(x + 0.3 * radius * cos, y + 0.3 * radius * sin, 0.85 * radius),
            ),
            colour,
        )
    return polygon(
        [
            (x + radius * (u * cos - v * sin), y + radius * (u * sin + v * cos))
            for u, v in CORNERS[shape]
        ],
        colour,
    )


def _star() -> list[tuple[float, float]]:
    turns = [(1.05 if k % 2 == 0 else 0.45, k * math.pi / 5) for k in range(10)]
    return [(far * math.sin(turn), 0.05 - far * math.cos(turn)) for far, turn in turns]


_ARM = 0.33
CORNERS: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0.0, -0.95), (1.0, 0.8), (-1.0, 0.8)],
    "diamond": [(0.0, -1.05), (0.72, 0.0), (0.0, 1.05), (-0.72, 0.0)],
    "hexagon": [(math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)) for k in range(6)],
    "star": _star(),
    "cross": [
        *((-_ARM, -1.0), (_ARM, -1.0), (_ARM, -_ARM), (1.0, -_ARM), (1.0, _ARM), (_ARM, _ARM)),
        *((_ARM, 1.0), (-_ARM, 1.0), (-_ARM, _ARM), (-1.0, _ARM), (-1.0, -_ARM), (-_ARM, -_ARM)),
    ],
}
"""Corners in units of the radius around (0, 0)."""
