"""The real engine in its process, with the model that ships with the package."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.errors import (
    CancelledError,
    GenerationError,
    InvalidRequestError,
    ModelFileError,
    ModelLoadError,
)
from sdcpu.families import FileRole
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Drawn,
    Finished,
    FromEngine,
    Generate,
    GenerateSettings,
    Load,
    Loaded,
    LoadSettings,
    LoraFile,
    Pixels,
    Previewed,
    Quantize,
    Reached,
)
from sdcpu.weights import read_header

CIRCLE = GenerateSettings(
    prompt="a red circle on a blue background",
    width=128,
    height=128,
    steps=4,
    cfg_scale=1.0,
    guidance=3.5,
    sampler="lcm",
    scheduler="lcm",
    seed=7,
)
SMALL = replace(CIRCLE, width=64, height=64, steps=1)
LONG = replace(CIRCLE, width=512, height=512, steps=20)
"""Minutes of work: one step alone takes seconds."""


@pytest.fixture(scope="module")
def load(demo_files: dict[FileRole, Path]) -> Load:
    # One thread: on a busy machine two that wait for each other take many times as long.
    return Load(
        settings=LoadSettings(
            files={str(role): str(path) for role, path in demo_files.items()},
            threads=1,
            flash_attention=True,
            diffusion_conv_direct=True,
            vae_conv_direct=True,
        )
    )


@pytest.fixture(scope="module")
def shared() -> Iterator[EngineProcess]:
    with EngineProcess(environment=os.environ) as engine:
        yield engine


@pytest.fixture
def engine(shared: EngineProcess, load: Load) -> EngineProcess:
    """One engine for most tests, with the model loaded."""
    list(shared.run(load))
    return shared


def draw(engine: EngineProcess, settings: GenerateSettings) -> list[FromEngine]:
    return list(engine.run(Generate(settings=settings)))


def pictures(events: list[FromEngine]) -> list[bytes]:
    return [event.pixels.data for event in events if isinstance(event, Drawn)]


def picture(engine: EngineProcess, settings: GenerateSettings) -> bytes:
    (pixels,) = pictures(draw(engine, settings))
    return pixels


def colour(data: bytes, width: int, x: int, y: int) -> tuple[int, int, int]:
    at = 3 * (y * width + x)
    return data[at], data[at + 1], data[at + 2]


def difference(one: bytes, other: bytes) -> float:
    """Mean difference of two pictures, of 255."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def test_the_picture_shows_what_the_prompt_says(engine: EngineProcess) -> None:
    events = draw(engine, replace(CIRCLE, preview="proj"))
    (data,) = pictures(events)
    red, green, blue = colour(data, 128, 64, 64)
    assert red > 150 > 100 > max(green, blue)
    red, green, blue = colour(data, 128, 4, 4)
    assert blue > 150 > 100 > red

    reached = [event for event in events if isinstance(event, Reached)]
    stages = [(event.stage, event.step, event.steps) for event in reached]
    sampling = [("sample", step, 4) for step in range(5)]
    assert stages == [("text", 0, 0), *sampling, ("decode", 0, 0)]
    previews = [event for event in events if isinstance(event, Previewed)]
    assert [event.step for event in previews] == [1, 2, 3, 4]
    assert {(event.pixels.width, event.pixels.height) for event in previews} == {(16, 16)}
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.stage_seconds.keys() == {"text", "sample", "decode"}
    assert finished.stage_seconds["sample"] > finished.stage_seconds["text"] > 0


@pytest.mark.proves("preview", "sd1_tiny")
def test_previews_by_the_tiny_decoder_end_with_the_picture(engine: EngineProcess) -> None:
    events = draw(engine, replace(CIRCLE, preview="tae", steps=2))
    previews = [event.pixels.data for event in events if isinstance(event, Previewed)]
    assert len(previews) == 2
    assert previews[-1] == pictures(events)[0]
    assert previews[0] != previews[1]


def test_without_a_preview_none_comes(engine: EngineProcess) -> None:
    draw(engine, replace(SMALL, preview="proj"))
    assert not [event for event in draw(engine, SMALL) if isinstance(event, Previewed)]


def test_tiles_are_told_and_look_the_same(engine: EngineProcess) -> None:
    whole = picture(engine, replace(CIRCLE, steps=1))
    events = draw(engine, replace(CIRCLE, steps=1, tile_size=8))
    reached = [event for event in events if isinstance(event, Reached)]
    tiles = [(event.step, event.steps) for event in reached if event.stage == "decode"]
    assert tiles == [(0, 0), *((tile, 9) for tile in range(10))]
    assert difference(whole, pictures(events)[0]) < 8


@pytest.mark.proves("several pictures at once", "sd1_tiny")
def test_pictures_in_a_row_are_those_of_their_seeds(engine: EngineProcess) -> None:
    events = draw(engine, replace(SMALL, count=3))
    drawn = [event for event in events if isinstance(event, Drawn)]
    assert [(event.index, event.seed) for event in drawn] == [(0, 7), (1, 8), (2, 9)]
    row = pictures(events)
    assert len(set(row)) == 3
    assert row[2] == picture(engine, replace(SMALL, seed=9))


