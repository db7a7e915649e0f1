"""Small landscapes by day, at sunset and by night, made of the parts that `raster` draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from training.landscape import WINDOW, Scene
from training.raster import Colour, Part
from training.shapes import COLOURS

Draw = Callable[[Scene, Colour | None], None]


def lighthouse(scene: Scene, colour: Colour | None) -> None:
    """A striped tower on a rock in the sea."""
    horizon = scene.between(0.66, 0.72) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.12, 0.40, 0.70))
    x, top, foot = scene.middle + scene.between(-0.12, 0.12), scene.height * 0.28, horizon + 0.03
    rock = scene.lit((0.40, 0.37, 0.34))
    scene.polygon(
        *((x - 0.34, horizon + 0.12), (x - 0.2, horizon), (x - 0.05, horizon - 0.03)),
        *((x + 0.16, horizon - 0.01), (x + 0.33, horizon + 0.12)),
        colour=rock,
    )
    band = (scene.lit(colour or COLOURS["red"]), scene.lit((0.97, 0.97, 0.97)))
    for k in range(5):
        upper, lower = (top + (foot - top) * (k + step) / 5 for step in (0, 1))
        high, low = 0.052 + 0.007 * k, 0.059 + 0.007 * k
        scene.polygon(
            *((x - high, upper), (x + high, upper), (x + low, lower), (x - low, lower)),
            colour=band[k % 2],
        )
    if scene.time == "night":
        for side in (-1, 1):
            far = [(x + side * 0.6, top - 0.16), (x + side * 0.6, top + 0.06)]
            scene.polygon((x, top - 0.035), *far, colour=(1.0, 0.95, 0.6), opacity=0.35)
    scene.box(x - 0.04, top - 0.07, x + 0.04, top, WINDOW)
    roof = scene.lit((0.25, 0.25, 0.3))
    scene.polygon((x - 0.065, top - 0.065), (x + 0.065, top - 0.065), (x, top - 0.13), colour=roof)


def mountains(scene: Scene, colour: Colour | None) -> None:
    """Two or three peaks with snow."""
    horizon = scene.between(0.76, 0.84) * scene.height
    scene.sky(horizon)
    rock = colour or (0.42, 0.42, 0.48)
    places = [(-0.34, 0.40), (0.36, 0.44), (0.0, 0.30)]
    for shift, top in places:
        x = scene.middle + shift + scene.between(-0.06, 0.06)
        peak = (top + scene.between(-0.04, 0.04)) * scene.height
        slope = 0.42 / (horizon - peak)
        scene.polygon((x - 0.42, horizon), (x, peak), (x + 0.42, horizon), colour=scene.lit(rock))
        snow = 0.32 * (horizon - peak)
        scene.polygon(
            (x - slope * snow, peak + snow),
            (x, peak),
            (x + slope * snow, peak + snow),
            (x + slope * snow * 0.35, peak + snow * 0.75),
            (x, peak + snow * 1.05),
            (x - slope * snow * 0.35, peak + snow * 0.75),
            colour=scene.lit((0.96, 0.97, 1.0)),
        )
    scene.ground(horizon, (0.30, 0.52, 0.28))


def house(scene: Scene, colour: Colour | None) -> None:
    """A house with a door and two windows beside a tree."""
    horizon = scene.between(0.68, 0.75) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.35, 0.66, 0.30))
    side = scene.rng.choice((-1, 1))
    x, foot = scene.middle - side * 0.14, horizon + 0.08
    half, tall = scene.between(0.18, 0.22), scene.between(0.24, 0.29)
    scene.tree(scene.middle + side * scene.between(0.28, 0.33), foot, scene.between(0.27, 0.33))
    walls = scene.lit(colour or (0.93, 0.87, 0.74))
    scene.box(x - half, foot - tall, x + half, foot, walls)
    roof = scene.lit((0.62, 0.20, 0.16) if colour != COLOURS["red"] else (0.35, 0.3, 0.3))
    scene.polygon(
        *((x - half * 1.25, foot - tall), (x + half * 1.25, foot - tall), (x, foot - tall - 0.18)),
        colour=roof,
    )
    scene.box(x - 0.045, foot - tall * 0.55, x + 0.045, foot, scene.lit((0.40, 0.24, 0.13)))
    glass = WINDOW if scene.time == "night" else scene.lit((0.62, 0.82, 0.95))
    for shift in (-0.62, 0.62):
        middle, up = x + shift * half, foot - tall * 0.65
        scene.box(middle - 0.038, up - 0.038, middle + 0.038, up + 0.038, glass)


def city(scene: Scene, colour: Colour | None) -> None:
    """A row of towers with windows."""
    horizon = scene.between(0.82, 0.88) * scene.height
    scene.sky(horizon)
    left, count = scene.middle - 0.46, 6
    for k in range(count):
        base = (0.36 + 0.06 * (k % 3), 0.40 + 0.05 * (k % 2), 0.50)
        top = horizon - scene.between(0.24, 0.56)
        x, wide = left + k * 0.157, 0.14
        scene.box(x, top, x + wide, horizon, scene.lit(colour or base))
        glass = WINDOW if scene.time != "day" else (0.80, 0.88, 0.95)
        for row in range(3):
            up = top + 0.045 + row * 0.075
            scene.box(x + 0.025, up, x + 0.06, up + 0.035, glass)
            scene.box(x + 0.082, up, x + 0.117, up + 0.035, glass)
    scene.ground(horizon, (0.30, 0.30, 0.33))


def boat(scene: Scene, colour: Colour | None) -> None:
    """A sailing boat."""
    horizon = scene.between(0.58, 0.66) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.13, 0.42, 0.72))
    x, y, half = (
        scene.middle + scene.between(-0.12, 0.12),
        horizon + 0.08,
        scene.between(0.22, 0.26),
    )
    top = y - scene.between(0.42, 0.48)
    scene.box(x - 0.012, top, x + 0.012, y, scene.lit((0.35, 0.22, 0.12)))
    sail = scene.lit((0.97, 0.96, 0.92))
    scene.polygon((x + 0.025, top), (x + 0.025, y - 0.04), (x + half * 0.9, y - 0.04), colour=sail)
    scene.polygon(
        (x - 0.025, top + 0.08), (x - 0.025, y - 0.04), (x - half * 0.7, y - 0.04), colour=sail
    )
    scene.polygon(
        *((x - half, y), (x + half, y), (x + half * 0.65, y + 0.12), (x - half * 0.65, y + 0.12)),
        colour=scene.lit(colour or (0.55, 0.28, 0.13)),
    )


def desert(scene: Scene, colour: Colour | None) -> None:
    """A cactus on sand."""
    horizon = scene.between(0.62, 0.68) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.90, 0.75, 0.45))
    scene.ellipse(scene.middle - 0.3, horizon + 0.16, 0.55, 0.14, scene.lit((0.85, 0.68, 0.38)))
    x, foot, top = scene.middle + scene.between(-0.15, 0.15), horizon + 0.15, horizon - 0.3
    green = scene.lit(colour or (0.20, 0.52, 0.25))
    for left, up, right, down in (
        (-0.05, top, 0.05, foot),
        (-0.19, top + 0.1, -0.11, top + 0.26),
        (-0.19, top + 0.2, 0.0, top + 0.27),
        (0.12, top + 0.04, 0.19, top + 0.2),
        (0.0, top + 0.14, 0.19, top + 0.21),
    ):
        scene.box(x + left, up, x + right, down, green)
    scene.disc(x, top, 0.05, green)
    scene.disc(x - 0.15, top + 0.1, 0.04, green)
    scene.disc(x + 0.155, top + 0.04, 0.035, green)


def forest(scene: Scene, colour: Colour | None) -> None:
    """Two rows of firs."""
    horizon = scene.between(0.62, 0.68) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.26, 0.50, 0.24))
    for count, foot, size in ((5, horizon + 0.06, 0.36), (4, horizon + 0.24, 0.50)):
        for k in range(count):
            x = scene.middle + (k - (count - 1) / 2) * 0.98 / count + scene.between(-0.03, 0.03)
            scene.fir(x, foot + scene.between(-0.02, 0.02), size * scene.between(0.9, 1.1))


def field(scene: Scene, colour: Colour | None) -> None:
    """A meadow with flowers."""
    horizon = scene.between(0.42, 0.5) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.38, 0.68, 0.28))
    petals = colour or COLOURS["red"]
    for row in range(3):
        size = 0.028 + 0.016 * row
        y = horizon + (scene.height - horizon) * (0.18 + 0.3 * row)
        for k in range(5):
            x = scene.middle + (k - 2 + 0.5 * (row % 2)) * 0.2 + scene.between(-0.03, 0.03)
            up = y + scene.between(-0.02, 0.02)
            scene.box(x - 0.006, up, x + 0.006, up + size * 2.4, scene.lit((0.14, 0.42, 0.16)))
            scene.disc(x, up, size, scene.lit(petals))
            middle = (0.98, 0.86, 0.3) if petals != COLOURS["yellow"] else (0.55, 0.32, 0.1)
            scene.disc(x, up, size * 0.4, scene.lit(middle))


def road(scene: Scene, colour: Colour | None) -> None:
    """A road that runs to the horizon between hills."""
    horizon = scene.between(0.52, 0.58) * scene.height
    scene.sky(horizon)
    for shift, down in ((-0.4, 0.1), (0.42, 0.13)):
        scene.ellipse(
            scene.middle + shift, horizon + 0.1, 0.5, 0.1 + down, scene.lit((0.30, 0.58, 0.30))
        )
    scene.ground(horizon + 0.02, (0.42, 0.68, 0.32))
    x, low = scene.middle + scene.between(-0.08, 0.08), scene.height
    scene.polygon(
        *((x - 0.025, horizon + 0.02), (x + 0.025, horizon + 0.02)),
        *((scene.middle + 0.36, low), (scene.middle - 0.36, low)),
        colour=scene.lit((0.35, 0.35, 0.37)),
    )
    for k in range(3):
        far, near = 0.15 + 0.3 * k, 0.27 + 0.33 * k
        ends = []
        for along in (far, near):
            y = horizon + 0.02 + (low - horizon) * along
            ends.append((x + (scene.middle - x) * along, y, 0.004 + 0.03 * along))
        (x1, y1, w1), (x2, y2, w2) = ends
        scene.polygon(
            *((x1 - w1, y1), (x1 + w1, y1), (x2 + w2, y2), (x2 - w2, y2)),
            colour=scene.lit((0.95, 0.93, 0.85)),
        )


def island(scene: Scene, colour: Colour | None) -> None:
    """A palm tree on an island."""
    horizon = scene.between(0.56, 0.62) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.15, 0.55, 0.75))
    x, foot = scene.middle + scene.between(-0.1, 0.1), horizon + 0.1
    scene.ellipse(x, foot + 0.05, 0.34, 0.1, scene.lit((0.93, 0.82, 0.55)))
    top = (x + 0.07, foot - 0.42)
    scene.polygon(
        *((x - 0.03, foot), (x + 0.03, foot), (top[0] + 0.02, top[1]), (top[0] - 0.02, top[1])),
        colour=scene.lit((0.50, 0.33, 0.18)),
    )
    green = scene.lit((0.15, 0.55, 0.25))
    for turn in (-0.5, 0.15, 1.05, 2.05, 2.95, 3.6):
        tip = (top[0] + 0.24 * math.cos(turn), top[1] - 0.18 * math.sin(turn) + 0.03)
        half = (-0.03 * math.sin(turn), -0.03 * math.cos(turn))
        middle = ((top[0] + tip[0]) / 2, (top[1] + tip[1]) / 2 - 0.04)
        scene.polygon(
            *(top, (middle[0] + half[0], middle[1] + half[1]), tip),
            (middle[0] - half[0], middle[1] - half[1]),
            colour=green,
        )


def snowman(scene: Scene, colour: Colour | None) -> None:
    """A snowman with a hat."""
    horizon = scene.between(0.66, 0.72) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.88, 0.92, 0.97))
    scene.fir(scene.middle - scene.between(0.34, 0.4), horizon + 0.04, 0.36)
    x, foot = scene.middle + scene.between(-0.06, 0.12), horizon + 0.17
    white = scene.lit((0.98, 0.98, 1.0))
    edge = scene.lit((0.70, 0.77, 0.88))
    for up, radius in ((0.15, 0.155), (0.35, 0.115), (0.50, 0.08)):
        scene.disc(x, foot - up, radius + 0.01, edge)
        scene.disc(x, foot - up, radius, white)
    hat = scene.lit(colour or (0.12, 0.12, 0.14))
    scene.box(x - 0.1, foot - 0.585, x + 0.1, foot - 0.56, hat)
    scene.box(x - 0.06, foot - 0.69, x + 0.06, foot - 0.57, hat)
    for shift in (-0.03, 0.03):
        scene.disc(x + shift, foot - 0.52, 0.012, (0.05, 0.05, 0.06))
    carrot = [(x, foot - 0.505), (x, foot - 0.475), (x + 0.085, foot - 0.485)]
    scene.polygon(*carrot, colour=scene.lit((0.95, 0.50, 0.12)))


def windmill(scene: Scene, colour: Colour | None) -> None:
    """A windmill on a hill."""
    horizon = scene.between(0.70, 0.76) * scene.height
    scene.sky(horizon)
    scene.ellipse(
        scene.middle, horizon + 0.5, 1.1 * scene.width, 0.55, scene.lit((0.42, 0.68, 0.32))
    )
    x, foot, top = scene.middle + scene.between(-0.1, 0.1), horizon + 0.05, horizon - 0.36
    scene.polygon(
        *((x - 0.065, top), (x + 0.065, top), (x + 0.11, foot), (x - 0.11, foot)),
        colour=scene.lit(colour or (0.93, 0.90, 0.84)),
    )
    scene.polygon(
        (x - 0.08, top), (x + 0.08, top), (x, top - 0.1), colour=scene.lit((0.5, 0.3, 0.2))
    )
    scene.box(x - 0.03, foot - 0.11, x + 0.03, foot, scene.lit((0.40, 0.24, 0.13)))
    turn, blade = scene.between(0, math.pi / 2), scene.lit((0.60, 0.45, 0.30))
    for k in range(4):
        cos, sin = math.cos(turn + k * math.pi / 2), math.sin(turn + k * math.pi / 2)
        corners = ((0.02, -0.008), (0.26, -0.008), (0.26, 0.05), (0.06, 0.05))
        scene.polygon(
            *((x + u * cos - v * sin, top + u * sin + v * cos) for u, v in corners), colour=blade
        )


def castle(scene: Scene, colour: Colour | None) -> None:
    """A castle with two towers on a hill."""
    horizon = scene.between(0.72, 0.78) * scene.height
    scene.sky(horizon)
    scene.ellipse(
        scene.middle, horizon + 0.45, 0.9 * scene.width, 0.52, scene.lit((0.35, 0.58, 0.30))
    )
    x, foot = scene.middle + scene.between(-0.08, 0.08), horizon + 0.02
    stone, roof = scene.lit(colour or (0.66, 0.65, 0.66)), scene.lit((0.30, 0.33, 0.55))
    scene.box(x - 0.2, foot - 0.24, x + 0.2, foot, stone)
    for k in range(4):
        left = x - 0.2 + k * 0.12
        scene.box(left, foot - 0.28, left + 0.05, foot - 0.23, stone)
    for side in (-1, 1):
        middle = x + side * 0.24
        scene.box(middle - 0.07, foot - 0.38, middle + 0.07, foot, stone)
        corners = [
            (middle - 0.09, foot - 0.38),
            (middle + 0.09, foot - 0.38),
            (middle, foot - 0.54),
        ]
        scene.polygon(*corners, colour=roof)
        glass = WINDOW if scene.time == "night" else (0.25, 0.25, 0.3)
        scene.box(middle - 0.018, foot - 0.3, middle + 0.018, foot - 0.23, glass)
    gate = scene.lit((0.32, 0.2, 0.12))
    scene.box(x - 0.05, foot - 0.11, x + 0.05, foot, gate)
    scene.disc(x, foot - 0.11, 0.05, gate)


def sea(scene: Scene, colour: Colour | None) -> None:
    """Nothing but the sea, with sun or moon over it, and clouds."""
    horizon = scene.between(0.58, 0.66) * scene.height
    scene.sky(horizon)
    scene.ground(horizon, (0.12, 0.40, 0.70))
    for k in range(3):
        y = horizon + 0.07 + 0.09 * k
        x = scene.middle + scene.between(-0.35, 0.35)
        scene.ellipse(x, y, 0.12, 0.008, scene.lit((0.55, 0.75, 0.92)))
    scene.cloud(scene.middle + scene.between(-0.2, 0.2), horizon * 0.55, scene.between(0.08, 0.12))


SCENES: dict[str, tuple[Draw, tuple[str, ...]]] = {
    "lighthouse": (
        lighthouse,
        ("a {} lighthouse by the sea", "a {} lighthouse on a rock in the sea", "a {} lighthouse"),
    ),
    "mountains": (mountains, ("{} mountains with snow", "{} mountains")),
    "house": (house, ("a {} house with a tree", "a {} house and a tree", "a {} house")),
    "city": (city, ("a {} city skyline", "a {} city with towers", "a {} city")),
    "boat": (boat, ("a {} boat on the sea", "a {} boat on the water", "a {} boat")),
    "desert": (desert, ("a desert with a {} cactus", "a {} cactus in the desert", "a {} desert")),
    "forest": (forest, ("trees in a {} forest", "a {} forest")),
    "field": (field, ("a field with {} flowers", "{} flowers in a field", "{} flowers")),
    "road": (road, ("a {} road between hills", "a {} road through the hills", "a {} road")),
    "island": (
        island,
        ("a {} palm tree on an island", "an island with a {} palm tree", "a {} palm tree"),
    ),
    "snowman": (
        snowman,
        ("a snowman in the snow with a {} hat", "a snowman with a {} hat", "a snowman"),
    ),
    "windmill": (
        windmill,
        ("a {} windmill on a hill", "a hill with a {} windmill", "a {} windmill"),
    ),
    "castle": (castle, ("a {} castle on a hill", "a hill with a {} castle", "a {} castle")),
    "sea": (sea, ("the {} sea with a cloud", "clouds over the {} sea", "the {} sea")),
}
"""How each is drawn, and its captions with a place for a colour; the last is the shortest."""
COLOURED_SCENES = ("lighthouse", "house", "boat", "field", "snowman", "windmill", "castle")
"""Scenes of which one thing can have any colour."""


def draw_scene(
    name: str, time: str, colour: str | None, rng: Random, width: float, height: float
) -> list[Part]:
    """The parts of a scene, different for every state of `rng`.

    >>> draw_scene("sea", "night", None, Random(1), 1.0, 1.0)[0].kind
    'gradient'
    """
    scene = Scene(rng, time, width, height)
    SCENES[name][0](scene, COLOURS[colour] if colour else None)
    return scene.parts
