"""The words that the demo model knows; all other words look alike to it and do little."""

from __future__ import annotations

import re

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black")
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross")
PLACES = ("left", "right", "top", "bottom", "center")
SIZES = ("small", "large")
SCENES = (
    "a house under a blue sky",
    "mountains at sunset",
    "the moon over the sea at night",
    "a tree on a hill",
    "a lighthouse by the sea",
    "a boat on the sea",
)
SYNONYMS = {
    "crimson": "red",
    "scarlet": "red",
    "navy": "blue",
    "violet": "purple",
    "lime": "green",
    "golden": "yellow",
    "disc": "circle",
    "disk": "circle",
    "dot": "circle",
    "ball": "circle",
    "box": "square",
    "gem": "diamond",
    "donut": "ring",
    "plus": "cross",
    "big": "large",
    "huge": "large",
    "tiny": "small",
    "little": "small",
    "middle": "center",
    "centre": "center",
    "backdrop": "background",
    "home": "house",
    "ocean": "sea",
    "ship": "boat",
}
"""Words that mean to the model what another word does."""

_SMALL_WORDS = "a an and at background drawing image in of on photo picture the with"

KNOWN_WORDS: frozenset[str] = frozenset(
    [*COLOURS, *SHAPES, *PLACES, *SIZES, *SYNONYMS, *_SMALL_WORDS.split()]
    + [word for scene in SCENES for word in scene.split()]
)


def unknown_words(prompt: str) -> tuple[str, ...]:
    """Words of a prompt that the demo model does not know, in their order, each once.

    >>> unknown_words("a fluffy red circle, fluffy!")
    ('fluffy',)
    """
    words = re.findall(r"[^\W_]+", prompt.lower())
    return tuple(dict.fromkeys(word for word in words if word not in KNOWN_WORDS))
