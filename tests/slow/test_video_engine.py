"""The engine's ways of making a video, with random weights: from frames, and with two models."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.accel import library_path
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    FrameDrawn,
    FromEngine,
    GenerateSettings,
    GenerateVideo,
    Load,
    LoadSettings,
    Pixels,
    Previewed,
    Reached,
    VideoSettings,
)
from tests.checkpoints.catalog import CHECKPOINTS
from tests.checkpoints.writer import TypeName, write_small_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(library_path() is None, reason="the native library was not built"),
]

SIDE = 64
RED = Pixels(width=SIDE, height=SIDE, channels=3, data=b"\xff\x00\x00" * SIDE**2)
PICTURE = GenerateSettings(
    prompt="a cat",
    width=SIDE,
    height=SIDE,
    steps=1,
    cfg_scale=1.0,
    guidance=3.5,
    sampler="euler",
    scheduler="discrete",
    seed=1,
    flow_shift=3.0,
)
VIDEO = VideoSettings(picture=PICTURE, frames=5)
FROM_RED = replace(VIDEO, picture=replace(PICTURE, init_image=RED))

KINDS: dict[str, TypeName] = {
    "wan2.1": "q8_0",
    "wan2.1-i2v": "q8_0",
    "wan2.2-ti2v": "q4_0",
    "clip-vision-h": "f16",
    "vae-wan": "f16",
    "vae-wan2.2": "f16",
    "taew2.1": "f16",
    "taew2.2": "f16",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files whose tensors overlap; the engine holds them in true size."""
    made = tmp_path_factory.mktemp("wan")
    for name, kind in KINDS.items():
        write_small_checkpoint(made / f"{name}.gguf", CHECKPOINTS[name].shapes(), kind)
    return made


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    with EngineProcess(environment={**os.environ, "SDCPU_ACCEL": "auto"}) as process:
        yield process


def load(engine: EngineProcess, folder: Path, files: dict[str, str]) -> None:
    settings = LoadSettings(
        files={role: str(folder / f"{name}.gguf") for role, name in files.items()},
        threads=2,
        flash_attention=True,
        vae_conv_direct=True,
        decode_only=False,
    )
    assert list(engine.run(Load(settings=settings)))


def made(engine: EngineProcess, settings: VideoSettings) -> list[FromEngine]:
    return list(engine.run(GenerateVideo(settings=settings)))


@pytest.mark.parametrize("decoder", ["vae-wan", "taew2.1"])
def test_wan_21_goes_from_a_first_to_a_last_frame(
    decoder: str, engine: EngineProcess, folder: Path
) -> None:
    role = "vae" if decoder.startswith("vae") else "tiny_decoder"
    files = {"diffusion_model": "wan2.1-i2v", "clip_vision": "clip-vision-h", role: decoder}
    load(engine, folder, files)
    for settings in (FROM_RED, replace(FROM_RED, end_image=RED)):
        frames = [a for a in made(engine, settings) if isinstance(a, FrameDrawn)]
        assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("decoder", ["vae-wan2.2", "taew2.2"])
def test_wan_22_starts_from_a_frame_or_from_nothing(
    decoder: str, engine: EngineProcess, folder: Path
) -> None:
    role = "vae" if decoder.startswith("vae") else "tiny_decoder"
    load(engine, folder, {"diffusion_model": "wan2.2-ti2v", role: decoder})
    for settings in (FROM_RED, VIDEO):
        assert sum(isinstance(answer, FrameDrawn) for answer in made(engine, settings)) == 5


@pytest.mark.parametrize(("high", "steps"), [(-1, 4), (1, 3), (0, 2)])
def test_steps_are_counted_through_both_models(
    high: int, steps: int, engine: EngineProcess, folder: Path
) -> None:
    files = {"diffusion_model": "wan2.1", "high_noise_diffusion_model": "wan2.1"}
    load(engine, folder, files | {"tiny_decoder": "taew2.1"})
    picture = replace(PICTURE, steps=steps, preview="proj")
    told = made(engine, replace(VIDEO, picture=picture, high_noise_steps=high))
    sampled = [a for a in told if isinstance(a, Reached) and a.stage == "sample"]
    assert {answer.steps for answer in sampled} == {steps}
    assert sorted({answer.step for answer in sampled}) == list(range(steps + 1))
    assert [a.step for a in told if isinstance(a, Previewed)] == list(range(1, steps + 1))
