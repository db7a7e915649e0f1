"""The words that the demo model knows; all other words look alike to it and do little."""

from __future__ import annotations

import re

COLOURS = (
    *("red", "orange", "yellow", "green", "blue", "purple", "pink"),
    *("brown", "turquoise", "cyan", "white", "gray", "black"),
)
SHAPES = (
    *("circle", "square", "triangle", "star", "heart"),
    *("diamond", "ring", "cross", "hexagon", "crescent"),
)
_SEVERAL = tuple(f"{shape}es" if shape.endswith("s") else f"{shape}s" for shape in SHAPES)
SIZES = ("small", "large")
PLACES = ("left", "right", "top", "bottom", "center", "corner", "side", "above", "below", "next")
COUNTS = ("two", "three", "four")
BACKGROUNDS = ("background", "gradient", "striped", "checkered")
TIMES = ("day", "sunset", "night")
SCENES = (
    "a lighthouse by the sea",
    "mountains with snow",
    "a house with a tree",
    "a city skyline with towers",
    "a boat on the water",
    "a desert with a cactus",
    "trees in a forest",
    "a field with flowers",
    "a road between hills",
    "a palm tree on an island",
    "a snowman with a red hat",
    "a windmill on a hill",
    "a castle on a hill",
    "the sea with a cloud",
)
SYNONYMS = {
    "an": "a",
    "crimson": "red",
    "scarlet": "red",
    "navy": "blue",
    "violet": "purple",
    "lime": "green",
    "golden": "yellow",
    "gold": "yellow",
    "teal": "turquoise",
    "aqua": "turquoise",
    "grey": "gray",
    "disc": "circle",
    "disk": "circle",
    "dot": "circle",
    "ball": "circle",
    "box": "square",
    "gem": "diamond",
    "donut": "ring",
    "plus": "cross",
    "moon": "crescent",
    "big": "large",
    "huge": "large",
    "tiny": "small",
    "little": "small",
    "middle": "center",
    "centre": "center",
    "upper": "top",
    "lower": "bottom",
    "over": "above",
    "under": "below",
    "beneath": "below",
    "beside": "next",
    "backdrop": "background",
    "stripes": "striped",
    "fading": "gradient",
    "home": "house",
    "cottage": "house",
    "ocean": "sea",
    "ship": "boat",
    "trees": "tree",
    "woods": "forest",
    "meadow": "field",
    "mountain": "mountains",
    "flower": "flowers",
    "clouds": "cloud",
    "street": "road",
    "tower": "towers",
    "mill": "windmill",
    "rocks": "rock",
    "noon": "day",
    "daytime": "day",
    "sundown": "sunset",
    "midnight": "night",
    "one": "a",
    "boxes": "squares",
    "discs": "circles",
    "balls": "circles",
    "dots": "circles",
}
"""Words that mean to the model what another word does."""

WORDS = (
    *(*COLOURS, *SHAPES, *_SEVERAL, *SIZES, *PLACES, *COUNTS, *BACKGROUNDS, "from", "to"),
    *("lighthouse", "sea", "rock", "mountains", "snow", "house", "tree", "city", "skyline"),
    *("towers", "boat", "water", "desert", "cactus", "forest", "field", "flowers", "road"),
    *("hills", "palm", "island", "snowman", "hat", "windmill", "hill", "castle", "cloud"),
    *(*TIMES, "during", "daylight", "evening", "dusk"),
    *("a", "the", "on", "in", "at", "of", "with", "and", "by", "through", "between"),
    *("picture", "drawing", "photo", "image", "painting", ",", "."),
)
"""Words that were trained, in the order of their rows in the narrow token table."""

KNOWN_WORDS: frozenset[str] = frozenset({*WORDS, *SYNONYMS} - {",", "."})


def vocabulary() -> dict[str, str]:
    """What can be asked for, by its kind, as text.

    >>> vocabulary()["sizes"]
    'small, large'
    """
    kinds = {
        "colours": COLOURS,
        "shapes": SHAPES,
        "sizes": SIZES,
        "places": PLACES,
        "counts": COUNTS,
        "backgrounds": BACKGROUNDS,
        "scenes": SCENES,
        "times": TIMES,
        "synonyms": sorted(SYNONYMS),
    }
    return {kind: ", ".join(words) for kind, words in kinds.items()}


def unknown_words(prompt: str) -> tuple[str, ...]:
    """Words of a prompt that the demo model does not know, in their order, each once.

    >>> unknown_words("a fluffy red circle, fluffy!")
    ('fluffy',)
    """
    words = re.findall(r"[^\W_]+", prompt.lower())
    return tuple(dict.fromkeys(word for word in words if word not in KNOWN_WORDS))


def unknown_words_note(model: str, prompt: str) -> str:
    """Say which words of a prompt the model passes over; empty where it knows them all.

    >>> unknown_words_note("demo", "a fluffy cat")
    'demo does not know these words: fluffy, cat. `sdcpu show demo` lists what it knows.'
    """
    unknown = unknown_words(prompt)
    if not unknown:
        return ""
    shown = ", ".join(unknown[:8]) + (", …" if len(unknown) > 8 else "")
    return f"{model} does not know these words: {shown}. `sdcpu show {model}` lists what it knows."
