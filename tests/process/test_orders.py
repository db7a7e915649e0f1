"""What is done to pictures after they are drawn, over a faked engine: order, cancel, recipes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from PIL import Image

import sdcpu
from sdcpu import engine_run
from sdcpu.generator import ImageGenerator
from sdcpu.jobs import request_fields
from sdcpu.process import EngineProcess
from sdcpu.settings import Settings, load_settings
from tests.engines import command
from tests.upscalers import write_upscaler


@pytest.fixture
def settings(tmp_path: Path, demo_folder: Path) -> Settings:
    empty = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(
        empty,
        cache_folder=demo_folder,
        state_folder=tmp_path / "state",
        hub_cache=tmp_path / "hub",
        hub_endpoint="http://127.0.0.1:9",
    )


@pytest.fixture
def generator(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageGenerator]:
    fake = partial(EngineProcess, command=command())
    monkeypatch.setattr(engine_run, "EngineProcess", fake)
    with ImageGenerator("demo", settings=settings) as made:
        yield made


def test_every_picture_is_drawn_again_and_enlarged(
    generator: ImageGenerator, tmp_path: Path
) -> None:
    upscaler = write_upscaler(tmp_path / "nearest.safetensors")
    asked = {"count": 2, "seed": 5, "steps": 2, "hires": 1.5, "upscale": 2, "upscaler": upscaler}
    events = list(generator.stream("a cat", **asked))
    progress = [event for event in events if isinstance(event, sdcpu.Progress)]
    stages = [name for name, _ in groupby(progress, key=lambda event: event.stage)]
    assert stages == ["load", *["text", "sample", "decode", "upscale"] * 2]
    assert [event.picture for event in progress] == sorted(event.picture for event in progress)
    # The work to come was never measured here: no time can be told before it.
    assert {e.seconds_left for e in progress if e.picture == 1 and e.stage == "sample"} == {None}
    pictures = [event for event in events if isinstance(event, sdcpu.GeneratedImage)]
    assert [(made.seed, made.width) for made in pictures] == [(5, 768), (6, 768)]
    again = generator.generate(**request_fields(pictures[1].recipe))
    assert again.image.tobytes() == pictures[1].image.tobytes()
    assert again.recipe == pictures[1].recipe


def test_leaving_in_the_second_pass_cancels_it(generator: ImageGenerator) -> None:
    for event in generator.stream("a cat", hires=2, tiled=True):
        if isinstance(event, sdcpu.Progress) and event.stage == "upscale":
            break
    assert generator.generate("a cat").width == 256


def test_the_time_of_both_passes_is_learnt(generator: ImageGenerator) -> None:
    assert generator.plan("a cat", hires=2).seconds_expected is None
    generator.generate("a cat", hires=2)
    expected = generator.plan("a cat", hires=2).seconds_expected
    once = generator.plan("a cat").seconds_expected
    assert expected is not None
    assert once is not None
    assert expected > once


def test_a_picture_in_tiles_has_no_first_pass(generator: ImageGenerator, tmp_path: Path) -> None:
    Image.new("RGB", (256, 128)).save(tmp_path / "start.png")
    asked = {"init_image": tmp_path / "start.png", "width": 1024, "height": 512, "tiled": True}
    events = list(generator.stream("a cat", **asked))
    stages = {event.stage for event in events if isinstance(event, sdcpu.Progress)}
    assert stages == {"load", "upscale"}
    picture = events[-1]
    assert isinstance(picture, sdcpu.GeneratedImage)
    assert picture.image.size == (1024, 512)
