"""The checks of what a picture shows must themselves be right."""

import math

import pytest
from PIL import Image

from tests.pictures import COLOURS, OUTLINES, describe, draw_shape, psnr


@pytest.mark.parametrize("shape", OUTLINES)
@pytest.mark.parametrize("colour", COLOURS)
def test_an_ideal_picture_is_described_as_drawn(shape: str, colour: str) -> None:
    background = "black" if colour != "black" else "white"
    assert describe(draw_shape(shape, colour, background)) == (background, colour, shape)


def test_an_empty_picture_shows_no_shape() -> None:
    assert describe(Image.new("RGB", (64, 64), COLOURS["blue"])) == ("blue", None, None)


def test_psnr_tells_equal_close_and_different_pictures_apart() -> None:
    picture = Image.new("RGB", (8, 8), (100, 100, 100))
    close = Image.new("RGB", (8, 8), (101, 101, 101))
    inverse = Image.new("RGB", (8, 8), (255, 255, 255))
    assert psnr(picture, picture) == math.inf
    assert psnr(picture, close) == pytest.approx(48.13, abs=0.01)
    assert psnr(picture, inverse) < 10
