"""Pictures for agents over a faked engine in a real process: one at a time, and cancelled."""

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdcpu import engine_run
from sdcpu.agents import Studio, Waiting
from sdcpu.agents.studio import Told
from sdcpu.errors import CancelledError, EngineCrashedError, ModelNotDownloadedError
from sdcpu.events import Progress
from sdcpu.process import EngineProcess
from sdcpu.settings import Settings, load_settings
from tests.engines import command

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 2, "seed": 1}


@pytest.fixture
def settings(tmp_path: Path, demo_folder: Path) -> Settings:
    """A machine with the demo model and nothing else."""
    empty = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(empty, cache_folder=demo_folder, state_folder=tmp_path / "state")


@pytest.fixture(autouse=True)
def _fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_run, "EngineProcess", partial(EngineProcess, command=command()))


def test_pictures_come_one_after_the_other(settings: Settings) -> None:
    told: list[tuple[str, Told]] = []
    with Studio(model="demo", settings=settings) as studio:
        asked = [
            studio.draw(name, SMALL, hear=lambda event, name=name: told.append((name, event)))  # type: ignore[misc]
            for name in ("one", "two", "three")
        ]
        made = [each.future.result(60) for each in asked]
    assert [picture.request.prompt for picture in made] == ["one", "two", "three"]
    drawn = [name for name, event in told if isinstance(event, Progress)]
    assert drawn == sorted(drawn, key=["one", "two", "three"].index)
    waited = {name: event.before for name, event in told if isinstance(event, Waiting)}
    assert waited["three"] in (1, 2)


def test_an_error_is_of_its_picture_only(settings: Settings) -> None:
    with Studio(model="demo", settings=settings) as studio:
        failing, fine = studio.draw("killed", SMALL), studio.draw("one", SMALL)
        assert isinstance(failing.future.exception(60), EngineCrashedError)
        assert fine.future.result(60).width == 64


def test_a_model_that_is_not_here(settings: Settings) -> None:
    with Studio(settings=settings) as studio:
        error = studio.draw("one", SMALL, model="sd-turbo").future.exception(60)
    assert isinstance(error, ModelNotDownloadedError)
    assert "sdcpu pull sd-turbo" in error.hint


def test_a_cancel_stops_the_picture_that_is_meant(settings: Settings) -> None:
    with Studio(model="demo", settings=settings) as studio:
        slow, never, last = (studio.draw(prompt, SMALL) for prompt in ("slow", "one", "two"))
        never.cancel()
        time.sleep(0.5)
        began = time.monotonic()
        slow.cancel()
        assert isinstance(slow.future.exception(60), CancelledError)
        assert isinstance(never.future.exception(60), CancelledError)
        assert last.future.result(60).request.prompt == "two"
        assert time.monotonic() - began < 20
        last.cancel()  # means nothing any more


def test_a_cancelled_task_cancels_its_picture(settings: Settings) -> None:
    async def give_up(studio: Studio) -> None:
        asked = studio.draw("slow", SMALL)
        task = asyncio.create_task(asked.finished())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(asked.future.exception(10), CancelledError)
        assert (await studio.draw("one", SMALL).finished()).width == 64

    with Studio(model="demo", settings=settings) as studio:
        asyncio.run(give_up(studio))


def test_closing_ends_what_is_under_way(settings: Settings) -> None:
    studio = Studio(model="demo", settings=settings)
    slow, waiting = studio.draw("slow", SMALL), studio.draw("one", SMALL)
    time.sleep(0.3)
    studio.close()
    for each in (slow, waiting):
        assert isinstance(each.future.exception(0), CancelledError)
    with pytest.raises(CancelledError, match="closed"):
        studio.draw("one", SMALL)


def test_enlarging_takes_the_place_of_drawing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One engine at a time: the memory may hold no second model."""
    own = tmp_path / "models.toml"
    (tmp_path / "up.pth").touch()
    with Studio(model="demo", settings=replace(settings, models_file=own)) as studio:
        studio.draw("one", SMALL).future.result(60)
        drawing = studio._machine
        error = studio.enlarge(Image.new("RGB", (8, 8)), 4).future.exception(60)
        assert isinstance(error, ModelNotDownloadedError)
        assert studio._machine is not drawing
        assert getattr(drawing, "engine_pid", 0) is None
