"""Pictures made from pictures, seen in what comes out."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageChops

from sdcpu.generator import ImageGenerator
from tests.pictures import describe, draw_shape

CIRCLE = "a red circle on a blue background"


@pytest.fixture(scope="module")
def generator() -> Iterator[ImageGenerator]:
    with ImageGenerator("demo", offline=True) as generator:
        yield generator


@pytest.fixture(scope="module")
def circle() -> Image.Image:
    return draw_shape("circle", "red", "blue", 128)


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures, 0 to 255."""
    return float(
        np.mean(np.asarray(ImageChops.difference(one.convert("RGB"), other)).astype(float))
    )


@pytest.mark.proves("inpainting", "sd1_tiny")
def test_outside_the_mask_every_pixel_stays(generator: ImageGenerator, circle: Image.Image) -> None:
    mask = Image.new("L", circle.size, 0)
    mask.paste(255, (0, 0, 64, 128))
    made = generator.generate(
        "a yellow circle on a green background",
        init_image=circle,
        mask_image=mask,
        strength=1.0,
        seed=1,
    ).image
    kept = (64, 0, 128, 128)
    assert made.crop(kept).tobytes() == circle.crop(kept).tobytes()
    painted = (0, 0, 56, 128)
    assert difference(made.crop(painted), circle.crop(painted)) > 60


def test_the_transparent_part_of_a_picture_is_its_mask(
    generator: ImageGenerator, circle: Image.Image
) -> None:
    hole = Image.new("L", circle.size, 255)
    hole.paste(0, (0, 0, 64, 128))
    seen = circle.convert("RGBA")
    seen.putalpha(hole)
    made = generator.generate(CIRCLE, init_image=circle, mask_image=seen, seed=1).image
    kept = (64, 0, 128, 128)
    assert made.crop(kept).tobytes() == circle.crop(kept).tobytes()


@pytest.mark.proves("outpainting", "sd1_tiny")
def test_an_extension_continues_the_picture(generator: ImageGenerator, circle: Image.Image) -> None:
    made = generator.generate(CIRCLE, init_image=circle, extension=(60, 0, 0, 30), seed=5)
    assert (made.width, made.height) == (188, 158)
    assert made.image.crop((60, 0, 188, 128)).tobytes() == circle.tobytes()
    # What is new is the background that the picture has, not something else.
    blue = np.asarray(circle)[0, 0].astype(float)
    new = np.asarray(made.image.crop((0, 0, 60, 158)).convert("RGB")).astype(float)
    assert float(np.median(np.abs(new - blue))) < 30


def test_the_result_has_the_size_and_the_look_of_the_picture(
    generator: ImageGenerator, circle: Image.Image
) -> None:
    odd = circle.resize((201, 201)).crop((0, 10, 201, 189))
    made = generator.generate("a green circle on a blue background", init_image=odd, seed=2)
    assert made.image.size == odd.size
    assert (made.request.width, made.request.height) == (201, 179)
    assert describe(made.image).colour == "green"


@pytest.mark.proves("img2img", "sd1_tiny")
def test_a_low_strength_keeps_the_size_of_things_and_a_high_one_forgets_it(
    generator: ImageGenerator,
) -> None:
    large = draw_shape("circle", "red", "blue", 192).crop((32, 32, 160, 160))

    def red(image: Image.Image) -> int:
        return int(np.sum(np.asarray(image.convert("RGB"))[..., 0] > 150))

    near, far = (
        red(generator.generate(CIRCLE, init_image=large, strength=strength, seed=3).image)
        for strength in (0.25, 1.0)
    )
    assert red(large) > near > 1.1 * far


@pytest.mark.parametrize(
    ("fit", "size", "share"),
    [("crop", (128, 128), 1), ("pad", (128, 128), 4), ("fit", (128, 64), 4)],
)
@pytest.mark.proves("pictures of any size and shape", "sd1_tiny")
def test_the_size_asked_for_is_made_of_the_middle_or_of_all(
    generator: ImageGenerator,
    circle: Image.Image,
    fit: str,
    size: tuple[int, int],
    share: int,
) -> None:
    wide = Image.new("RGB", (256, 128), circle.getpixel((0, 0)))
    wide.paste(circle, (64, 0))
    mask = Image.new("L", wide.size, 0)
    mask.paste(255, (0, 0, 8, 128))
    made = generator.generate(
        CIRCLE, init_image=wide, mask_image=mask, width=128, height=128, fit=fit, seed=4
    )
    assert made.image.size == size
    red = [int(np.sum(np.asarray(image)[..., 0] > 150)) for image in (circle, made.image)]
    assert red[1] == pytest.approx(red[0] / share, rel=0.05)


EDGES = """
import ctypes, sys
import stable_diffusion_cpp.stable_diffusion_cpp as binding
from sdcpu.native import copy_pixels, image_parameters
from sdcpu.protocol import GenerateSettings, Pixels

size, left = 64, bytes([20, 20, 20] * 32)
picture = Pixels(width=size, height=size, channels=3, data=(left + bytes([220] * 96)) * size)
settings = GenerateSettings(
    prompt="", width=size, height=size, steps=1, cfg_scale=1, guidance=1, sampler="euler",
    scheduler="discrete", seed=1, control_image=picture, control_canny=True,
)
seen = copy_pixels(image_parameters(binding, settings, 1).control_image)
sys.stdout.write(seen.data.hex())
"""


def test_canny_finds_the_edge_of_a_photograph() -> None:
    told = subprocess.run(
        [sys.executable, "-c", EDGES], capture_output=True, text=True, check=True, timeout=60
    )
    found = np.frombuffer(bytes.fromhex(told.stdout.split()[-1]), np.uint8).reshape(64, 64, 3)
    columns = np.flatnonzero((found[8:56] > 127).any(axis=(0, 2)))
    inner = {int(column) for column in columns if 8 <= column < 56}  # its own edges are some too
    assert inner
    assert inner <= set(range(28, 36))