def test_the_same_request_gives_the_same_bytes_for_any_number_of_threads(
    engine: EngineProcess, load: Load
) -> None:
    one = picture(engine, SMALL)
    assert picture(engine, SMALL) == one
    list(engine.run(Load(settings=replace(load.settings, threads=2))))
    assert picture(engine, SMALL) == one


def test_a_picture_can_be_the_beginning(shared: EngineProcess, load: Load) -> None:
    list(shared.run(Load(settings=replace(load.settings, decode_only=False))))
    green = Pixels(width=128, height=128, channels=3, data=b"\x10\xc0\x20" * 128 * 128)
    left = bytes([0] * 64 + [255] * 64) * 128  # only the right half may be painted
    mask = Pixels(width=128, height=128, channels=1, data=left)
    settings = replace(
        CIRCLE,
        init_image=green,
        mask_image=mask,
        strength=1.0,
    )
    painted = picture(shared, settings)
    rows = [painted[3 * 128 * y : 3 * 128 * (y + 1)] for y in range(128)]
    kept = b"".join(row[: 3 * 56] for row in rows)
    changed = b"".join(row[3 * 72 :] for row in rows)
    assert difference(kept, green.data[: len(kept)]) < 45
    assert difference(changed, green.data[: len(changed)]) > 60
    events = draw(shared, replace(settings, mask_image=None, strength=0.3))
    close = pictures(events)[0]
    far = picture(shared, replace(settings, init_image=None, mask_image=None))
    assert difference(close, green.data) < difference(far, green.data) - 15
    assert max(event.steps for event in events if isinstance(event, Reached)) < 4


def test_the_encoder_is_not_there_when_it_was_not_asked_for(engine: EngineProcess) -> None:
    white = Pixels(width=64, height=64, channels=3, data=b"\xff" * (64 * 64 * 3))
    with pytest.raises(InvalidRequestError, match="without its encoder"):
        draw(engine, replace(SMALL, init_image=white))


def test_the_same_settings_load_once(engine: EngineProcess, load: Load) -> None:
    assert list(engine.run(load)) == [
        Loaded(seconds=0.0),
        Finished(stage_seconds={"load": 0.0}),
    ]


def test_loading_tells_how_far_it_is(shared: EngineProcess, load: Load) -> None:
    list(shared.run(Load(settings=replace(load.settings, seamless_vertically=True))))
    events = list(shared.run(load))
    reached = [event for event in events if isinstance(event, Reached)]
    assert {event.stage for event in reached} == {"load"}
    assert reached[-1].step == reached[-1].steps > 600
    (loaded,) = [event for event in events if isinstance(event, Loaded)]
    assert loaded.seconds > 0


def test_two_models_are_never_in_memory_together(engine: EngineProcess, load: Load) -> None:
    import psutil

    pid = engine.pid
    process = psutil.Process(pid)
    draw(engine, SMALL)
    before = process.memory_info().rss
    other = Load(settings=replace(load.settings, seamless_vertically=True))
    most = 0
    for _ in engine.run(other):
        most = max(most, process.memory_info().rss)
    assert engine.pid == pid
    assert before > 500e6
    assert most < 1.2 * before


@pytest.mark.parametrize(
    ("role", "content", "error", "words"),
    [
        ("model", None, ModelFileError, "is not there"),
        ("model", b"", ModelLoadError, "could not load file.gguf"),
        ("model", b"GGUF" + b"\xff" * 100, ModelLoadError, "could not load file.gguf"),
        ("t6xxl", b"", ModelLoadError, "no file in the role 't6xxl'"),
    ],
)
def test_files_that_cannot_be_loaded(
    shared: EngineProcess,
    tmp_path: Path,
    role: str,
    content: bytes | None,
    error: type[Exception],
    words: str,
) -> None:
    file = tmp_path / "file.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=words):
        list(shared.run(Load(settings=LoadSettings(files={role: str(file)}, threads=1))))
    assert shared.alive


def test_a_part_is_no_model(shared: EngineProcess, demo_files: dict[FileRole, Path]) -> None:
    files = {"model": str(demo_files[FileRole.TINY_DECODER])}
    with pytest.raises(ModelLoadError, match="could not load") as raised:
        list(shared.run(Load(settings=LoadSettings(files=files, threads=1))))
    assert "failed" in str(raised.value.details["log"])


def test_nothing_is_drawn_without_a_model() -> None:
    with (
        EngineProcess(environment=os.environ) as engine,
        pytest.raises(GenerationError, match="No model is loaded"),
    ):
        draw(engine, SMALL)


def test_a_lora_must_be_there(engine: EngineProcess) -> None:
    with pytest.raises(ModelFileError, match="is not there"):
        draw(engine, replace(SMALL, loras=(LoraFile(path="/nowhere.safetensors", weight=1.0),)))


