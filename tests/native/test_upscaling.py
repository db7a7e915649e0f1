"""Enlarging with the real engine, by networks that repeat every pixel."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import sdcpu
from sdcpu.cli.commands import run
from sdcpu.errors import InvalidRequestError, ModelFileError
from sdcpu.jobs import request_fields
from sdcpu.process import EngineProcess
from sdcpu.protocol import Pixels, Reached, Upscale, Upscaled
from sdcpu.recipe import read_recipe
from sdcpu.settings import Settings, load_settings
from tests.upscalers import write_upscaler

ROUNDING = 2
"""Of 255: the network's weights and what is computed with them have 8 to 11 bits."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(settings, state_folder=tmp_path / "state", threads=1)


@pytest.fixture
def photo() -> Image.Image:
    noise = np.random.default_rng(3).integers(0, 256, (24, 40, 3), np.uint8)
    return Image.fromarray(noise)


def repeated(image: Image.Image, times: int) -> Image.Image:
    size = (times * image.width, times * image.height)
    return image.resize(size, Image.Resampling.NEAREST)


def furthest(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures, of 255."""
    assert one.size == other.size
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


@pytest.mark.parametrize(("factor", "scale"), [(4, 4), (2, 2), (2, 4)])
def test_every_pixel_becomes_many(
    tmp_path: Path, settings: Settings, photo: Image.Image, factor: int, scale: int
) -> None:
    file = write_upscaler(tmp_path / "nearest.safetensors", factor=factor)
    with sdcpu.Upscaler(file, settings=settings) as upscaler:
        larger = upscaler.upscale(photo, scale=scale)
        assert furthest(larger.image, repeated(photo, scale)) <= ROUNDING
        again = upscaler.plan(photo, scale=scale)
    assert again.seconds_expected is not None


def test_the_network_s_weights_decide(
    tmp_path: Path, settings: Settings, photo: Image.Image
) -> None:
    file = write_upscaler(tmp_path / "negative.safetensors", negative=True)
    enlarged = sdcpu.upscale(photo, file, scale=2, settings=settings)
    expected = repeated(ImageOps.invert(photo), 4).resize(
        (80, 48), Image.Resampling.LANCZOS
    )  # a network of 4 for a scale of 2
    assert furthest(enlarged.image, expected) <= 2 * ROUNDING


def test_tiles_leave_no_seam(tmp_path: Path, photo: Image.Image) -> None:
    file = write_upscaler(tmp_path / "nearest.safetensors")
    pixels = Pixels(width=40, height=24, channels=3, data=photo.tobytes())
    message = Upscale(file=str(file), picture=pixels, scale=4, threads=1, tile_size=16)
    with EngineProcess(environment=os.environ) as engine:
        events = list(engine.run(message))
    steps = [event.steps for event in events if isinstance(event, Reached)]
    assert max(steps) >= 6
    (larger,) = (event.pixels for event in events if isinstance(event, Upscaled))
    image = Image.frombytes("RGB", (larger.width, larger.height), larger.data)
    assert furthest(image, repeated(photo, 4)) <= ROUNDING


def test_transparency_stays(tmp_path: Path, settings: Settings, photo: Image.Image) -> None:
    photo.putalpha(Image.new("L", photo.size, 128))
    file = write_upscaler(tmp_path / "nearest.safetensors")
    enlarged = sdcpu.upscale(photo, file, settings=settings).image
    assert enlarged.mode == "RGBA"
    assert enlarged.getchannel("A").getextrema() == (128, 128)


def test_a_network_that_enlarges_nothing_is_refused(
    tmp_path: Path, settings: Settings, photo: Image.Image
) -> None:
    file = write_upscaler(tmp_path / "same.safetensors", factor=1)
    with pytest.raises(InvalidRequestError, match="leaves pictures as large"):
        sdcpu.upscale(photo, file, settings=settings)


def test_on_the_command_line(
    tmp_path: Path,
    photo: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDCPU_STATE", str(tmp_path / "state"))
    photo.save("photo.png")
    write_upscaler(Path("nearest.safetensors"), factor=2)
    command = ["upscale", "photo.png", "--upscaler", "nearest.safetensors", "--scale", "2"]
    assert run(command) == 0
    captured = capsys.readouterr()
    assert captured.out == "photo-x2.png\n"
    assert "nearest.safetensors: 80x48" in captured.err
    with Image.open("photo-x2.png") as larger:
        assert furthest(larger, repeated(photo, 2)) <= ROUNDING
    assert run(command) == 2, "nothing is overwritten unasked"


def test_what_is_no_upscaler_is_named(tmp_path: Path, photo: Image.Image) -> None:
    pickled = tmp_path / "unknown.pth"
    pickled.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ModelFileError, match="none that sdcpu knows"):
        sdcpu.upscale(photo, pickled)
    with pytest.raises(InvalidRequestError, match="enlarges nothing"):
        sdcpu.upscale(photo, "demo")


@pytest.mark.proves("upscaling (ESRGAN)", "sd1_tiny")
def test_a_drawn_picture_is_enlarged_in_the_same_process(
    tmp_path: Path, settings: Settings, demo_folder: Path
) -> None:
    file = write_upscaler(tmp_path / "nearest.safetensors", factor=2)
    settings = replace(settings, cache_folder=demo_folder)
    asked = {"width": 64, "height": 64, "steps": 1, "seed": 3}
    with sdcpu.ImageGenerator("demo", settings=settings) as generator:
        small = generator.generate("a red circle on a blue background", **asked)
        pid = generator.engine_pid
        events = list(
            generator.stream(
                "a red circle on a blue background", upscale=2, upscaler=file, count=2, **asked
            )
        )
        assert generator.engine_pid == pid
    large, other = (event for event in events if isinstance(event, sdcpu.GeneratedImage))
    assert furthest(large.image, repeated(small.image, 2)) <= ROUNDING
    assert (other.seed, other.width) == (4, 128)
    stages = [event.stage for event in events if isinstance(event, sdcpu.Progress)]
    assert stages.index("upscale") > stages.index("decode")
    path = large.save(tmp_path / "large.png")
    again = request_fields(read_recipe(path))
    assert (again["width"], again["upscale"], again["upscaler"]) == (64, 2, str(file))
