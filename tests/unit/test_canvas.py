"""Where a picture lies on what is drawn, and what comes out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdcpu.canvas import Canvas, canvas_for
from sdcpu.images import Fit

USUAL = (512, 512)


def laid(picture: tuple[int, int], **options: object) -> Canvas:
    settings = {"asked": (None, None), "usual": USUAL, "multiple": 64} | options
    return canvas_for(picture, **settings)  # type: ignore[arg-type]


def test_a_picture_of_any_size_keeps_it() -> None:
    canvas = laid((500, 301))
    assert canvas.drawn == (512, 320)
    assert canvas.place == canvas.result == (0, 0, 500, 301)


@pytest.mark.parametrize("size", [(4000, 3000), (60, 45)])
def test_a_picture_far_from_the_usual_size_is_scaled_to_as_many_pixels(
    size: tuple[int, int],
) -> None:
    width, height = laid(size).result_size
    assert width * height == pytest.approx(512 * 512, rel=0.01)
    assert width / height == pytest.approx(4 / 3, rel=0.01)


def test_crop_covers_the_size_and_keeps_the_middle() -> None:
    picture = Image.new("RGB", (300, 100), "red")
    picture.paste("blue", (100, 0, 200, 100))
    canvas = laid((300, 100), asked=(64, 64))
    assert canvas.result_size == (64, 64)
    inner = canvas.lay(picture).crop((4, 0, 60, 64))
    assert inner.getcolors() == [(56 * 64, (0, 0, 255))]


def test_fit_keeps_the_whole_and_its_proportions() -> None:
    assert laid((300, 100), asked=(128, 128), fit="fit").result_size == (128, 43)
    assert laid((300, 100), asked=(150, None)).result_size == (150, 50)


def test_pad_keeps_the_whole_and_goes_on_with_its_edges() -> None:
    canvas = laid((100, 50), asked=(128, 128), fit="pad")
    assert canvas.result_size == (128, 128)
    assert canvas.place == (0, 32, 128, 96)
    picture = Image.new("RGB", (100, 50), "blue")
    picture.paste("red", (0, 0, 100, 25))
    padded = canvas.lay(picture)
    assert padded.getpixel((5, 0)) == (255, 0, 0)
    assert padded.getpixel((5, 127)) == (0, 0, 255)


def test_an_extension_is_painted_and_the_picture_kept() -> None:
    canvas = laid((128, 64), multiple=8, extension=(32, 0, 16, 64), usual=(128, 128))
    assert canvas.result_size == (176, 128)
    assert canvas.place == (32, 0, 160, 64)
    mask = canvas.lay_mask(None)
    assert mask.crop(canvas.place).getextrema() == (0, 0)
    around = Image.new("L", mask.size, 255)
    around.paste(0, canvas.place)
    assert mask.tobytes() == around.tobytes()


def test_an_extension_is_scaled_with_its_picture() -> None:
    canvas = laid((4000, 4000), extension=(4000, 0, 0, 0))
    width, height = canvas.result_size
    assert width == pytest.approx(2 * height, abs=1)
    assert canvas.place == (height, 0, width, height)


sides = st.integers(8, 1200)


@given(
    size=st.tuples(sides, sides),
    asked=st.tuples(st.none() | sides, st.none() | sides),
    fit=st.sampled_from(("fit", "crop", "pad", None)),
    extension=st.tuples(*[st.integers(0, 300)] * 4),
    multiple=st.sampled_from((8, 16, 64)),
)
def test_every_layout_is_whole(
    size: tuple[int, int],
    asked: tuple[int | None, int | None],
    fit: Fit | None,
    extension: tuple[int, int, int, int],
    multiple: int,
) -> None:
    canvas = laid(size, asked=asked, fit=fit, extension=extension, multiple=multiple)
    left, top, right, bottom = canvas.result
    assert (left, top) == (0, 0)
    assert all(side % multiple == 0 for side in canvas.drawn)
    assert 0 <= canvas.drawn[0] - right < multiple
    assert 0 <= canvas.drawn[1] - bottom < multiple
    if fit in {"crop", "pad"}:
        wanted = zip(asked, canvas.result_size, strict=True)
        assert all(side in {None, result} for side, result in wanted)
    if fit != "crop" and None in asked:
        x, y, right, bottom = canvas.place
        assert x >= -1
        assert y >= -1
        assert right <= canvas.drawn[0] + 1
        assert bottom <= canvas.drawn[1] + 1


def test_what_was_not_painted_is_as_it_was_to_the_last_bit() -> None:
    random = np.random.default_rng(1)
    picture = Image.fromarray(random.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    mask = Image.new("L", (70, 50), 0)
    mask.paste(255, (10, 10, 30, 40))
    canvas = laid((70, 50), usual=(64, 64), multiple=64)
    drawn = Image.new("RGB", canvas.drawn, "red")
    result = canvas.finished(drawn, canvas.lay(picture), canvas.lay_mask(mask))
    expected = picture.copy()
    expected.paste("red", (10, 10, 30, 40))
    assert result.size == (70, 50)
    assert result.tobytes() == expected.tobytes()


def test_without_a_mask_all_of_it_is_new() -> None:
    canvas = laid((64, 64), usual=(64, 64))
    drawn = Image.new("RGB", (64, 64), "red")
    assert canvas.finished(drawn, Image.new("RGB", (64, 64)), None) is drawn
