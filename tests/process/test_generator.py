"""The generator over a faked engine in a real process: order of events, cancel, death, choice."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import sdcpu
import sdcpu.jobs
import sdcpu.recipe
from sdcpu import engine_run
from sdcpu import generator as generator_module
from sdcpu.generator import ImageGenerator
from sdcpu.process import EngineProcess
from sdcpu.settings import Settings, load_settings
from tests.bad_files import gguf
from tests.engines import command
from tests.hub import HubServer


@pytest.fixture
def settings(tmp_path: Path, demo_folder: Path) -> Settings:
    """A machine with the demo model and nothing else."""
    empty = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(
        empty,
        cache_folder=demo_folder,
        state_folder=tmp_path / "state",
        hub_cache=tmp_path / "hub",
        hub_endpoint="http://127.0.0.1:9",
    )


@pytest.fixture(autouse=True)
def _fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = partial(EngineProcess, command=command())
    monkeypatch.setattr(engine_run, "EngineProcess", fake)


@pytest.fixture
def generator(settings: Settings) -> Iterator[ImageGenerator]:
    with ImageGenerator("demo", settings=settings) as made:
        yield made


def test_events_come_in_order(generator: ImageGenerator) -> None:
    events = list(generator.stream("a cat", steps=3, count=2, preview="proj", seed=5))
    assert isinstance(events[0], sdcpu.EnginePlan)
    stages = [event.stage for event in events if isinstance(event, sdcpu.Progress)]
    picture = ["text", *["sample"] * 4, "decode"]
    assert stages == ["load", *picture, *picture]
    assert [e.step for e in events if isinstance(e, sdcpu.Preview)] == [1, 2, 3, 1, 2, 3]
    pictures = [event for event in events if isinstance(event, sdcpu.GeneratedImage)]
    assert events[-1] is pictures[-1]
    assert [(p.index, p.seed) for p in pictures] == [(0, 5), (1, 6)]


def test_the_model_stays_loaded(generator: ImageGenerator) -> None:
    generator.generate("a cat", seed=1)
    events = generator.stream("a dog", seed=1)
    stages = [event.stage for event in events if isinstance(event, sdcpu.Progress)]
    assert "load" not in stages


def test_a_recipe_makes_the_same_picture(generator: ImageGenerator, tmp_path: Path) -> None:
    first = generator.generate("a cat", steps=2, quality="draft")
    path = first.save(tmp_path / "cat.png")
    recipe = sdcpu.recipe.read_recipe(path)
    again = generator.generate(**sdcpu.jobs.request_fields(recipe))
    assert again.image.tobytes() == first.image.tobytes()
    assert again.recipe == first.recipe


def test_a_draft_is_enlarged_to_the_asked_size(generator: ImageGenerator) -> None:
    events = list(generator.stream("a cat", width=512, height=256, quality="draft"))
    plan, picture = events[0], events[-1]
    assert isinstance(plan, sdcpu.EnginePlan)
    assert isinstance(picture, sdcpu.GeneratedImage)
    assert plan.request.width is not None
    assert plan.request.width < 512
    assert (picture.width, picture.height) == (512, 256)
    assert picture.recipe["width"] == 512


def test_leaving_early_cancels_and_the_next_picture_comes(generator: ImageGenerator) -> None:
    pid = None
    for event in generator.stream("slow"):
        if isinstance(event, sdcpu.Progress) and event.stage == "sample":
            pid = generator.engine_pid
            break
    assert generator.generate("a cat").width == 256
    assert generator.engine_pid == pid


def test_cancel_from_another_thread(generator: ImageGenerator) -> None:
    timer = threading.Timer(0.3, generator.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(sdcpu.CancelledError):
        generator.generate("slow")
    assert time.monotonic() - began < 10
    assert generator.generate("a cat").width == 256


@pytest.mark.parametrize("misdeed", ["killed", "fault", "assert", "exit"])
def test_the_engine_dies_and_the_next_picture_comes(
    generator: ImageGenerator, misdeed: str
) -> None:
    with pytest.raises(sdcpu.EngineCrashedError):
        generator.generate(misdeed)
    assert generator.generate("a cat").width == 256


def test_two_pictures_at_once_are_refused(generator: ImageGenerator) -> None:
    events = generator.stream("a cat")
    next(events)
    with pytest.raises(sdcpu.EngineBusyError):
        generator.generate("a dog")
    for _ in events:
        pass
    assert generator.generate("a dog").width == 256


def test_what_was_measured_is_expected(generator: ImageGenerator) -> None:
    assert generator.plan("a cat").seconds_expected is None
    generator.generate("a cat")
    expected = generator.plan("a cat").seconds_expected
    assert expected is not None
    assert 0.3 < expected < 0.6  # FakeEngine says: text 0.1, sample 0.2, decode 0.1, load 0.01


def test_too_little_memory_shows_before_anything_starts(settings: Settings) -> None:
    with ImageGenerator("demo", memory_limit="100 MB", settings=settings) as generator:
        with pytest.raises(sdcpu.NotEnoughMemoryError):
            generator.generate("a cat")
        assert generator.engine_pid is None


def test_offline_and_nothing_here_the_demo_model_draws(settings: Settings) -> None:
    with ImageGenerator(offline=True, settings=settings) as generator:
        events = list(generator.stream("a cat"))
    plan = events[0]
    assert isinstance(plan, sdcpu.EnginePlan)
    assert plan.model.name == "demo"
    assert "none may be downloaded" in plan.reasons[0]


def test_words_that_the_demo_model_does_not_know_are_named_in_the_plan(
    generator: ImageGenerator,
) -> None:
    said = [note for note in generator.plan("a cat and a red circle").surprises if "cat" in note]
    assert said == ["demo does not know these words: cat. `sdcpu show demo` lists what it knows."]
    assert not generator.plan("a red circle", negative_prompt="blue").surprises
    assert "frogs" in generator.plan("a red circle", negative_prompt="frogs").surprises[0]


def test_no_hub_in_reach_the_demo_model_draws(settings: Settings) -> None:
    with ImageGenerator(settings=settings) as generator:
        plans = [e for e in generator.stream("a cat") if isinstance(e, sdcpu.EnginePlan)]
    assert plans[0].download_size > 1e9
    assert plans[-1].model.name == "demo"
    assert "cannot be downloaded now" in plans[-1].reasons[0]


def test_a_named_model_that_cannot_be_had_is_an_error(settings: Settings) -> None:
    with (
        ImageGenerator("sd-turbo", settings=settings) as generator,
        pytest.raises(sdcpu.DownloadError),
    ):
        generator.generate("a cat")


def test_a_file_on_the_hub_that_is_no_model_says_so(settings: Settings) -> None:
    with HubServer() as hub:
        hub.add_file("owner/name", "strange.gguf", gguf())
        reachable = replace(settings, hub_endpoint=hub.endpoint)
        with (
            ImageGenerator("owner/name/strange.gguf", settings=reachable) as generator,
            pytest.raises(sdcpu.ModelFileError),
        ):
            generator.generate("a cat")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"count": 2}, "generate_many"),
        ({"colour": "red"}, "no such value"),
        ({"control_image": "x.png"}, "ControlNet"),
        ({"init_image": "/nowhere.png"}, "no file"),
        ({"steps": 0}, "steps"),
    ],
)
def test_a_bad_request_starts_nothing(
    generator: ImageGenerator, request_: dict[str, object], words: str
) -> None:
    with pytest.raises(sdcpu.InvalidRequestError) as caught:
        generator.generate("a cat", **request_)
    assert words in caught.value.message + caught.value.hint
    assert generator.engine_pid is None


def test_the_functions_at_the_top(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_module, "load_settings", lambda: settings)
    assert sdcpu.generate("a cat", model="demo", width=64, height=64).width == 64
    assert sdcpu.make_plan("demo", width=256, height=192).request.height == 192
