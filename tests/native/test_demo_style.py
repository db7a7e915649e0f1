"""The style that ships with the package, through the real engine: outlines on white paper."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdcpu.demo import demo_files
from sdcpu.families import FileRole
from sdcpu.process import EngineProcess
from sdcpu.protocol import GenerateSettings, Load, LoadSettings, LoraFile
from tests.native.test_demo_pictures import FOUR_STEPS, GUIDED, picture

PROMPT = "a red circle on a blue background"


@pytest.fixture(scope="module", params=["demo", "demo-base"])
def drawing(
    request: pytest.FixtureRequest, demo_folder: Path
) -> Iterator[tuple[EngineProcess, GenerateSettings]]:
    files = {role.value: str(path) for role, path in demo_files(demo_folder, request.param).items()}
    settings = LoadSettings(
        files=files,
        threads=2,
        flash_attention=True,
        diffusion_conv_direct=True,
        vae_conv_direct=True,
    )
    with EngineProcess(environment=os.environ) as engine:
        for _ in engine.run(Load(settings=settings)):
            pass
        yield engine, FOUR_STEPS if request.param == "demo" else GUIDED


@pytest.mark.proves("LoRA", "sd1_tiny")
def test_the_style_draws_thin_dark_lines_on_white_paper_and_half_of_it_lies_between(
    drawing: tuple[EngineProcess, GenerateSettings], demo_folder: Path
) -> None:
    engine, settings = drawing
    style = str(demo_files(demo_folder, "demo-outline")[FileRole.LORA])

    def shares(weight: float) -> tuple[float, float, float]:
        """How much of the picture is white, how much is dark, and how colourful it is."""
        loras = (LoraFile(path=style, weight=weight),) if weight else ()
        drawn = picture(engine, replace(settings, prompt=PROMPT, loras=loras))
        pixels = np.asarray(drawn, np.float32) / 255
        colourful = (pixels.max(2) - pixels.min(2)).mean()
        return (
            float((pixels.min(2) > 0.85).mean()),
            float((pixels.max(2) < 0.4).mean()),
            float(colourful),
        )

    plain, half, whole = (shares(weight) for weight in (0.0, 0.5, 1.0))
    assert plain[0] < 0.02
    assert plain[2] > 0.5
    assert whole[0] > 0.8
    assert 0.01 < whole[1] < 0.15
    assert whole[2] < 0.08
    assert plain[0] < half[0] < whole[0]
    assert whole[2] < half[2] < plain[2]
