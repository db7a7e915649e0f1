"""A queue whose program is really killed: nothing is lost, and nothing is drawn twice."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sdcpu.errors import QueueFolderError
from sdcpu.job_queue import JobQueue, JobState
from sdcpu.job_queue.database import SCHEMA_VERSION
from tests.fake_generators import Studio, settings_in

_PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from sdcpu.job_queue import JobQueue
from tests.fake_generators import Studio, settings_in
folder = Path(sys.argv[1])
studio = Studio()
with JobQueue(folder / "queue", settings=settings_in(folder / "m"), make_generator=studio) as queue:
    for request in eval(sys.argv[2]):
        print(queue.submit(request).id, flush=True)
    if sys.argv[3:]:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
"""
"""Submits jobs; one of them ends this program, or it ends itself at once."""


def killed(folder: Path, *requests: dict[str, object], at_once: bool = False) -> list[str]:
    """Let a program submit requests, one of which kills it; the ids of the jobs."""
    ended = subprocess.run(
        [
            *(sys.executable, "-c", _PROGRAM, str(folder), repr(list(requests))),
            *(["now"] if at_once else []),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == -9, ended.stderr
    return ended.stdout.split()


def reopened(folder: Path, studio: Studio) -> JobQueue:
    settings = settings_in(folder / "m")
    return JobQueue(folder / "queue", settings=settings, make_generator=studio)


def test_a_killed_server_draws_the_rest_only(tmp_path: Path) -> None:
    request = {"prompt": "die after first", "seed": 7, "count": 3}
    (job_id,) = killed(tmp_path, request)
    leftover = tmp_path / "queue" / "jobs" / job_id / ".1.png-half"
    leftover.write_bytes(b"half")
    assert killed(tmp_path) == []  # draws the second picture, and dies again
    studio = Studio()
    # The third attempt dies with the last picture drawn: then it is done.
    assert killed(tmp_path) == []
    with reopened(tmp_path, studio) as queue:
        done = queue.wait(job_id, 5)
        assert done.state is JobState.DONE
        assert [result.seed for result in done.results] == [7, 8, 9]
        assert all(queue.result_path(job_id, index).is_file() for index in range(3))
    assert studio.drawn == []
    assert not leftover.exists()


def test_what_was_done_stays_done_after_a_kill(tmp_path: Path) -> None:
    ids = killed(tmp_path, {"prompt": "a cat", "seed": 1}, {"prompt": "kill"})
    studio = Studio()
    # "kill" would end this program, too: it is deleted while the queue is not at work.
    with sqlite3.connect(tmp_path / "queue" / "queue.sqlite3") as database:
        database.execute("DELETE FROM jobs WHERE request LIKE '%kill%'")
    database.close()
    with reopened(tmp_path, studio) as queue:
        assert queue.wait(ids[0], 5).state is JobState.DONE
        assert [job.id for job in queue.jobs()] == ids[:1]
    assert studio.drawn == []


def test_what_waited_is_drawn_after_a_kill(tmp_path: Path) -> None:
    requests: list[dict[str, object]] = [{"prompt": "wait"}, {"prompt": "a"}, {"prompt": "b"}]
    ids = killed(tmp_path, *requests, at_once=True)
    assert len(ids) == 3
    studio = Studio()
    studio.released.set()
    with reopened(tmp_path, studio) as queue:
        done = [queue.wait(job_id, 5) for job_id in ids]
    assert [job.state for job in done] == [JobState.DONE] * 3
    assert [prompt for prompt, _ in studio.drawn] == ["wait", "a", "b"]


def test_a_job_that_kills_the_server_is_given_up(tmp_path: Path) -> None:
    (job_id,) = killed(tmp_path, {"prompt": "kill"})
    for _ in range(2):
        killed(tmp_path)
    with reopened(tmp_path, Studio()) as queue:
        failed = queue.job(job_id)
    assert (failed.state, failed.attempts) == (JobState.FAILED, 3)
    assert failed.error is not None
    assert "ended 3 times" in failed.error.message


def test_a_damaged_database_is_set_aside_and_said(tmp_path: Path) -> None:
    with reopened(tmp_path, Studio()) as queue:
        queue.wait(queue.submit({"prompt": "a cat"}).id, 5)
    database = tmp_path / "queue" / "queue.sqlite3"
    database.write_bytes(b"no database" * 1000)
    with reopened(tmp_path, Studio()) as queue:
        (problem,) = queue.statistics()["problems"]
        assert "damaged" in problem
        (aside,) = (tmp_path / "queue").glob("broken-*")
        assert aside.name in problem
        assert str(tmp_path) not in problem
        assert (aside / "queue.sqlite3").read_bytes().startswith(b"no database")
        assert list(aside.glob("jobs/*/0.png"))
        assert queue.jobs() == []
        assert queue.wait(queue.submit({"prompt": "a dog"}).id, 5).state is JobState.DONE


def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    with reopened(tmp_path, Studio()):
        pass
    with sqlite3.connect(tmp_path / "queue" / "queue.sqlite3") as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(QueueFolderError, match="later version"):
        reopened(tmp_path, Studio()).__enter__()
    # The folder is free again.
    with sqlite3.connect(tmp_path / "queue" / "queue.sqlite3") as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.close()
    with reopened(tmp_path, Studio()):
        pass


def test_a_database_that_cannot_grow_loses_nothing(tmp_path: Path) -> None:
    """SQLite's own limit of pages stands for a disk that is full."""
    studio = Studio()
    with reopened(tmp_path, studio) as queue:
        job = queue.submit({"prompt": "wait"})
        assert studio.drawing.wait(5)
        database = queue._ledger.store._database._connection
        with queue._ledger.changed:
            pages = database.execute("PRAGMA page_count").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(QueueFolderError, match="full"):
            queue.submit({"prompt": "a cat" * 4000})
        with queue._ledger.changed:
            database.execute("PRAGMA max_page_count = 1000000")
        studio.released.set()
        assert queue.wait(job.id, 10).state is JobState.DONE
        assert sorted(path.name for path in (queue.folder / "jobs").iterdir()) == [job.id]


def test_results_answer_identical_requests_after_a_restart(tmp_path: Path) -> None:
    request = {"prompt": "a cat", "seed": 3}
    with reopened(tmp_path, Studio()) as queue:
        queue.wait(queue.submit(request).id, 5)
    studio = Studio()
    with reopened(tmp_path, studio) as queue:
        assert queue.submit(request).from_cache
    assert studio.drawn == []
