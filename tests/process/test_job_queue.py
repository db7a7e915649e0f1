"""The queue over fake generators: order, cancel, failures, restart, many threads at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdcpu.job_queue import JobQueue, JobState
from tests.fake_generators import Studio, settings_in


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def queue(tmp_path: Path, studio: Studio) -> Iterator[JobQueue]:
    with JobQueue(
        tmp_path / "queue", settings=settings_in(tmp_path / "machine"), make_generator=studio
    ) as queue:
        yield queue


def test_a_job_is_drawn(queue: JobQueue, studio: Studio) -> None:
    job = queue.submit({"prompt": "a cat", "seed": 5, "count": 2})
    assert job.state is JobState.QUEUED
    done = queue.wait(job.id, 10)
    assert done.state is JobState.DONE
    assert [(result.index, result.seed) for result in done.results] == [(0, 5), (1, 6)]
    assert queue.result_path(job.id, 1).is_file()
    assert studio.drawn == [("a cat", 5), ("a cat", 6)]


def test_what_is_drawn_can_be_cancelled(queue: JobQueue, studio: Studio) -> None:
    job = queue.submit({"prompt": "wait"})
    assert studio.drawing.wait(5)
    waiting = queue.submit({"prompt": "another"})
    queue.cancel(job.id)
    assert queue.wait(job.id, 5).state is JobState.CANCELLED
    assert queue.wait(waiting.id, 5).state is JobState.DONE


def test_a_failure_says_why(queue: JobQueue) -> None:
    failed = queue.wait(queue.submit({"prompt": "refuse"}).id, 5)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.hint) == ("generation", "Draw another.")
