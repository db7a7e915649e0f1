"""The queue with the real engine and the demo model."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sdcpu import ImageGenerator, load_settings
from sdcpu.job_queue import JobKind, JobQueue, JobState
from sdcpu.recipe import read_recipe
from sdcpu.settings import Settings, overridden
from tests.pictures import describe
from tests.upscalers import write_upscaler

CIRCLE = {"prompt": "a red circle on a blue background", "width": 128, "height": 128}


@pytest.fixture(scope="module")
def settings(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("machine")
    empty = load_settings({"SDCPU_CONFIG": str(folder / "config.toml")})
    return overridden(
        empty, cache_folder=demo_folder, state_folder=folder / "state", default_model="demo"
    )


@pytest.fixture(scope="module")
def queue(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobQueue]:
    folder = tmp_path_factory.mktemp("queue")
    upscalers = tmp_path_factory.mktemp("upscalers")
    write_upscaler(upscalers / "small.safetensors", factor=2)
    with JobQueue(folder, settings=settings, allowed_folders=[upscalers]) as queue:
        yield queue


def engine_pid(queue: JobQueue) -> int:
    (thread,) = queue._threads
    ((_, warm),) = thread.warm._items()
    assert warm.maker.engine_pid is not None
    return warm.maker.engine_pid


def test_a_job_is_the_picture_that_the_library_draws(queue: JobQueue, settings: Settings) -> None:
    job = queue.wait(queue.submit({**CIRCLE, "seed": 7, "count": 2}).id, 60)
    assert job.error is None
    with Image.open(queue.result_path(job.id, 1)) as second:
        assert describe(second)[:2] == ("blue", "red")
        with ImageGenerator("demo", settings=settings) as generator:
            alone = generator.generate(**CIRCLE, seed=8)  # type: ignore[arg-type]
        assert second.tobytes() == alone.image.tobytes()
    assert read_recipe(queue.result_path(job.id, 1))["seed"] == 8
    began = time.monotonic()
    again = queue.submit({**CIRCLE, "seed": 7, "count": 2})
    assert again.from_cache
    assert queue.result_path(again.id, 1).read_bytes() == queue.result_path(job.id, 1).read_bytes()
    assert time.monotonic() - began < 5
    (warm,) = queue.statistics()["warm_models"]
    assert (warm["name"], warm["memory"] > 10**8) == ("demo", True)


def test_a_cancel_ends_a_step_and_the_next_job_is_drawn(queue: JobQueue) -> None:
    job = queue.submit({**CIRCLE, "width": 512, "height": 512, "steps": 100, "preview": "proj"})
    with queue.announcements.subscribe(job=job.id, after=0) as listener:
        while (heard := listener.get(timeout=60)) is not None and heard.kind != "preview":
            pass
    seen = queue.preview(job.id)
    assert seen is not None
    progress = queue.job(job.id).progress
    assert progress is not None
    assert progress.seconds_left is not None
    began = time.monotonic()
    queue.cancel(job.id)
    assert queue.wait(job.id, 30).state is JobState.CANCELLED
    assert time.monotonic() - began < 10
    assert queue.wait(queue.submit(CIRCLE).id, 60).state is JobState.DONE


def test_an_engine_that_is_killed_costs_no_job(queue: JobQueue) -> None:
    queue.wait(queue.submit(CIRCLE).id, 60)
    job = queue.submit({**CIRCLE, "steps": 40, "seed": 5})
    with queue.announcements.subscribe(job=job.id, after=0) as listener:
        while (heard := listener.get(timeout=60)) is not None:
            progress = heard.data["progress"]
            if progress is not None and progress["done"]:
                break
    os.kill(engine_pid(queue), signal.SIGKILL)
    done = queue.wait(job.id, 120)
    assert (done.state, done.attempts) == (JobState.DONE, 2)
    assert "engine ended" in done.notes[0]


def test_a_result_is_enlarged(queue: JobQueue) -> None:
    job = queue.wait(queue.submit({**CIRCLE, "seed": 9}).id, 60)
    (folder,) = queue._intake._allowed_folders
    upscaler = str(folder.resolve() / "small.safetensors")
    request = {"image": f"result:{job.id}/0", "factor": 2, "upscaler": upscaler}
    larger = queue.wait(queue.submit(request, kind=JobKind.UPSCALE).id, 60)
    assert larger.error is None
    assert (larger.results[0].width, larger.results[0].height) == (256, 256)
    assert queue.submit(request, kind=JobKind.UPSCALE).from_cache
