"""Pictures drawn again with the demo model: the same composition, sharper, without seams."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdcpu
from sdcpu.jobs import request_fields
from sdcpu.settings import load_settings
from tests.pictures import describe, psnr
from tests.upscalers import write_upscaler


@pytest.fixture(scope="module")
def generator(
    tmp_path_factory: pytest.TempPathFactory, demo_folder: Path
) -> Iterator[sdcpu.ImageGenerator]:
    """The demo model as if it drew at 64x64 by itself, so that larger pictures need tiles."""
    folder = tmp_path_factory.mktemp("second-pass")
    models = folder / "models.toml"
    models.write_text("[demo]\ndefaults = { width = 64, height = 64 }\n", encoding="utf-8")
    settings = load_settings(
        {"SDCPU_CONFIG": str(folder / "config.toml"), "SDCPU_MODELS": str(models)}
    )
    settings = replace(settings, cache_folder=demo_folder, state_folder=folder / "state", threads=1)
    with sdcpu.ImageGenerator("demo", settings=settings) as made:
        yield made


def sharpness(image: Image.Image) -> float:
    """The 99th percentile of differences between neighbours, of 255."""
    red = np.asarray(image.getchannel("R"), float)
    return float(np.percentile(np.abs(np.diff(red, axis=1)), 99))


@pytest.mark.proves("hires fix", "sd1_tiny")
def test_hires_keeps_the_composition_and_sharpens_the_edges(
    generator: sdcpu.ImageGenerator,
) -> None:
    asked: dict[str, Any] = {
        "prompt": "a red circle on a blue background",
        "width": 128,
        "height": 128,
        "seed": 3,
    }
    first = generator.generate(**asked)
    second = generator.generate(**asked, hires=1.5)
    again = generator.generate(**request_fields(second.recipe))
    assert second.image.size == (192, 192)
    assert describe(second.image) == ("blue", "red", "circle")
    enlarged = first.image.resize((192, 192), Image.Resampling.LANCZOS)
    assert psnr(second.image, enlarged) > 20
    assert sharpness(second.image) > 1.05 * sharpness(enlarged)
    assert again.image.tobytes() == second.image.tobytes()


@pytest.mark.proves("upscaling by tiles", "sd1_tiny")
def test_tiles_leave_no_seam(generator: sdcpu.ImageGenerator) -> None:
    asked: dict[str, Any] = {"prompt": "trees in a forest", "seed": 3, "hires": 2, "tiled": True}
    events = list(generator.stream(**asked))
    plan, *_, picture = events
    assert isinstance(plan, sdcpu.EnginePlan)
    assert isinstance(picture, sdcpu.GeneratedImage)
    assert plan.second_pass is not None
    assert plan.second_pass.tiles == 9
    assert picture.image.size == plan.second_pass.size
    pixels = np.asarray(picture.image.convert("L"), float)
    edges = {box[0] for row in plan.second_pass.rows for box in row} - {0}
    edges |= {box[2] for row in plan.second_pass.rows for box in row} - {pixels.shape[1]}
    across = np.abs(np.diff(pixels, axis=1)).mean(axis=0)
    at_edges = np.mean([across[edge - 1] for edge in edges])
    # 0.96 times the mean; 6.5 times were measured where tiles are laid without fading.
    assert at_edges < 2 * across.mean()


def test_an_upscaler_enlarges_before_the_picture_is_drawn_again(
    generator: sdcpu.ImageGenerator, tmp_path: Path
) -> None:
    negative = write_upscaler(tmp_path / "negative.safetensors", factor=2, negative=True)
    asked: dict[str, Any] = {
        "prompt": "a red circle on a blue background",
        "seed": 3,
        "hires_strength": 0.1,
    }
    usual = generator.generate(**asked, hires=2)
    changed = generator.generate(**asked, hires=2, upscaler=negative)
    assert np.asarray(usual.image)[4, 4, 2] > 150 > np.asarray(changed.image)[4, 4, 2]


def test_a_picture_is_enlarged_in_tiles(generator: sdcpu.ImageGenerator, tmp_path: Path) -> None:
    start = Image.new("RGB", (64, 32), (40, 90, 200))
    start.save(tmp_path / "blue.png")
    larger = generator.generate(
        "the sea", init_image=tmp_path / "blue.png", width=128, height=64, tiled=True, seed=1
    )
    assert larger.image.size == (128, 64)
    red, _, blue = np.asarray(larger.image).mean(axis=(0, 1))
    assert blue > red + 50
