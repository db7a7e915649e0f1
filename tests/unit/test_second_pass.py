"""Drawing a picture again: sizes, tiles that leave no seam, and what is given up for the memory."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdcpu.errors import InvalidRequestError, NotEnoughMemoryError
from sdcpu.images import ImageRequest
from sdcpu.models import Defaults, Model
from sdcpu.second_pass import OVERLAP, SecondPass, first_request
from tests.unit.test_plan import plan

MODEL = Model(name="m", summary="", family="sd1", files=(), defaults=Defaults())
GB = 10**9


def second(size: tuple[int, int], tile: tuple[int, int]) -> SecondPass:
    return SecondPass(size=size, tile=tile, strength=0.3, steps=4)


@pytest.mark.parametrize(
    ("size", "tile", "tiles"),
    [
        ((512, 512), (512, 512), 1),
        ((1024, 1024), (512, 512), 9),
        ((1024, 512), (512, 512), 3),
        ((640, 512), (512, 512), 2),
        ((2048, 1088), (512, 512), 15),
        ((192, 64), (64, 64), 4),
    ],
)
def test_tiles_cover_the_picture_and_overlap(
    size: tuple[int, int], tile: tuple[int, int], tiles: int
) -> None:
    made = second(size, tile)
    assert made.tiles == tiles
    covered = np.zeros((size[1], size[0]), int)
    for row in made.rows:
        for left, top, right, bottom in row:
            assert (right - left, bottom - top) == tile
            covered[top:bottom, left:right] += 1
        for before, after in pairwise(row):
            assert before[2] - after[0] >= OVERLAP * tile[0] - 1
    assert covered.min() == 1 or tiles > 4
    assert covered.min() >= 1


def joined(made: SecondPass, picture: Image.Image, tiles: list[Image.Image]) -> Image.Image:
    """The picture with these tiles in it, as an order joins them."""
    waiting = iter(tiles)
    for row in made.rows:
        strip = picture.crop((0, row[0][1], picture.width, row[0][3]))
        for left, *_ in row:
            made.join_tile(strip, next(waiting), left)
        made.join_row(picture, strip, row[0][1])
    return picture


def test_tiles_that_agree_give_the_picture_they_were_cut_from() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (160, 200, 3), np.uint8)
    whole = Image.fromarray(noise)
    made = second((200, 160), (64, 64))
    tiles = [whole.crop(box) for row in made.rows for box in row]
    result = joined(made, Image.new("RGB", whole.size), tiles)
    # Where a tile fades in over itself, the weights are rounded to 8 bits.
    assert np.abs(np.asarray(result, int) - np.asarray(whole, int)).max() <= 1


def test_tiles_that_differ_leave_no_edge() -> None:
    made = second((200, 200), (96, 96))
    tiles = [
        Image.new("RGB", made.tile, ((37 * number) % 256, (91 * number) % 256, 128))
        for number in range(made.tiles)
    ]
    result = np.asarray(joined(made, Image.new("RGB", made.size), tiles), int)
    steepest = max(np.abs(np.diff(result, axis=axis)).max() for axis in (0, 1))
    assert steepest <= 255 / (OVERLAP * 96) + 3


@pytest.mark.parametrize("strength", [0.05, 0.15, 0.3, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 5, 10, 20])
def test_the_engine_does_the_steps_that_were_planned(steps: int, strength: float) -> None:
    made = SecondPass(size=(8, 8), tile=(8, 8), strength=strength, steps=steps)
    # As the engine counts: it rounds down, and begins one step earlier.
    begun = min(math.floor(made.asked_steps * made.asked_strength), made.asked_steps - 1)
    assert begun + 1 == steps
    assert steps / made.asked_steps == pytest.approx(strength, abs=0.1) or steps == 1


def test_a_large_picture_in_tiles_begins_at_the_model_s_size() -> None:
    request = first_request(ImageRequest(prompt="", width=2048, height=1024, tiled=True), MODEL)
    assert (request.width, request.height) == (704, 384)
    assert request.hires == pytest.approx(2048 / 704)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"hires": 2, "init_image": "a.png", "mask_image": "b.png"}, "a mask would be lost"),
        ({"hires": 2, "init_image": "a.png", "extension": (8, 0, 0, 0)}, "an extension would"),
        ({"hires": 2, "ref_images": ("a.png",)}, "reference pictures would be lost"),
        ({"hires": 2, "tiled": True, "seamless": "x"}, "seamless edges would be lost"),
        ({"tiled": True}, "need no tiles"),
        ({"hires": 4, "width": 4096}, "at most 8192"),
    ],
)
def test_what_cannot_be_drawn_again_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        plan(**asked)


def test_the_plan_says_both_passes() -> None:
    made = plan(hires=2, cache="off")
    assert made.second_pass is not None
    assert made.second_pass.size == made.second_pass.tile == (1024, 1024)
    asked = made.request
    assert (asked.width, asked.hires_strength, asked.tiled) == (512, 0.5, False)
    assert made.surprises[0] == (
        "Drawn at 512x512, enlarged to 1024x1024 and drawn again from there: 10 steps, "
        "strength 0.5."
    )
    assert made.memory_needed > plan().memory_needed


def test_what_does_not_fit_at_once_is_drawn_in_tiles() -> None:
    made = plan(hires=2, available=round(2.2 * GB), cache="off")
    assert made.second_pass is not None
    assert (made.second_pass.tile, made.second_pass.tiles) == ((512, 512), 9)
    assert made.request.tiled
    assert "9 tiles of 512x512, because 1024x1024 at once would need" in made.surprises[0]
    with pytest.raises(NotEnoughMemoryError):
        plan(hires=2, available=GB)


def test_a_picture_that_is_brought_along_is_enlarged_in_tiles(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "small.png")
    start = tmp_path / "small.png"
    made = plan(init_image=start, width=1024, height=1024, tiled=True, cache="off")
    assert made.second_pass is not None
    assert made.second_pass.alone
    assert made.second_pass.strength == 0.3
    assert "hires" not in made.surprises[0]
