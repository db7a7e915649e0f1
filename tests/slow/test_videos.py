"""Wan 2.1 of true shape with random weights makes a video; there is no text encoder beside it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import sdcpu
from sdcpu.accel import library_path
from sdcpu.generator import ImageGenerator
from sdcpu.report import Recorder
from sdcpu.settings import load_settings
from tests.checkpoints.catalog import CHECKPOINTS
from tests.checkpoints.writer import write_checkpoint
from tests.video_models import colours_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(library_path() is None, reason="the native library was not built"),
]

MODEL = """
[wan]
summary = "Random weights"
kind = "video"
family = "wan21"
license = "none"
defaults = {{ width = 64, height = 64, steps = 2, cfg_scale = 1.0, sampler = "euler" }}
[[wan.files]]
role = "diffusion_model"
local_path = "{folder}/wan.gguf"
[[wan.files]]
role = "vae"
local_path = "{folder}/vae.gguf"
"""


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageGenerator]:
    folder = tmp_path_factory.mktemp("wan")
    write_checkpoint(folder / "wan.gguf", CHECKPOINTS["wan2.1"].shapes(), "q8_0")
    write_checkpoint(folder / "vae.gguf", CHECKPOINTS["vae-wan"].shapes(), "f16")
    (folder / "models.toml").write_text(MODEL.format(folder=folder))
    settings = load_settings({"SDCPU_CONFIG": str(folder / "none.toml")})
    settings = replace(
        settings, models_file=folder / "models.toml", state_folder=folder / "state", offline=True
    )
    with ImageGenerator("wan", settings=settings, threads=2) as made:
        yield made


def test_frames_previews_and_memory(generator: ImageGenerator, tmp_path: Path) -> None:
    with Recorder() as recorder:
        told = generator.stream_video("a cat", frames=5, seed=3, preview="auto")
        events = list(recorder.watch(told))
    plan, video = events[0], events[-1]
    assert isinstance(plan, sdcpu.EnginePlan)
    assert isinstance(video, sdcpu.GeneratedVideo)
    assert len(video.frames) == 5
    assert len({frame.tobytes() for frame in video.frames}) == 5
    steps = [e.step for e in events if isinstance(e, sdcpu.Progress) and e.stage == "sample"]
    assert steps == [0, 1, 2]
    assert [e.step for e in events if isinstance(e, sdcpu.Preview)] == [1, 2]
    assert 0.8 * plan.memory_needed < recorder.memory_peak < 1.05 * plan.memory_needed
    assert len(colours_of(video.save(tmp_path / "cat.mp4"))) == 5
    again = generator.generate_video("a cat", frames=5, seed=3)
    assert [f.tobytes() for f in again.frames] == [f.tobytes() for f in video.frames]


def test_decoding_in_tiles(generator: ImageGenerator) -> None:
    roomy = generator.plan_video("a cat", frames=5, width=192, height=192)
    assert roomy.tile_size == 0
    tight = ImageGenerator(
        "wan",
        settings=replace(generator._settings, memory_limit=roomy.memory_needed - 10**8),
        threads=2,
    )
    with tight:
        plan = tight.plan_video("a cat", frames=5, width=192, height=192)
        assert plan.tile_size == 16
        video = tight.generate_video("a cat", frames=5, width=192, height=192, steps=1)
    assert (len(video.frames), video.width) == (5, 192)


@pytest.mark.parametrize("stage", ["sample", "decode"])
def test_a_cancel_is_quick_and_keeps_the_model(stage: str, generator: ImageGenerator) -> None:
    events = generator.stream_video("a cat", frames=9, width=128, height=128, steps=2, seed=3)
    next(e for e in events if isinstance(e, sdcpu.Progress) and e.stage == stage)
    pid, began = generator.engine_pid, time.monotonic()
    events.close()
    assert time.monotonic() - began < 10
    assert generator.engine_pid == pid
    after = generator.stream_video("a cat", frames=1, steps=1)
    stages = [e.stage for e in after if isinstance(e, sdcpu.Progress)]
    assert "load" not in stages
