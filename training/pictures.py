"""What a training picture shows and how it is put into words."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from sdcpu.demo.words import SHAPES, TIMES
from training.raster import Colour, Part
from training.scenes import COLOURED_SCENES, SCENES, draw_scene
from training.shapes import COLOURS, held_out, shape_part

PLACES: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "": (0.5, 0.5, ("",)),
    "center": (0.5, 0.5, ("in the center", "in the middle")),
    "left": (0.27, 0.5, ("on the left", "at the left", "on the left side")),
    "right": (0.73, 0.5, ("on the right", "at the right", "on the right side")),
    "top": (0.5, 0.27, ("at the top", "on the top")),
    "bottom": (0.5, 0.73, ("at the bottom", "on the bottom")),
    "top left": (0.27, 0.27, ("at the top left", "in the top left corner")),
    "top right": (0.73, 0.27, ("at the top right", "in the top right corner")),
    "bottom left": (0.27, 0.73, ("at the bottom left", "in the bottom left corner")),
    "bottom right": (0.73, 0.73, ("at the bottom right", "in the bottom right corner")),
}
"""Where it is as a share of width and height, and the words for it."""
RELATIONS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "left": (-1, 0, ("left of", "to the left of", "on the left of")),
    "right": (1, 0, ("right of", "to the right of", "on the right of")),
    "above": (0, -1, ("above", "over")),
    "below": (0, 1, ("below", "under")),
    "and": (-1, 0, ("and", "next to", "beside")),
}
"""Where the first thing is, seen from the second, and the words for it."""
COUNTS = {"two": 2, "three": 3, "four": 4}
_TIME_WORDS = {
    "day": ("by day", "during the day", "in daylight", ""),
    "sunset": ("at sunset", "in the evening", "at dusk"),
    "night": ("at night", "by night"),
}
_OPENINGS = ("a picture of ", "a drawing of ", "a photo of ", "an image of ", "a painting of ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One object."""

    colour: str
    shape: str
    size: str = ""
    """small, large, or neither."""
    place: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What one picture shows: things on a background, or a scene."""

    things: tuple[Thing, ...] = ()
    relation: str = ""
    """Where the first of two things is."""
    count: str = ""
    """How many there are of one thing."""
    background: tuple[str, ...] = ()
    """One colour, or two."""
    pattern: str = "plain"
    """plain, gradient, striped or checkered."""
    scene: str = ""
    time: str = ""
    accent: str | None = None
    """The colour of the one thing in a scene that has any."""
    shape: tuple[float, float] = field(default=(1.0, 1.0))
    """Width and height; the shorter one is 1."""


def random_picture(rng: Random, shape: tuple[float, float] = (1.0, 1.0)) -> Picture:
    """Think of a picture; never of a combination that is held out."""
    while True:
        picture = _any_picture(rng, shape)
        if picture.pattern != "plain" or not any(
            held_out(thing.colour, thing.shape, picture.background[0]) for thing in picture.things
        ):
            return picture


def _any_picture(rng: Random, shape: tuple[float, float]) -> Picture:
    kind = rng.random()
    if kind < 0.27:
        scene = rng.choice(list(SCENES))
        coloured = scene in COLOURED_SCENES and rng.random() < 0.5
        accent = rng.choice(list(COLOURS))
        return Picture(
            scene=scene, time=rng.choice(TIMES), accent=accent if coloured else None, shape=shape
        )
    ground, other, first, second = rng.sample(list(COLOURS), 4)
    pattern = rng.choices(("plain", "gradient", "striped", "checkered"), (82, 7, 6, 5))[0]
    background = (ground,) if pattern == "plain" else (ground, other)
    if kind < 0.29:
        return Picture(background=background, pattern=pattern, shape=shape)
    shapes = rng.choice(SHAPES), rng.choice(SHAPES)
    if kind < 0.49:
        return Picture(
            things=(Thing(colour=first, shape=shapes[0]), Thing(colour=second, shape=shapes[1])),
            relation=rng.choice(list(RELATIONS)),
            background=background,
            pattern=pattern,
            shape=shape,
        )
    if kind < 0.58:
        return Picture(
            things=(Thing(colour=first, shape=shapes[0]),),
            count=rng.choice(list(COUNTS)),
            background=background,
            pattern=pattern,
            shape=shape,
        )
    place = rng.choice(list(PLACES)) if rng.random() < 0.55 else ""
    size = rng.choice(("small", "large")) if rng.random() < 0.35 else ""
    if size == "large" and place not in ("", "center"):
        size = ""
    thing = Thing(colour=first, shape=shapes[0], size=size, place=place)
    return Picture(things=(thing,), background=background, pattern=pattern, shape=shape)


def parts_of(picture: Picture, rng: Random) -> list[Part]:
    """Draw a picture: where nothing is said, places, sizes and shades vary a little."""
    if picture.scene:
        return draw_scene(picture.scene, picture.time, picture.accent, rng, *picture.shape)
    parts = [_background(picture, rng)]
    if picture.count:
        return parts + _several(picture, rng)
    if len(picture.things) == 2:
        return parts + _pair(picture, rng)
    return parts + [_single(thing, picture.shape, rng) for thing in picture.things]


def _shade(colour: str, rng: Random) -> Colour:
    red, green, blue = COLOURS[colour]
    return tuple(  # type: ignore[return-value]
        min(1.0, max(0.0, value + rng.uniform(-0.025, 0.025))) for value in (red, green, blue)
    )


def _background(picture: Picture, rng: Random) -> Part:
    first = _shade(picture.background[0], rng)
    second = _shade(picture.background[-1], rng)
    width, height = picture.shape
    if picture.pattern == "striped":
        angle = rng.choice((0.0, 1.5708, 0.7854)) + rng.uniform(-0.05, 0.05)
        return Part("stripes", (angle, rng.uniform(0.2, 0.3), rng.random()), first, second)
    if picture.pattern == "checkered":
        return Part("checks", (rng.uniform(0.33, 0.5), rng.random(), rng.random()), first, second)
    if picture.pattern == "gradient":
        return Part("gradient", (0, 0, 0, height), first, second)
    return Part("gradient", (0, 0, width, height), first, first)


def _turn(rng: Random) -> float:
    return rng.uniform(-0.07, 0.07)


def _single(thing: Thing, shape: tuple[float, float], rng: Random) -> Part:
    x, y, _ = PLACES[thing.place]
    spread = 0.025 if thing.place else 0.05
    low, high = {"small": (0.11, 0.14), "large": (0.36, 0.41), "": (0.22, 0.28)}[thing.size]
    radius = rng.uniform(low, high)
    if thing.place not in ("", "center"):
        radius = min(radius, rng.uniform(0.17, 0.21))
    x += rng.uniform(-spread, spread)
    y += rng.uniform(-spread, spread)
    place = x * shape[0], y * shape[1]
    return shape_part(thing.shape, *place, radius, _shade(thing.colour, rng), _turn(rng))


def _pair(picture: Picture, rng: Random) -> list[Part]:
    right, down, _ = RELATIONS[picture.relation]
    width, height = picture.shape
    parts = []
    for thing, side in zip(picture.things, (1, -1), strict=True):
        x = 0.5 + side * right * 0.235 + rng.uniform(-0.025, 0.025)
        y = 0.5 + side * down * 0.235 + rng.uniform(-0.025, 0.025)
        radius, colour = rng.uniform(0.165, 0.2), _shade(thing.colour, rng)
        parts.append(shape_part(thing.shape, x * width, y * height, radius, colour, _turn(rng)))
    return parts


_LAYOUTS = {
    "two": ((0.27, 0.5), (0.73, 0.5)),
    "three": ((0.5, 0.28), (0.27, 0.7), (0.73, 0.7)),
    "four": ((0.28, 0.28), (0.72, 0.28), (0.28, 0.72), (0.72, 0.72)),
}


def _several(picture: Picture, rng: Random) -> list[Part]:
    (thing,) = picture.things
    radius, colour = rng.uniform(0.15, 0.18), _shade(thing.colour, rng)
    width, height = picture.shape
    parts = []
    for x, y in _LAYOUTS[picture.count]:
        place = (x + rng.uniform(-0.02, 0.02)) * width, (y + rng.uniform(-0.02, 0.02)) * height
        parts.append(shape_part(thing.shape, *place, radius, colour, _turn(rng)))
    return parts


def caption(picture: Picture, rng: Random) -> str:
    """Put a picture into words, one of many ways.

    >>> thing = Thing(colour="red", shape="circle")
    >>> "red circle" in caption(Picture(things=(thing,), background=("blue",)), Random(1))
    True
    """
    text = _scene_words(picture, rng) if picture.scene else _shapes_words(picture, rng)
    if rng.random() < 0.3:
        text = text.replace("turquoise", "cyan")
    return rng.choice(_OPENINGS) + text if rng.random() < 0.12 else text


def article(words: str) -> str:
    """The words with "a" or "an" before them.

    >>> article("orange circle")
    'an orange circle'
    """
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(shape: str) -> str:
    """Several of a shape.

    >>> plural("cross")
    'crosses'
    """
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"


def plain_caption(picture: Picture) -> str:
    """Put a picture into words in the plainest way: what the evaluation asks for."""
    (ground,) = picture.background
    end = f"on {article(ground)} background"
    if picture.count:
        return f"{picture.count} {picture.things[0].colour} {plural(picture.things[0].shape)} {end}"
    names = [
        article(f"{thing.size} {thing.colour} {thing.shape}".strip()) for thing in picture.things
    ]
    if len(names) == 2:
        return f"{names[0]} {RELATIONS[picture.relation][2][0]} {names[1]} {end}"
    place = PLACES[picture.things[0].place][2][0]
    return " ".join(f"{names[0]} {place} {end}".split())


def _scene_words(picture: Picture, rng: Random) -> str:
    ways = [way for way in SCENES[picture.scene][1] if "{}" in way or picture.accent is None]
    words = rng.choice(ways).format(picture.accent or "")
    words = " ".join(words.split())
    for vowel in ("orange", "island"):
        words = words.replace(f"a {vowel}", f"an {vowel}")
    time = rng.choice(_TIME_WORDS[picture.time])
    if not time:
        return words
    return f"{words}{',' if rng.random() < 0.2 else ''} {time}"


def _shapes_words(picture: Picture, rng: Random) -> str:  # noqa: PLR0911 - one for each form
    background = _background_words(picture, rng)
    things = picture.things
    if not things:
        return article(background)
    if picture.count:
        first = f"{picture.count} {things[0].colour} {plural(things[0].shape)}"
        named = first
    else:
        names = [f"{thing.size} {thing.colour} {thing.shape}".strip() for thing in things]
        first, named = names[0], article(names[0])
        if len(names) == 2:
            relation = rng.choice(RELATIONS[picture.relation][2])
            first = f"{first} {relation} {article(names[1])}"
            named = f"{named} {relation} {article(names[1])}"
    place = rng.choice(PLACES[things[0].place][2])
    place = f" {place}" if place else ""
    form = rng.random()
    if form < 0.5:
        return f"{named}{place} on {article(background)}"
    if form < 0.65:
        return f"{first}{place}, {background}"
    if form < 0.72:
        return f"{background}, {first}{place}"
    if form < 0.82:
        return f"{article(background)} with {named}{place}"
    if form < 0.92 or picture.pattern != "plain":
        return f"{named} on {article(background)}{',' if place else ''}{place}"
    return f"{named}{place} on {picture.background[0]}"


def _background_words(picture: Picture, rng: Random) -> str:
    first, last = picture.background[0], picture.background[-1]
    if picture.pattern == "plain":
        return f"{first} background"
    if picture.pattern == "gradient":
        form = rng.choice(("{} to {} gradient background", "gradient background from {} to {}"))
        return form.format(first, last)
    return f"{first} and {last} {picture.pattern} background"
