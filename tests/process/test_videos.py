"""Videos over a faked engine in a real process: frames in order, lengths, files, refusals."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

import sdcpu
from sdcpu import engine_run
from sdcpu.cli.commands import run
from sdcpu.generator import ImageGenerator
from sdcpu.process import EngineProcess
from sdcpu.settings import Settings, load_settings
from sdcpu.video_files import read_video_recipe
from sdcpu.videos import GeneratedVideo
from tests.engines import command, frame_colour
from tests.video_models import colours_of, write_video_models


@pytest.fixture(autouse=True)
def _fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with models in it, and an engine that draws frames whose colours count."""
    monkeypatch.setattr(engine_run, "EngineProcess", partial(EngineProcess, command=command()))
    models = write_video_models(tmp_path / "models")
    for name, value in {
        "SDCPU_MODELS": models,
        "SDCPU_CONFIG": tmp_path / "none.toml",
        "SDCPU_STATE": tmp_path / "state",
        "SDCPU_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def settings() -> Settings:
    return load_settings()


@pytest.fixture
def generator(settings: Settings) -> Iterator[ImageGenerator]:
    with ImageGenerator("t2v", settings=settings) as made:
        yield made


def test_events_come_in_order(generator: ImageGenerator) -> None:
    events = list(generator.stream_video("waves", frames=5, seed=7, preview="proj"))
    plan, video = events[0], events[-1]
    assert isinstance(plan, sdcpu.EnginePlan)
    assert isinstance(video, GeneratedVideo)
    stages = [(e.stage, e.step) for e in events if isinstance(e, sdcpu.Progress)]
    sampled = [("sample", step) for step in range(4)]
    frames = [("decode", step) for step in range(6)]
    assert stages == [("load", 0), ("text", 0), *sampled, *frames]
    assert [e.step for e in events if isinstance(e, sdcpu.Preview)] == [1, 2, 3]
    assert [frame.getpixel((0, 0)) for frame in video.frames] == [frame_colour(n) for n in range(5)]
    assert (video.width, video.height, video.seed, video.model) == (64, 32, 7, "t2v")


@pytest.mark.parametrize(
    ("asked", "frames", "said"),
    [
        ({}, 33, ""),
        ({"frames": 17}, 17, ""),
        ({"frames": 16}, 17, "17 frames instead of 16: Wan 2.1 makes 4 frames at a time"),
        ({"frames": 2}, 1, "1 frame instead of 2"),
        ({"quality": "draft"}, 17, "Quality draft: 17 frames instead of 33."),
        ({"quality": "draft", "frames": 33}, 33, ""),
    ],
)
def test_lengths(
    asked: dict[str, object], frames: int, said: str, generator: ImageGenerator
) -> None:
    plan = generator.plan_video("waves", **asked)
    assert said in " ".join(plan.surprises)
    assert bool(said) == ("frames instead" in " ".join(plan.reasons) or "1 frame" in said)
    video = generator.generate_video("waves", **asked)
    assert (len(video.frames), video.fps, video.duration) == (frames, 16, frames / 16)


def test_a_draft_is_enlarged(generator: ImageGenerator) -> None:
    video = generator.generate_video("waves", frames=5, quality="draft")
    assert video.frames[4].size == (64, 32)
    assert video.request.steps == 2


def test_the_time_of_a_video_is_remembered(generator: ImageGenerator) -> None:
    generator.generate_video("waves", frames=5)
    known = generator.plan_video("waves", frames=5).seconds_expected
    longer = generator.plan_video("waves", frames=33).seconds_expected
    assert known is not None
    assert longer is not None
    assert longer > 3 * known


def test_leaving_early_cancels(generator: ImageGenerator) -> None:
    events = generator.stream_video("slow", frames=5)
    next(event for event in events if isinstance(event, sdcpu.Progress) and event.stage == "sample")
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 5
    assert len(generator.generate_video("waves", frames=5).frames) == 5


def test_a_lost_frame_is_an_error(generator: ImageGenerator) -> None:
    with pytest.raises(sdcpu.GenerationError, match="4 frames instead of 5"):
        generator.generate_video("lose a frame", frames=5)


REFUSED = [
    ("t2v", {"init_image": Image.new("RGB", (9, 9))}, "from text alone"),
    ("t2v", {"end_image": Image.new("RGB", (9, 9))}, "last frame"),
    ("ti2v", {"end_image": Image.new("RGB", (9, 9))}, "last frame"),
    ("i2v", {}, "needs one"),
    ("t2v", {"high_noise_steps": 1}, "not two"),
    ("two", {"high_noise_steps": 3, "steps": 3}, "leave none"),
    ("demo", {}, "makes pictures, not videos"),
]


@pytest.mark.parametrize(("model", "request_", "said"), REFUSED)
def test_what_a_model_cannot_do(
    model: str, request_: dict[str, object], said: str, settings: Settings
) -> None:
    with (
        ImageGenerator(model, settings=settings) as generator,
        pytest.raises(sdcpu.InvalidRequestError, match=said),
    ):
        generator.generate_video("waves", **request_)


def test_a_video_model_draws_no_picture(generator: ImageGenerator) -> None:
    with pytest.raises(sdcpu.InvalidRequestError, match="makes videos, not pictures") as error:
        generator.generate("waves")
    assert "sdcpu video" in error.value.hint
    assert generator.engine_pid is None, "nothing was loaded"


@pytest.mark.parametrize("model", ["i2v", "ti2v"])
def test_a_video_starts_from_a_picture(model: str, settings: Settings) -> None:
    Image.new("RGB", (640, 320), "red").save("start.png")
    with ImageGenerator(model, settings=settings) as generator:
        plan = generator.plan_video("waves", frames=5, init_image="start.png")
        assert plan.conditions.passes == 3, "a video goes through all steps"
        video = generator.generate_video("waves", frames=5, init_image="start.png")
    assert video.recipe["init_image"] == str(Path("start.png").absolute())
    assert video.fps == {"i2v": 16, "ti2v": 24}[model]


FILES = ["waves.mp4", "waves.webm", "waves.webp", "waves.gif", "frames"]


@pytest.mark.parametrize("name", FILES)
def test_the_command_writes_every_kind(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["waves at dusk", "-m", "t2v", "--frames", "9", "--fps", "8", "--seed", "3"]
    assert run(["video", *arguments, "-o", name]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{name}\n"
    assert "t2v: 9 frames of 64x32 (1.1 s at 8 a second), 3 steps" in captured.err
    frames = colours_of(Path(name))
    assert len(frames) == 9
    for index, colour in enumerate(frames):
        wanted = frame_colour(index)
        assert max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= 12, index
    first = Path(name) / "frame-0001.png" if name == "frames" else Path(name)
    recipe = read_video_recipe(first)
    assert (recipe["prompt"], recipe["frames"], recipe["fps"]) == ("waves at dusk", 9, 8)
    assert run(["show", str(first)]) == 0
    assert "waves at dusk" in capsys.readouterr().out
    assert run(["video", "--from", str(first), "-o", "again.webp"]) == 0
    assert len(colours_of(Path("again.webp"))) == 9
    assert run(["video", *arguments, "-o", name]) == 2, "nothing is overwritten"
    assert run(["video", *arguments, "-o", name, "--force"]) == 0


def test_without_a_name_it_is_made_from_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    for number in ("", "-2"):
        assert run(["video", "Waves!", "-m", "t2v", "--frames", "1", "--seed", "3"]) == 0
        assert capsys.readouterr().out == f"waves-3{number}.mp4\n"


def test_a_report_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["video", "waves", "-m", "t2v", "--frames", "5", "-o", "w.gif", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["plan"]["request"]["frames"] == 5
    assert (told["videos"][0]["frames"], told["videos"][0]["fps"]) == (5, 16)
    assert told["videos"][0]["path"] == str(Path("w.gif").absolute())


def test_the_plan_of_a_video(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "t2v", "--frames", "80"]) == 0
    said = capsys.readouterr().out
    assert "81 frames of 64x32 (5.1 s at 16 a second)" in said
    assert "81 frames instead of 80" in said
    assert run(["plan", "demo", "--frames", "5"]) == 2


WRONG = [
    ([], "What should be seen"),
    (["waves", "--frames", "0"], "number of frames is 0"),
    (["waves", "--frames", "2000"], "from 1 to 1001"),
    (["waves", "--fps", "0"], "frames per second is 0"),
    (["waves", "--flow-shift", "-1"], "flow shift is -1"),
    (["waves", "-o", "waves.avi"], "what kind of video"),
    (["waves", "-o", "missing/waves.gif"], "no folder missing"),
    (["waves", "-o", "here.gif"], "exists already"),
    (["waves", "-o", "plain"], "is a file, not a folder"),
    (["waves", "--init", "missing.png"], "does not exist"),
    (["waves", "--init", "plain"], "init image"),
    (["waves", "-m", "demo"], "makes pictures, not videos"),
    (["waves", "-m", "i2v"], "needs one"),
    (["waves", "--from", "plain"], "not a picture"),
    (["waves", "--from", "here.gif"], "no recipe"),
    (["waves", "--from", "broken.mp4"], "not a video that can be read"),
    (["waves", "--report", "missing/r.json"], "no folder"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_wrong_usage_is_noticed_before_any_work(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save("here.gif")
    Path("plain").write_text("text")
    Path("broken.mp4").write_text("text")
    before = sorted(Path().iterdir())
    model = [] if "-m" in arguments else ["-m", "ti2v"]
    assert run(["video", *arguments, *model]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert sorted(Path().iterdir()) == before
