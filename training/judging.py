"""Does a picture show what was asked for? Colours, shapes and places, measured with NumPy alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sdcpu.demo.words import SHAPES
from training.pictures import PLACES, RELATIONS, Picture, Thing
from training.raster import draw, sort_parts
from training.shapes import COLOURS, held_out, shape_part

Array = npt.NDArray[Any]

_SIDE = 48
"""Shapes are compared at this many pixels across."""
_ANGLES = (-0.06, 0.0, 0.06)
_DIFFERENT = 60 / 255
"""How far a colour must be from the background's to belong to an object."""
_LIKE, _LIKE_IN_PAIR = 0.8, 0.7
"""Overlap over union from which on a shape counts as right."""
_APART = 0.2
"""How far apart two things must be, as a share of the picture."""
_STRETCHED = 0.25
"""Logarithm of how far a box may be from its shape's proportions."""
_COLOUR_NAMES = list(COLOURS)
_ANCHORS = {name: place[:2] for name, place in PLACES.items() if name}


class Seen(NamedTuple):
    """What a mask of every picture shows."""

    shape: Array
    """Index into `SHAPES` of the most similar."""
    overlap: Array
    """Overlap over union with each of `SHAPES`, shape (pictures, shapes)."""
    x: Array
    """The middle of its box, as a share of the width."""
    y: Array
    """The same for the height."""


def held_out_pictures(count: int, seed: int = 0) -> list[Picture]:
    """Single objects in combinations of colour, shape and background that were never trained."""
    rng = random.Random(seed)
    combinations = [
        (colour, shape, ground)
        for colour in COLOURS
        for shape in SHAPES
        for ground in COLOURS
        if colour != ground and held_out(colour, shape, ground)
    ]
    rng.shuffle(combinations)
    pictures = []
    for number in range(count):
        colour, shape, ground = combinations[number % len(combinations)]
        place = rng.choice(list(PLACES)) if rng.random() < 0.6 else ""
        size = rng.choice(("", "", "large" if place in ("", "center") else "", "small"))
        thing = Thing(colour=colour, shape=shape, place=place, size=size)
        pictures.append(Picture(things=(thing,), background=(ground,)))
    return pictures


def pair_pictures(count: int, seed: int = 0) -> list[Picture]:
    """Two objects, at least one of them in a combination that was never trained."""
    rng = random.Random(seed)
    pictures: list[Picture] = []
    while len(pictures) < count:
        ground, *colours = rng.sample(list(COLOURS), 3)
        things = tuple(Thing(colour=colour, shape=rng.choice(SHAPES)) for colour in colours)
        if any(held_out(thing.colour, thing.shape, ground) for thing in things):
            relation = rng.choice(list(RELATIONS))
            pictures.append(Picture(things=things, relation=relation, background=(ground,)))
    return pictures


def background_of(pictures: Array) -> Array:
    """The median colour of the border, shape (pictures, 3)."""
    edges = [pictures[:, :, :4], pictures[:, :, -4:], pictures[..., :4], pictures[..., -4:]]
    flat = [edge.reshape(*edge.shape[:2], -1) for edge in edges]
    return np.asarray(np.median(np.concatenate(flat, 2), axis=2))


def nearest_colour(colours: Array) -> Array:
    """Index of the known colour nearest to each, shape (…, 3) to (…)."""
    known = np.array(list(COLOURS.values()), np.float32)
    far = np.stack([((colours - each) ** 2).sum(-1) for each in known], -1)
    return np.asarray(far.argmin(-1))


def objects_of(pictures: Array) -> Array:
    """Where a picture is not background, without specks: bool, (pictures, height, width)."""
    far = pictures - background_of(pictures)[..., None, None]
    return _without_specks(np.sqrt((far**2).sum(1)) > _DIFFERENT)


def _without_specks(mask: Array) -> Array:
    return _grown(~_grown(~mask))


def _grown(mask: Array) -> Array:
    """A mask with all neighbours of its pixels."""
    height, width = mask.shape[1:]
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    grown = np.zeros_like(mask)
    for down in range(3):
        for right in range(3):
            grown |= padded[:, down : down + height, right : right + width]
    return grown


def _boxes(mask: Array) -> Array:
    """Left, top, right, bottom in pixels; an empty mask gets the whole picture."""
    found: list[Array] = []
    for axis in (1, 2):
        lines: Array = mask.max(axis)
        filled: Array = lines | ~lines.max(1, keepdims=True)
        found += [filled.argmax(1), filled.shape[1] - filled[:, ::-1].argmax(1)]
    left, right, top, bottom = found
    return np.stack([left, top, right, bottom], 1)


