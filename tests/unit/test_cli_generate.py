"""`sdcpu generate` with a generator that draws nothing: what is asked of it, what is printed."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from PIL import Image

import sdcpu.generator
from sdcpu.cli.commands import run
from sdcpu.errors import (
    CancelledError,
    InvalidRequestError,
    NotEnoughMemoryError,
    SdcpuError,
)
from sdcpu.events import DownloadProgress, Preview, Progress
from sdcpu.images import GeneratedImage, ImageRequest
from sdcpu.recipe import read_recipe
from tests.plans import plan_for


class FakeGenerator:
    """Tells of a plan, a few steps and one-coloured pictures; remembers what it was asked."""

    made: ClassVar[list["FakeGenerator"]] = []
    fails_with: ClassVar[BaseException | None] = None

    def __init__(self, model: str | None = None, **machine: Any) -> None:
        self.model = model
        self.machine = {name: value for name, value in machine.items() if value is not None}
        self.request: dict[str, Any] = {}
        self.events_closed = self.closed = False
        FakeGenerator.made.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.events_closed or not self.request
        self.closed = True

    def stream(self, prompt: str, **request: Any) -> Iterator[object]:
        self.request = {"prompt": prompt, **request}
        asked = ImageRequest(**self.request)
        seed = 7 if asked.seed is None else asked.seed
        try:
            yield plan_for(asked, model=self.model or "demo")
            yield DownloadProgress(file="model.gguf", done=5, total=10)
            yield Progress(stage="load")
            yield plan_for(asked, model=self.model or "demo")
            yield Progress(stage="sample", step=1, steps=4)
            yield Preview(image=Image.new("RGB", (2, 2)), step=1)
            for index in range(asked.count):
                yield GeneratedImage(
                    image=Image.new("RGB", (16, 8), "red"),
                    request=asked,
                    model=self.model or "demo",
                    seed=seed + index,
                    index=index,
                    seconds=1.25,
                    recipe={
                        "recipe_version": 1,
                        "prompt": prompt,
                        "seed": seed + index,
                        "steps": asked.steps or 4,
                        "model": self.model or "demo",
                    },
                )
                if self.fails_with and index == asked.count - 1:
                    raise self.fails_with
        finally:
            self.events_closed = True


@pytest.fixture(autouse=True)
def fake_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeGenerator.made = []
    FakeGenerator.fails_with = None
    monkeypatch.setattr(sdcpu.generator, "ImageGenerator", FakeGenerator)
    monkeypatch.chdir(tmp_path)


def asked() -> dict[str, Any]:
    """What the last generator was asked for."""
    return FakeGenerator.made[-1].request


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_the_path_is_all_that_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a red circle"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "a-red-circle-7.png\n"
    assert files() == ["a-red-circle-7.png"]
    assert captured.err.splitlines()[0].startswith("demo: 128x128, 4 steps, ")
    assert captured.err.count("demo: ") == 1, "the plan is said once"
    assert FakeGenerator.made[0].closed


ALL_OPTIONS = [
    *("--hires", "1.5", "--hires-strength", "0.4", "--hires-steps", "6", "--tiled"),
    *("--upscale", "4", "--upscaler", "realesrgan-x4plus-anime"),
    *("-W", "640", "-H", "512", "--quality", "best", "--steps", "9", "--seed", "42", "-n", "2"),
    *("--negative", "blur", "--cfg", "2.5", "--guidance", "3", "--sampler", "lcm"),
    *("--sigmas", "14.6,7,3,2,1.5,1,0.6,0.3,0.1,0", "--eta", "0.5", "--cache", "spectrum"),
    *(
        "--seamless",
        "x",
        "--scheduler",
        "karras",
        "--clip-skip",
        "2",
        "--decoder",
        "full",
        "--init",
        "start.png",
    ),
    *("--mask", "mask.png", "--strength", "0.5", "--control", "edges.png"),
    *("--control-strength", "0.7", "--ref", "one.png", "--ref", "two.png"),
    *("--lora", "style.safetensors:0.8", "--lora", "style.safetensors", "-m", "sd-turbo"),
    *("--threads", "3", "--memory-limit", "4GiB", "--build", "cpu", "--accel", "off", "--offline"),
]


def test_every_option_reaches_the_request() -> None:
    for name in ("start.png", "mask.png", "edges.png", "one.png", "two.png"):
        Image.new("RGB", (8, 8)).save(name)
    Path("style.safetensors").touch()
    assert run(["generate", "a cat", *ALL_OPTIONS]) == 0
    assert asked() == {
        "prompt": "a cat",
        "width": 640,
        "height": 512,
        "quality": "best",
        "steps": 9,
        "seed": 42,
        "count": 2,
        "negative_prompt": "blur",
        "cfg_scale": 2.5,
        "guidance": 3.0,
        "sampler": "lcm",
        "scheduler": "karras",
        "sigmas": (14.6, 7.0, 3.0, 2.0, 1.5, 1.0, 0.6, 0.3, 0.1, 0.0),
        "eta": 0.5,
        "cache": "spectrum",
        "seamless": "x",
        "hires": 1.5,
        "hires_strength": 0.4,
        "hires_steps": 6,
        "tiled": True,
        "upscale": 4,
        "upscaler": "realesrgan-x4plus-anime",
        "clip_skip": 2,
        "decoder": "full",
        "init_image": Path("start.png"),
        "mask_image": Path("mask.png"),
        "strength": 0.5,
        "control_image": Path("edges.png"),
        "control_strength": 0.7,
        "ref_images": (Path("one.png"), Path("two.png")),
        "loras": (("style.safetensors", 0.8), ("style.safetensors", 1.0)),
    }
    (generator,) = FakeGenerator.made
    assert generator.model == "sd-turbo"
    assert generator.machine == {
        "threads": 3,
        "memory_limit": 4 * 1024**3,
        "build": "cpu",
        "accel": "off",
        "offline": True,
    }


def test_what_is_not_given_is_left_to_the_plan() -> None:
    assert run(["generate", "a cat"]) == 0
    assert asked() == {"prompt": "a cat"}
    assert FakeGenerator.made[0].machine == {}


def test_several_pictures_and_a_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a cat", "-n", "3", "-o", "cat.webp"]) == 0
    assert capsys.readouterr().out.split() == ["cat-1.webp", "cat-2.webp", "cat-3.webp"]
    with Image.open("cat-3.webp") as image:
        assert (image.format, image.size) == ("WEBP", (16, 8))


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a cat", "--json", "-n", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["plan"]["model"]["name"] == "demo"
    first, second = report["pictures"]
    assert (first["seed"], second["seed"]) == (7, 8)
    assert Path(first["path"]) == Path("a-cat-7.png").absolute()
    assert (first["width"], first["height"], first["seconds"]) == (16, 8, 1.25)
    assert first["recipe"]["prompt"] == "a cat"


def test_the_same_picture_again(capsys: pytest.CaptureFixture[str]) -> None:
    run(["generate", "a cat", "-m", "sd-turbo", "--seed", "5", "--steps", "3", "-o", "cat.png"])
    assert run(["generate", "--from", "cat.png", "-o", "again.png"]) == 0
    assert asked() == {"prompt": "a cat", "seed": 5, "steps": 3}
    assert FakeGenerator.made[-1].model == "sd-turbo"
    assert run(["generate", "a dog", "--from", "cat.png", "--steps", "9", "-m", "demo"]) == 0
    assert asked() == {"prompt": "a dog", "seed": 5, "steps": 9}
    assert FakeGenerator.made[-1].model == "demo"


def test_a_prompt_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a cat\nwith a hat\n"))
    assert run(["generate", "-"]) == 0
    assert asked()["prompt"] == "a cat\nwith a hat"


def test_previews_are_kept_in_a_folder() -> None:
    for _ in range(2):
        arguments = ["a cat", "-o", "cat.png", "--seed", "9", "--preview-dir", "steps"]
        assert run(["generate", *arguments, "--force"]) == 0
        assert asked()["preview"] == "auto"
    kept = sorted(path.name for path in Path("steps").iterdir())
    assert kept == ["a-cat-9-step-001-2.png", "a-cat-9-step-001.png"], "nothing is overwritten"
    with Image.open("steps/a-cat-9-step-001.png") as image:
        assert image.size == (2, 2)


def test_without_a_terminal_pictures_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a cat", "-o", "cat.png", "--preview"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "cat.png\n"
    assert "needs a terminal" in captured.err
    assert "\x1b" not in captured.err


def test_quiet_prints_the_path_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a cat", "--quiet"]) == 0
    assert capsys.readouterr() == ("a-cat-7.png\n", "")


def test_verbose_says_all_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    run(["generate", "a cat"])
    short = capsys.readouterr().err
    run(["generate", "a cat", "-v"])
    long = capsys.readouterr().err
    assert short.count("reason number") == 1
    assert long.count("reason number") == 4


def test_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a cat", "--report", "report.json"]) == 0
    report = json.loads(Path("report.json").read_text())
    assert report["machine"]["memory_total"] > 0
    assert report["build"]["name"] == "cpu"
    assert report["plan"]["request"]["prompt"] == "a cat"
    assert [stage["stage"] for stage in report["stages"]] == ["start", "download", "load", "sample"]
    assert report["pictures"][0]["seed"] == 7
    assert report["error"] is None
    assert "memory_samples" in report


ERRORS = [
    (NotEnoughMemoryError("It needs 9 GB.", hint="Take a smaller one."), 1, "It needs 9 GB."),
    (InvalidRequestError("No such thing."), 2, "No such thing."),
    (CancelledError("Cancelled."), 130, "cancelled"),
    (KeyboardInterrupt(), 130, "cancelled"),
]


@pytest.mark.parametrize(("error", "code", "said"), ERRORS)
def test_errors_are_a_line_and_a_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeGenerator.fails_with = error
    assert run(["generate", "a cat"]) == code
    captured = capsys.readouterr()
    assert f"sdcpu: {said}" in captured.err
    assert "Traceback" not in captured.err
    assert FakeGenerator.made[0].closed


@pytest.mark.parametrize(("error", "code", "said"), ERRORS)
def test_errors_are_in_the_report(error: BaseException, code: int, said: str) -> None:
    FakeGenerator.fails_with = error
    assert run(["generate", "a cat", "--report", "report.json"]) == code
    report = json.loads(Path("report.json").read_text())
    assert report["error"].startswith(type(error).__name__)
    assert len(report["pictures"]) == 1


def test_errors_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    FakeGenerator.fails_with = SdcpuError("No.", hint="Later.", details={"bytes": 9})
    assert run(["generate", "a cat", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error == {"code": "error", "message": "No.", "hint": "Later.", "details": {"bytes": 9}}


def test_a_bug_is_not_hidden() -> None:
    FakeGenerator.fails_with = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run(["generate", "a cat"])


WRONG = [
    ([], "What should be drawn"),
    (["a", "b"], "unexpected extra argument"),
    (["a", "--steps", "-1"], "steps is -1"),
    (["a", "--steps", "many"], "not a valid integer"),
    (["a", "--memory-limit", "lots"], "not a size"),
    (["a", "--init", "missing.png"], "does not exist"),
    (["a", "-o", "missing/cat.png"], "no folder"),
    (["a", "--report", "missing/report.json"], "no folder"),
    (["a", "--preview-dir", "plain.png"], "cannot be made"),
    (["a", "--preview-dir", "missing/steps"], "cannot be made"),
    (["a", "--from", "plain.png"], "no recipe"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_wrong_usage_is_noticed_before_any_work(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save("plain.png")
    before = files()
    assert run(["generate", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not FakeGenerator.made
    assert files() == before


def test_alternatives_are_drawn_one_after_the_other_with_one_seed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["generate", "a {red|green} cat", "-n", "2", "-o", "cat.png"]) == 0
    assert files() == ["cat-1.png", "cat-2.png", "cat-3.png", "cat-4.png"]
    recipes = [read_recipe(Path(f"cat-{number}.png")) for number in (1, 2, 3, 4)]
    assert [recipe["prompt"] for recipe in recipes] == ["a red cat"] * 2 + ["a green cat"] * 2
    seeds = [recipe["seed"] for recipe in recipes]
    assert seeds == [seeds[0], seeds[0] + 1] * 2
    assert capsys.readouterr().err.count("demo: ") == 1, "the plan is said once"


def test_a_sample_and_wildcards(capsys: pytest.CaptureFixture[str]) -> None:
    Path("words").mkdir()
    Path("words", "animal.txt").write_text("cat\ndog\nhorse\n", encoding="utf-8")
    words = ["--wildcards", "words", "--seed", "5"]
    assert run(["generate", "a {red|blue} __animal__", *words, "--sample", "4", "--json"]) == 0
    pictures = json.loads(capsys.readouterr().out)["pictures"]
    assert len({picture["recipe"]["prompt"] for picture in pictures}) == 4
    assert {picture["seed"] for picture in pictures} == {5}
    assert run(["generate", "a __bird__", *words]) == 2
    assert "There are: animal." in capsys.readouterr().err


def test_a_recipes_prompt_is_taken_as_it_stands() -> None:
    assert run(["generate", r"a \{red\|green\} cat", "-o", "cat.png"]) == 0
    assert asked()["prompt"] == "a {red|green} cat"
    assert run(["generate", "--from", "cat.png", "-o", "again.png"]) == 0
    assert asked()["prompt"] == "a {red|green} cat"


def test_too_many_alternatives_are_refused_before_any_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["generate", "{a|b|c|d|e|f|g|h|i|j}" * 4]) == 2
    assert "10,000 pictures" in capsys.readouterr().err
    assert FakeGenerator.made == []


def test_styles_reach_the_request_and_unknown_ones_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["generate", "a cat", "--style", "anime", "--style", "night"]) == 0
    assert asked()["styles"] == ("anime", "night")
    made = len(FakeGenerator.made)
    assert run(["generate", "a cat", "--style", "nihgt"]) == 2
    assert "Did you mean night?" in capsys.readouterr().err
    assert len(FakeGenerator.made) == made
    assert run(["styles"]) == 0
    assert "watercolour" in capsys.readouterr().out
