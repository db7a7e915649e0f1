"""The checks of what a picture shows must themselves be right."""

import math
from random import Random

import pytest
from PIL import Image

from sdcpu.demo.words import SHAPES
from tests.pictures import describe, draw_shape, psnr
from training.judging import held_out_pictures, pair_pictures, score_pairs, score_single
from training.pictures import parts_of
from training.raster import draw, sort_parts
from training.shapes import COLOURS, held_out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_an_ideal_picture_is_described_as_drawn(shape: str, colour: str) -> None:
    background = "black" if colour != "black" else "white"
    assert describe(draw_shape(shape, colour, background)) == (background, colour, shape)


def test_an_empty_picture_shows_no_shape() -> None:
    assert describe(Image.new("RGB", (64, 64), "blue")) == ("blue", None, None)


def test_psnr_tells_equal_close_and_different_pictures_apart() -> None:
    picture = Image.new("RGB", (8, 8), (100, 100, 100))
    close = Image.new("RGB", (8, 8), (101, 101, 101))
    inverse = Image.new("RGB", (8, 8), (255, 255, 255))
    assert psnr(picture, picture) == math.inf
    assert psnr(picture, close) == pytest.approx(48.13, abs=0.01)
    assert psnr(picture, inverse) < 10


def test_ideal_pictures_of_held_out_prompts_are_judged_right() -> None:
    asked, pairs, rng = held_out_pictures(40), pair_pictures(20), Random(1)
    assert all(
        held_out(picture.things[0].colour, picture.things[0].shape, picture.background[0])
        for picture in asked
    )
    scores = score_single(
        draw(sort_parts([parts_of(each, rng) for each in asked]), 128, 128), asked
    )
    assert min(scores[name] for name in ("colour", "background", "shape", "place")) >= 0.95
    both = score_pairs(draw(sort_parts([parts_of(each, rng) for each in pairs]), 128, 128), pairs)
    assert both["pair_all"] >= 0.95


def test_pictures_of_something_else_are_judged_wrong() -> None:
    asked, rng = held_out_pictures(40), Random(1)
    drawn = draw(sort_parts([parts_of(each, rng) for each in asked]), 128, 128)
    scores = score_single(drawn[::-1], asked)
    assert max(scores[name] for name in ("colour", "background", "shape", "place")) < 0.6
    assert scores["all"] < 0.1
