"""The demo model through the real engine: pictures show what was asked for, to the number."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from sdcpu.demo import demo_files
from sdcpu.process import EngineProcess
from sdcpu.protocol import Drawn, Generate, GenerateSettings, Load, LoadSettings
from tests import reference_picture
from tests.pictures import Described, describe, psnr

SAME_PICTURE = 40
"""Decibels; the engine stores weights in 8 bits, the reference in 32: 51 to 53 were measured."""


@pytest.fixture(scope="module")
def engine(demo_folder: Path) -> Iterator[EngineProcess]:
    files = {role.value: str(path) for role, path in demo_files(demo_folder).items()}
    # The engine's own kernels; tests/native/accel compares ours with them. The copies of a narrow
    # channel round alike, so what bf16 loses does not average out here as it does elsewhere.
    with EngineProcess(environment={**os.environ, "SDCPU_ACCEL": "off"}) as process:
        for _ in process.run(Load(settings=LoadSettings(files=files, threads=2))):
            pass
        yield process


@pytest.fixture(scope="module")
def base(demo_folder: Path) -> Iterator[EngineProcess]:
    files = {role.value: str(path) for role, path in demo_files(demo_folder, "demo-base").items()}
    settings = LoadSettings(
        files=files,
        threads=2,
        flash_attention=True,
        diffusion_conv_direct=True,
        vae_conv_direct=True,
    )
    with EngineProcess(environment=os.environ) as process:
        for _ in process.run(Load(settings=settings)):
            pass
        yield process


FOUR_STEPS = GenerateSettings(
    prompt="",
    width=128,
    height=128,
    steps=4,
    cfg_scale=1.0,
    guidance=3.5,
    sampler="lcm",
    scheduler="lcm",
    seed=3,
)
GUIDED = replace(FOUR_STEPS, steps=10, cfg_scale=4.0, sampler="euler", scheduler="discrete")


def draw(engine: EngineProcess, prompt: str, seed: int) -> Image.Image:
    return picture(engine, replace(FOUR_STEPS, prompt=prompt, seed=seed))


def picture(engine: EngineProcess, settings: GenerateSettings) -> Image.Image:
    events = engine.run(Generate(settings=settings))
    (pixels,) = (event.pixels for event in events if isinstance(event, Drawn))
    return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.data)


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("a red circle on a blue background", ("blue", "red", "circle")),
        ("a golden star on a navy background", ("blue", "yellow", "star")),  # synonyms
        ("a splendid green triangle on white", ("white", "green", "triangle")),  # an unknown word
    ],
)
@pytest.mark.proves("text to picture", "sd1_tiny")
def test_a_picture_shows_what_was_asked_for(
    engine: EngineProcess, prompt: str, shown: Described
) -> None:
    assert describe(draw(engine, prompt, seed=3)) == shown


@pytest.mark.parametrize(
    "prompt", ["a golden star on a navy background", "a lighthouse by the sea"]
)
def test_a_picture_is_what_the_narrow_network_computes(engine: EngineProcess, prompt: str) -> None:
    reference = reference_picture.draw(prompt, seed=3)
    assert psnr(draw(engine, prompt, seed=3), reference) > SAME_PICTURE
    assert psnr(draw(engine, prompt, seed=5), reference) < SAME_PICTURE - 10


@pytest.mark.proves("negative prompt", "sd1_tiny")
def test_the_base_model_draws_with_guidance_and_minds_a_negative_prompt(
    base: EngineProcess,
) -> None:
    asked = replace(GUIDED, prompt="a red circle on a blue background")
    assert describe(picture(base, asked))[:2] == ("blue", "red")
    at_sea = replace(GUIDED, prompt="a boat on the sea")
    bright, dark = (
        ImageStat.Stat(picture(base, replace(at_sea, negative_prompt=unwanted)).convert("L")).mean[
            0
        ]
        for unwanted in ("night", "day")
    )
    assert bright > dark + 20