def _cut_out(mask: Array, boxes: Array) -> Array:
    """The contents of the boxes, `_SIDE` pixels square: bool, (pictures, side, side)."""
    steps = (np.arange(_SIDE) + 0.5) / _SIDE
    x = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * steps
    y = boxes[:, 1:2] + (boxes[:, 3:] - boxes[:, 1:2]) * steps
    pictures = np.arange(len(mask))[:, None, None]
    return np.asarray(mask[pictures, y.astype(int)[:, :, None], x.astype(int)[:, None]])


@cache
def _templates() -> tuple[Array, Array]:
    """Ideal masks of all shapes, turned a little, and how wide each is for its height."""
    black, white = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    parts = [
        [shape_part("square", 0.5, 0.5, 9, black), shape_part(shape, 0.5, 0.5, 0.4, white, turn)]
        for shape in SHAPES
        for turn in _ANGLES
    ]
    mask = draw(sort_parts(parts), 256, 256)[:, 0] > 0.5
    boxes = _boxes(mask)
    return _cut_out(mask, boxes), _proportions(boxes)


def _proportions(boxes: Array) -> Array:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]))


def look(mask: Array) -> Seen:
    """Compare masks, shape (pictures, height, width), with the ideal ones."""
    ideal, proportions = _templates()
    boxes = _boxes(mask)
    seen = _cut_out(mask, boxes)[:, None]
    overlap = (seen & ideal).sum((2, 3)) / (seen | ideal).sum((2, 3)).clip(min=1)
    stretched = np.abs(np.log(_proportions(boxes)[:, None] / proportions)) > _STRETCHED
    overlap = np.where(stretched, overlap * 0.5, overlap)
    overlap = overlap.reshape(-1, len(SHAPES), len(_ANGLES)).max(2)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    height, width = mask.shape[1:]
    return Seen(overlap.argmax(1), overlap, middle[:, 0] / width, middle[:, 1] / height)


def median_colour(pictures: Array, mask: Array) -> Array:
    """The median colour under each mask, shape (pictures, 3); gray where it is empty."""
    return np.array(
        [
            np.median(picture[:, there], axis=1) if there.any() else (0.5, 0.5, 0.5)
            for picture, there in zip(pictures, mask, strict=True)
        ]
    )


def score_single(pictures: Array, asked: Sequence[Picture]) -> dict[str, float]:
    """Shares of pictures of one object whose colour, background, shape and place are right.

    Pictures in [0, 1] have the shape (pictures, 3, height, width).
    """
    mask = objects_of(pictures)
    seen = look(mask)
    colour = nearest_colour(median_colour(pictures, mask))
    ground = nearest_colour(background_of(pictures))
    right: dict[str, list[bool]] = {"colour": [], "background": [], "shape": [], "place": []}
    overlaps = []
    for number, picture in enumerate(asked):
        (thing,) = picture.things
        shape = SHAPES.index(thing.shape)
        overlap = float(seen.overlap[number, shape])
        overlaps.append(overlap)
        right["colour"].append(_COLOUR_NAMES[colour[number]] == thing.colour)
        right["background"].append(_COLOUR_NAMES[ground[number]] == picture.background[0])
        right["shape"].append(seen.shape[number] == shape and overlap >= _LIKE)
        place = _nearest_place(float(seen.x[number]), float(seen.y[number]))
        right["place"].append(place == (thing.place or "center"))
    scores = {name: float(np.mean(values)) for name, values in right.items()}
    scores["all"] = float(np.mean([all(each) for each in zip(*right.values(), strict=True)]))
    return scores | {"overlap": float(np.mean(overlaps))}


def _nearest_place(x: float, y: float) -> str:
    return min(
        _ANCHORS, key=lambda name: (x - _ANCHORS[name][0]) ** 2 + (y - _ANCHORS[name][1]) ** 2
    )


def score_pairs(pictures: Array, asked: Sequence[Picture]) -> dict[str, float]:
    """Shares of pictures of two objects: both shapes in their colours, and where they are."""
    nearest = nearest_colour(pictures.transpose(0, 2, 3, 1))
    objects = objects_of(pictures)
    seen = []
    for which in (0, 1):
        wanted = [_COLOUR_NAMES.index(picture.things[which].colour) for picture in asked]
        here = nearest == np.array(wanted)[:, None, None]
        seen.append(look(_without_specks(here & objects)))
    first, second = seen
    shapes, relations = [], []
    for number, picture in enumerate(asked):
        shapes.append(
            all(
                each.overlap[number, SHAPES.index(thing.shape)] >= _LIKE_IN_PAIR
                for each, thing in zip(seen, picture.things, strict=True)
            )
        )
        right, down, _ = RELATIONS[picture.relation]
        across = first.x[number] - second.x[number]
        along = first.y[number] - second.y[number]
        relations.append(bool(right * across + down * along > _APART))
    both = [a and b for a, b in zip(shapes, relations, strict=True)]
    return {
        "pair_shapes": float(np.mean(shapes)),
        "pair_relation": float(np.mean(relations)),
        "pair_all": float(np.mean(both)),
    }
