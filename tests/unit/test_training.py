"""The pictures and prompts that the demo model is trained on; training itself needs PyTorch."""

from random import Random

import numpy as np
import pytest

from sdcpu.demo.words import TIMES, unknown_words
from training.landscape import Scene
from training.pictures import Picture, caption, parts_of, random_picture
from training.raster import draw, sort_parts
from training.scenes import COLOURED_SCENES, SCENES, draw_scene
from training.shapes import held_out
from training.vocabulary import LENGTH, ROWS, UNKNOWN, encode


def test_prompts_have_known_words_only_and_no_held_out_combination() -> None:
    rng = Random(3)
    for _ in range(500):
        picture = random_picture(rng, (1.0, 1.5))
        text = caption(picture, rng)
        assert unknown_words(text) == ()
        rows = encode(text)
        assert len(rows) == LENGTH
        assert UNKNOWN not in rows
        assert max(rows) < ROWS
        if picture.pattern == "plain":
            for thing in picture.things:
                assert not held_out(thing.colour, thing.shape, picture.background[0])


def test_pictures_are_drawn_whatever_they_show() -> None:
    rng = Random(4)
    parts = [parts_of(random_picture(rng, (1.5, 1.0)), rng) for _ in range(60)]
    pictures = draw(sort_parts(parts), 32, 48)
    assert pictures.shape == (60, 3, 32, 48)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert len(np.unique(pictures.reshape(60, -1), axis=0)) == 60


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_is_darker_at_night_and_shows_its_colour(scene: str) -> None:
    pictures = {
        time: draw(sort_parts([draw_scene(scene, time, None, Random(1), 1.0, 1.0)]), 64, 64)
        for time in TIMES
    }
    assert pictures["night"].mean() < 0.6 * pictures["day"].mean()
    if scene in COLOURED_SCENES:
        parts = draw_scene(scene, "day", "purple", Random(1), 1.0, 1.0)
        assert np.abs(draw(sort_parts([parts]), 64, 64) - pictures["day"]).max() > 0.3


def test_stone_stands_out_from_the_sky_at_night() -> None:
    scene = Scene(Random(1), "night", 1.0, 1.0)
    assert np.mean(scene.lit((0.66, 0.65, 0.66))) > np.mean(scene.sky_colours[1]) + 0.2


def test_a_scene_can_be_asked_for_in_few_words() -> None:
    assert all(len(ways[-1].split()) <= 4 for _, ways in SCENES.values())
    said = {
        caption(Picture(scene="snowman", time="day", accent=accent), Random(seed))
        for accent in ("red", None)
        for seed in range(60)
    }
    assert "a snowman" in said
    assert not any("red" in text and "hat" not in text for text in said)
