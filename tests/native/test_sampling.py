"""What steers the sampling, seen in the pictures: noise levels, fresh noise, caches, seams."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdcpu.demo import demo_files
from sdcpu.process import EngineProcess
from sdcpu.protocol import Drawn, Generate, GenerateSettings, Load, LoadSettings
from tests.pictures import psnr

FOREST = GenerateSettings(
    prompt="trees in a forest by day",
    width=64,
    height=64,
    steps=4,
    cfg_scale=1.0,
    guidance=3.5,
    sampler="euler_a",
    scheduler="discrete",
    seed=3,
)


@pytest.fixture(scope="module")
def load(demo_folder: Path) -> LoadSettings:
    files = {role.value: str(path) for role, path in demo_files(demo_folder).items()}
    return LoadSettings(
        files=files,
        threads=1,
        flash_attention=True,
        diffusion_conv_direct=True,
        vae_conv_direct=True,
    )


@pytest.fixture(scope="module")
def process() -> Iterator[EngineProcess]:
    with EngineProcess(environment=os.environ) as engine:
        yield engine


@pytest.fixture
def engine(process: EngineProcess, load: LoadSettings) -> EngineProcess:
    list(process.run(Load(settings=load)))
    return process


def draw(engine: EngineProcess, settings: GenerateSettings) -> Image.Image:
    events = engine.run(Generate(settings=settings))
    (pixels,) = (event.pixels for event in events if isinstance(event, Drawn))
    return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.data)


@pytest.mark.proves("samplers and noise levels", "sd1_tiny")
def test_the_scheduler_s_own_noise_levels_give_the_same_picture(engine: EngineProcess) -> None:
    euler = replace(FOREST, sampler="euler")
    # What the discrete scheduler takes for four steps of Stable Diffusion 1.5's noise.
    levels = (14.6146, 2.9183, 0.9324, 0.0292, 0.0)
    scheduled = draw(engine, euler)
    assert psnr(draw(engine, replace(euler, sigmas=levels)), scheduled) > 45
    others = (14.6146, 7.0, 3.0, 1.0, 0.0)
    assert psnr(draw(engine, replace(euler, sigmas=others)), scheduled) < 35


def test_without_fresh_noise_an_ancestral_sampler_is_the_plain_one(engine: EngineProcess) -> None:
    plain = draw(engine, replace(FOREST, sampler="euler"))
    assert psnr(draw(engine, replace(FOREST, eta=0.0)), plain) > 45
    assert psnr(draw(engine, FOREST), plain) < 35


@pytest.mark.parametrize("cache", ["ucache", "spectrum"])
@pytest.mark.proves("step cache", "sd1_tiny")
def test_a_cache_skips_steps_and_hardly_changes_the_picture(
    engine: EngineProcess, cache: str
) -> None:
    many = replace(FOREST, steps=20, sampler="euler", scheduler="karras")
    events = list(engine.run(Generate(settings=replace(many, cache=cache))))
    lines = " ".join(event.text for event in events if hasattr(event, "text"))
    assert "skipped" in lines
    (pixels,) = (event.pixels for event in events if isinstance(event, Drawn))
    cached = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.data)
    assert 25 < psnr(cached, draw(engine, many)) < 60


@pytest.mark.parametrize(
    ("seamless", "across", "down"), [("none", 1, 1), ("x", 0, 1), ("y", 1, 0), ("both", 0, 0)]
)
@pytest.mark.proves("seamless edges", "sd1_tiny")
def test_edges_fit_together(
    process: EngineProcess, load: LoadSettings, seamless: str, across: int, down: int
) -> None:
    settings = replace(
        load,
        seamless_horizontally=seamless in ("x", "both"),
        seamless_vertically=seamless in ("y", "both"),
    )
    list(process.run(Load(settings=settings)))
    asked = replace(FOREST, prompt="mountains at sunset", sampler="lcm", scheduler="lcm", seed=4)
    picture = np.asarray(draw(process, replace(asked, width=128, height=128)), float)
    left_to_right = np.abs(picture[:, 0] - picture[:, -1]).mean()
    top_to_bottom = np.abs(picture[0] - picture[-1]).mean()
    assert (left_to_right > 4, top_to_bottom > 4) == (bool(across), bool(down))