def test_a_file_is_rewritten_in_another_type(
    shared: EngineProcess, demo_files: dict[FileRole, Path], tmp_path: Path
) -> None:
    source, target = demo_files[FileRole.TINY_DECODER], tmp_path / "f16.gguf"
    events = list(shared.run(Quantize(source=str(source), target=str(target), tensor_type="f16")))
    assert isinstance(events[-1], Finished)
    assert list(tmp_path.iterdir()) == [target]
    before, after = read_header(source), read_header(target)
    assert after.format == "gguf"
    assert {tensor.name for tensor in after.tensors} == {tensor.name for tensor in before.tensors}
    assert {tensor.type for tensor in before.tensors} == {"f32"}
    assert "f16" in {tensor.type for tensor in after.tensors}


@pytest.mark.parametrize(
    ("source", "target", "tensor_type", "error", "words"),
    [
        ("nowhere.gguf", "out.gguf", "q8_0", ModelFileError, "is not there"),
        ("noise.gguf", "out.gguf", "q8_0", ModelFileError, "could not rewrite"),
        ("noise.gguf", "out.gguf", "q7_9", InvalidRequestError, "no tensor type 'q7_9'"),
        ("tiny", "no/folder/out.gguf", "f16", ModelFileError, "could not rewrite"),
    ],
)
def test_files_that_cannot_be_rewritten(
    shared: EngineProcess,
    demo_files: dict[FileRole, Path],
    tmp_path: Path,
    source: str,
    target: str,
    tensor_type: str,
    error: type[Exception],
    words: str,
) -> None:
    noise = tmp_path / "noise.gguf"
    noise.write_bytes(b"no weights at all" * 100)
    path = demo_files[FileRole.TINY_DECODER] if source == "tiny" else tmp_path / source
    message = Quantize(source=str(path), target=str(tmp_path / target), tensor_type=tensor_type)
    with pytest.raises(error, match=words):
        list(shared.run(message))
    assert list(tmp_path.iterdir()) == [noise]
    assert shared.alive


def cancel_at(engine: EngineProcess, settings: GenerateSettings, stage: str) -> float:
    """Cancel a little after a stage began; return the seconds until that had its effect."""
    asked: list[float] = []

    def cancel() -> None:
        asked.append(time.monotonic())
        engine.cancel()

    reached: list[tuple[str, int]] = []
    timer = threading.Timer(0.02, cancel)

    def watch() -> None:
        for event in engine.run(Generate(settings=settings)):
            if isinstance(event, Reached):
                reached.append((event.stage, event.step))
                if event.stage == stage and not timer.is_alive() and not asked:
                    timer.start()

    with pytest.raises(CancelledError):
        watch()
    ended = time.monotonic()
    assert reached[-1] == (stage, 0), "it was no cancel in the middle"
    return ended - asked[0]


def test_a_cancel_in_the_middle_of_a_step_keeps_the_model(
    engine: EngineProcess, load: Load
) -> None:
    before, pid = picture(engine, SMALL), engine.pid
    assert engine.start().cancels_in_place
    assert engine.start().devices == ()
    assert cancel_at(engine, LONG, "sample") < 1.0
    assert engine.pid == pid
    assert next(engine.run(load)) == Loaded(seconds=0.0)
    assert picture(engine, SMALL) == before


def test_a_cancel_in_the_middle_of_the_decoder_keeps_the_model(
    engine: EngineProcess, load: Load
) -> None:
    before, pid = picture(engine, SMALL), engine.pid
    large = replace(SMALL, width=256, height=256)
    assert cancel_at(engine, large, "decode") < 1.0
    assert engine.pid == pid
    assert next(engine.run(load)) == Loaded(seconds=0.0)
    assert picture(engine, SMALL) == before


def test_a_cancel_in_the_text_encoder_waits_or_ends_the_process(
    engine: EngineProcess, load: Load
) -> None:
    """Its graphs must run to their end: the engine asserts that they do."""
    before = picture(engine, SMALL)
    assert cancel_at(engine, replace(SMALL, prompt="red " * 4000), "text") < 1.0
    list(engine.run(load))
    assert picture(engine, SMALL) == before


WITHOUT_DOOR = """
import sdcpu.engine
sdcpu.engine.load_door = lambda *_: None
from sdcpu.worker import main
main()
"""


def test_without_the_door_a_cancel_ends_the_process(load: Load) -> None:
    command = (sys.executable, "-c", WITHOUT_DOOR)
    with EngineProcess(environment=os.environ, command=command) as engine:
        started = engine.start()
        assert not started.cancels_in_place
        assert started.notes
        list(engine.run(load))
        before = picture(engine, SMALL)
        assert cancel_at(engine, LONG, "sample") < 1.0
        assert not engine.alive
        list(engine.run(load))
        assert picture(engine, SMALL) == before
