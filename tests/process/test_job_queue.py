"""The queue over fake generators: order, cancel, failures, limits, many threads at once."""

import contextlib
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdcpu.errors import (
    InvalidRequestError,
    JobConflictError,
    JobNotFoundError,
    ModelNotDownloadedError,
    QueueClosedError,
    QueueFolderError,
    QueueFullError,
    RequestTooLargeError,
    UnknownModelError,
)
from sdcpu.job_queue import JobKind, JobQueue, JobState, QueueLimits
from sdcpu.recipe import read_recipe
from tests.fake_generators import Studio, settings_in

Opened = Callable[..., JobQueue]


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def opened(tmp_path: Path, studio: Studio) -> Opened:
    """A queue in this test's folder, to be entered."""

    def open_queue(**options: Any) -> JobQueue:
        settings = settings_in(tmp_path / "machine", "red", "green")
        return JobQueue(tmp_path / "queue", settings=settings, make_generator=studio, **options)

    return open_queue


@pytest.fixture
def queue(opened: Opened) -> Iterator[JobQueue]:
    with opened() as queue:
        yield queue


def hold(queue: JobQueue, studio: Studio, **options: Any) -> str:
    """Keep the queue busy with a job that waits until the studio is released."""
    job = queue.submit({"prompt": "wait"}, **options)
    assert studio.drawing.wait(5)
    return job.id


def test_a_job_is_drawn(queue: JobQueue, studio: Studio) -> None:
    job = queue.submit({"prompt": "a cat", "seed": 5, "count": 2}, client="page")
    assert (job.state, job.position, job.client) == (JobState.QUEUED, 0, "page")
    done = queue.wait(job.id, 10)
    assert done.state is JobState.DONE
    assert [(result.index, result.seed) for result in done.results] == [(0, 5), (1, 6)]
    assert read_recipe(queue.result_path(job.id, 1))["seed"] == 6
    assert studio.drawn == [("a cat", 5), ("a cat", 6)]
    assert (done.attempts, done.progress, done.position) == (1, None, None)
    assert done.plan is not None
    assert done.plan["model"]["name"] == "demo"
    with pytest.raises(JobNotFoundError):
        queue.result_path(job.id, 2)


def test_everything_is_announced_in_order(queue: JobQueue) -> None:
    with queue.announcements.subscribe() as listener:
        job = queue.submit({"prompt": "a cat", "steps": 2, "preview": "proj"})
        queue.wait(job.id, 10)
        kinds = []
        while (heard := listener.get(timeout=1)) is not None:
            kinds.append(heard.kind)
            if heard.kind == "done":
                break
    order = ["queued", "started", "plan", "progress", "preview", "result", "done"]
    passing = {"progress", "preview"}  # a later one takes the place of an earlier
    assert passing <= set(kinds)
    assert [kind for kind in kinds if kind not in passing] == [
        kind for kind in order if kind not in passing
    ]
    assert heard is not None
    assert heard.data["state"] == "done"
    assert heard.data["results"][0]["file"] == "0.png"


def test_the_picture_can_be_seen_while_it_grows(queue: JobQueue, studio: Studio) -> None:
    studio.seconds_each = 0.05
    job = queue.submit({"prompt": "a cat", "steps": 20, "preview": "proj"})
    deadline = time.monotonic() + 5
    while (seen := queue.preview(job.id)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen is not None
    assert seen.startswith(b"\x89PNG")
    running = queue.job(job.id)
    assert running.progress is not None
    assert running.progress.total == 20
    assert 0 <= (running.progress.fraction or 0) < 1
    queue.cancel(job.id)
    queue.wait(job.id, 5)
    assert queue.preview(job.id) is None


def test_what_waits_can_be_cancelled(queue: JobQueue, studio: Studio) -> None:
    held = hold(queue, studio)
    job = queue.submit({"prompt": "a cat"})
    assert queue.cancel(job.id).state is JobState.CANCELLED
    with pytest.raises(JobConflictError):
        queue.cancel(job.id)
    studio.released.set()
    queue.wait(held, 5)
    assert [prompt for prompt, _ in studio.drawn] == ["wait"]


def test_what_is_drawn_can_be_cancelled(queue: JobQueue, studio: Studio) -> None:
    held = hold(queue, studio)
    waiting = queue.submit({"prompt": "another"})
    queue.cancel(held)
    assert queue.wait(held, 5).state is JobState.CANCELLED
    assert queue.wait(waiting.id, 5).state is JobState.DONE


def test_an_interrupt_ends_what_is_drawn_only(queue: JobQueue, studio: Studio) -> None:
    held = hold(queue, studio)
    waiting = queue.submit({"prompt": "another"})
    assert [job.id for job in queue.interrupt()] == [held]
    assert queue.wait(held, 5).state is JobState.CANCELLED
    assert queue.wait(waiting.id, 5).state is JobState.DONE
    assert queue.interrupt() == []


def test_failures_say_why_and_the_next_job_is_drawn(queue: JobQueue) -> None:
    refused = queue.wait(queue.submit({"prompt": "refuse"}).id, 5)
    mistake = queue.wait(queue.submit({"prompt": "bug"}).id, 5)
    assert refused.error is not None
    assert (refused.state, refused.error.code) == (JobState.FAILED, "generation")
    assert refused.error.hint == "Draw another."
    assert mistake.error is not None
    assert "a mistake of ours" in mistake.error.message
    assert queue.wait(queue.submit({"prompt": "a cat"}).id, 5).state is JobState.DONE


def test_an_engine_that_dies_is_tried_three_times(queue: JobQueue, studio: Studio) -> None:
    once = queue.wait(queue.submit({"prompt": "crash once"}).id, 5)
    assert (once.state, once.attempts) == (JobState.DONE, 2)
    assert "begun again" in once.notes[0]
    always = queue.wait(queue.submit({"prompt": "crash"}).id, 5)
    assert (always.state, always.attempts, studio.crashes) == (JobState.FAILED, 3, 4)
    assert always.error is not None
    assert always.error.code == "engine_crashed"


def test_what_was_drawn_before_the_engine_died_is_kept(queue: JobQueue, studio: Studio) -> None:
    job = queue.submit({"prompt": "crash after first", "seed": 7, "count": 3})
    done = queue.wait(job.id, 5)
    assert done.state is JobState.DONE
    assert [result.seed for result in done.results] == [7, 8, 9]
    assert [seed for _, seed in studio.drawn] == [7, 8, 9]


def test_urgent_jobs_go_first_and_say_so(queue: JobQueue, studio: Studio) -> None:
    hold(queue, studio)
    usual, later, urgent = (
        queue.submit({"prompt": name}, priority=priority)
        for name, priority in (("usual", 0), ("later", -3), ("urgent", 5))
    )
    assert [queue.job(job.id).position for job in (usual, later, urgent)] == [1, 2, 0]
    with queue.announcements.subscribe() as listener:
        queue.prioritise(later.id, 9)
        heard = [listener.get(1) for _ in range(3)]
    moved = {each.job: each.data["position"] for each in heard if each is not None}
    assert moved == {later.id: 0, urgent.id: 1, usual.id: 2}
    with pytest.raises(InvalidRequestError):
        queue.prioritise(later.id, 11)
    studio.released.set()
    for job in (usual, later, urgent):
        queue.wait(job.id, 5)
    assert [prompt for prompt, _ in studio.drawn] == ["wait", "later", "urgent", "usual"]
    with pytest.raises(JobConflictError):
        queue.prioritise(later.id, 1)


def test_jobs_of_the_loaded_model_are_drawn_together(queue: JobQueue, studio: Studio) -> None:
    hold(queue, studio, model="red")
    jobs = [
        queue.submit({"prompt": f"{model} {number}"}, model=model)
        for number in range(2)
        for model in ("green", "red")
    ]
    studio.released.set()
    for job in jobs:
        assert queue.wait(job.id, 5).state is JobState.DONE
    assert [prompt for prompt, _ in studio.drawn] == [
        "wait",
        "red 0",
        "red 1",
        "green 0",
        "green 1",
    ]


def test_models_stay_loaded_for_a_while(opened: Opened, studio: Studio) -> None:
    with opened(limits=QueueLimits(keep_alive_seconds=0.3)) as queue:
        queue.wait(queue.submit({"prompt": "a cat"}, model="red").id, 5)
        assert [warm["name"] for warm in queue.statistics()["warm_models"]] == ["red"]
        deadline = time.monotonic() + 5
        while queue.statistics()["warm_models"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert studio.loaded == []


def test_an_identical_request_is_not_drawn_again(queue: JobQueue, studio: Studio) -> None:
    request = {"prompt": "a cat", "seed": 5, "count": 2}
    first = queue.wait(queue.submit(request).id, 5)
    again = queue.submit(request | {"preview": "proj"})
    assert (again.state, again.from_cache, first.from_cache) == (JobState.DONE, True, False)
    assert [result.seed for result in again.results] == [5, 6]
    assert len(studio.drawn) == 2
    queue.delete(first.id)
    assert queue.result_path(again.id, 1).is_file()
    for other in ({"prompt": "a cat", "seed": 5}, {"prompt": "a cat"}, {"prompt": "a cat"}):
        assert not queue.wait(queue.submit(other).id, 5).from_cache
    assert not queue.wait(queue.submit(request, model="red").id, 5).from_cache


def test_a_twin_that_waits_is_not_drawn_either(queue: JobQueue, studio: Studio) -> None:
    hold(queue, studio)
    twins = [queue.submit({"prompt": "a cat", "seed": 5}) for _ in range(2)]
    studio.released.set()
    done = [queue.wait(job.id, 5) for job in twins]
    assert [job.from_cache for job in done] == [False, True]
    assert [prompt for prompt, _ in studio.drawn] == ["wait", "a cat"]


def test_the_cache_can_be_off(opened: Opened, studio: Studio) -> None:
    with opened(limits=QueueLimits(cached_results=0)) as queue:
        for _ in range(2):
            queue.wait(queue.submit({"prompt": "a cat", "seed": 5}).id, 5)
    assert len(studio.drawn) == 2


def test_a_key_means_the_same_job(queue: JobQueue) -> None:
    first = queue.submit({"prompt": "a cat"}, key="k1")
    assert queue.submit({"prompt": "a cat"}, key="k1").id == first.id
    with pytest.raises(JobConflictError):
        queue.submit({"prompt": "a dog"}, key="k1")
    assert queue.submit({"prompt": "a cat"}).id != first.id


def test_a_retry_is_a_new_job_with_the_same_pictures(queue: JobQueue) -> None:
    Image.new("RGB", (64, 64), "red").save(queue.folder / "uploads" / "u1.png")
    job = queue.submit({"prompt": "a cat", "init_image": "upload:u1", "strength": 0.5})
    done = queue.wait(job.id, 5)
    assert done.results[0].recipe["init_image"] == "upload:u1"
    assert str(queue.folder) not in str(done.results[0].recipe)
    (queue.folder / "uploads" / "u1.png").unlink()
    again = queue.retry(job.id)
    assert (again.retry_of, again.id == job.id) == (job.id, False)
    assert queue.wait(again.id, 5).state is JobState.DONE
    follow = queue.submit({"prompt": "a dog", "init_image": f"result:{job.id}/0"})
    assert queue.wait(follow.id, 5).state is JobState.DONE
    with pytest.raises(InvalidRequestError, match="upload"):
        queue.submit({"prompt": "a cat", "init_image": "upload:u1"})


def test_what_is_drawn_is_neither_retried_nor_deleted(queue: JobQueue, studio: Studio) -> None:
    held = hold(queue, studio)
    with pytest.raises(JobConflictError):
        queue.retry(held)
    with pytest.raises(JobConflictError):
        queue.delete(held)
    waiting = queue.submit({"prompt": "a cat"})
    queue.delete(waiting.id)
    with pytest.raises(JobNotFoundError):
        queue.job(waiting.id)


def test_deleted_jobs_leave_nothing(queue: JobQueue) -> None:
    job = queue.wait(queue.submit({"prompt": "a cat"}).id, 5)
    folder = queue.result_path(job.id, 0).parent
    queue.delete(job.id)
    assert not folder.exists()
    with pytest.raises(JobNotFoundError):
        queue.delete(job.id)


def test_the_oldest_jobs_are_forgotten(opened: Opened) -> None:
    with opened(limits=QueueLimits(most_kept_jobs=2)) as queue:
        ids = [queue.wait(queue.submit({"prompt": str(n)}).id, 5).id for n in range(4)]
        assert [job.id for job in queue.jobs()] == ids[:1:-1]
        assert sorted(path.name for path in (queue.folder / "jobs").iterdir()) == sorted(ids[2:])


def test_jobs_are_listed_newest_first_in_pages(queue: JobQueue, studio: Studio) -> None:
    ids = [queue.wait(queue.submit({"prompt": str(n)}).id, 5).id for n in range(5)]
    page = queue.jobs(limit=2)
    assert [job.id for job in page] == ids[4:2:-1]
    assert [job.id for job in queue.jobs(limit=9, before=page[-1].id)] == ids[2::-1]
    assert queue.jobs(states=[JobState.FAILED]) == []
    with pytest.raises(JobNotFoundError):
        queue.jobs(before="nothing")


def test_a_full_queue_says_when_to_come_again(opened: Opened, studio: Studio) -> None:
    with opened(limits=QueueLimits(most_waiting=2)) as queue:
        hold(queue, studio)
        for number in range(2):
            queue.submit({"prompt": str(number)})
        with pytest.raises(QueueFullError) as raised:
            queue.submit({"prompt": "one more"})
        # The plans of fake pictures expect 130 s.
        assert 100 <= raised.value.retry_after_seconds <= 130


@pytest.mark.parametrize(
    "request_of_too_much",
    [
        {"width": 4096, "height": 4096},
        {"width": 1024, "height": 1024, "upscale": 4},
        {"count": 17},
        {"steps": 151},
    ],
    ids=str,
)
def test_too_much_is_refused(queue: JobQueue, request_of_too_much: dict[str, Any]) -> None:
    with pytest.raises(RequestTooLargeError):
        queue.submit({"prompt": "a cat", **request_of_too_much})
    assert queue.jobs() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"prompt": 5},
        {"prompt": "a cat", "nothing_like_this": 1},
        {"prompt": "a cat", "steps": "4"},
        {"prompt": "a cat", "tiled": "yes"},
        {"prompt": "a cat", "seed": 2**63 - 1, "count": 2},
        {"prompt": "a cat", "init_image": 5},
        {"prompt": "a cat", "init_image": "/etc/passwd"},
        {"prompt": "a cat", "init_image": "upload:../../machine/secret"},
        {"prompt": "a cat", "init_image": "result:nothing/0"},
        {"prompt": "a cat", "ref_images": ["upload:none"]},
        {"prompt": "a cat", "embeddings": ["/etc"]},
        {"prompt": "a cat", "loras": [["ink"]]},
        {"prompt": "a cat <lora:ink"},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(queue: JobQueue, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        queue.submit(wrong)
    assert queue.jobs() == []
    assert list((queue.folder / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "model"),
    [
        ({"prompt": "a cat"}, "nothing-like-this"),
        ({"prompt": "a cat"}, "/etc/passwd"),
        ({"prompt": "a cat"}, "somebody/something/model.gguf"),
        ({"prompt": "a cat <lora:/etc/passwd:1>"}, None),
        ({"prompt": "a cat", "loras": [["../machine/red.gguf", 1]]}, None),
        ({"prompt": "a cat", "upscale": 2, "upscaler": "/etc/passwd"}, None),
    ],
    ids=str,
)
def test_names_open_no_files(queue: JobQueue, wrong: dict[str, Any], model: str | None) -> None:
    with pytest.raises(UnknownModelError):
        queue.submit(wrong, model=model)


def test_models_that_are_not_here_are_downloaded_only_where_allowed(opened: Opened) -> None:
    with opened() as queue:
        with pytest.raises(ModelNotDownloadedError):
            queue.submit({"prompt": "a cat"}, model="lcm-dreamshaper-v7")
        assert queue.settings.offline
    with opened(allow_downloads=True) as queue:
        assert not queue.settings.offline


def test_a_plan_is_made_beside_the_queue(queue: JobQueue) -> None:
    plan = queue.plan({"prompt": "a cat", "width": 128})
    assert (plan["request"]["width"], plan["download_bytes"]) == (128, 0)
    assert queue.jobs() == []


def test_videos_are_drawn(queue: JobQueue) -> None:
    job = queue.submit({"prompt": "waves", "frames": 3}, kind=JobKind.VIDEO)
    done = queue.wait(job.id, 20)
    assert done.error is None
    (result,) = done.results
    assert result.media_type in ("video/mp4", "image/webp")
    assert queue.result_path(job.id, 0).stat().st_size > 0
    with pytest.raises(RequestTooLargeError):
        queue.submit({"prompt": "waves", "frames": 500}, kind=JobKind.VIDEO)


def test_two_queues_do_not_share_a_folder(queue: JobQueue, opened: Opened) -> None:
    with pytest.raises(QueueFolderError, match="Another sdcpu"):
        opened().__enter__()
    assert queue.wait(queue.submit({"prompt": "a cat"}).id, 5).state is JobState.DONE


def test_a_full_disk_stops_the_queue_until_there_is_room(
    queue: JobQueue, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = hold(queue, studio)
    job = queue.submit({"prompt": "a cat"})
    usage = shutil.disk_usage(queue.folder)
    with monkeypatch.context() as full:
        full.setattr(
            "sdcpu.job_queue.folder.shutil.disk_usage", lambda _: usage._replace(free=5_000_000)
        )
        studio.released.set()
        queue.wait(held, 5)
        with pytest.raises(QueueFolderError, match="nearly full"):
            queue.submit({"prompt": "a dog"})
        deadline = time.monotonic() + 5
        while not queue.statistics()["problems"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "nearly full" in queue.statistics()["problems"][0]
        assert queue.job(job.id).state is JobState.QUEUED
    assert queue.wait(job.id, 5).state is JobState.DONE


def test_a_picture_that_cannot_be_stored_fails_its_job_only(
    queue: JobQueue, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("sdcpu.job_queue.results.os.fsync", _full)
        failed = queue.wait(queue.submit({"prompt": "a cat"}).id, 5)
    assert failed.error is not None
    assert (failed.error.code, failed.results) == ("queue_folder", ())
    assert queue.wait(queue.submit({"prompt": "a dog"}).id, 5).state is JobState.DONE


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_stopped_queue_says_so(opened: Opened, studio: Studio) -> None:
    with opened() as queue:
        held = hold(queue, studio)
        listener = queue.announcements.subscribe()
    assert studio.loaded == []
    with pytest.raises(QueueClosedError):
        queue.submit({"prompt": "a cat"})
    with pytest.raises(QueueClosedError):
        queue.job(held)
    while listener.get(timeout=0) is not None:
        pass
    assert listener.closed


def test_a_stop_puts_back_what_is_drawn(opened: Opened, studio: Studio) -> None:
    with opened() as queue:
        held = hold(queue, studio)
        waiting = queue.submit({"prompt": "a cat"}).id
    studio.released.set()
    with opened() as queue:
        done = queue.wait(held, 5)
        assert (done.state, done.attempts) == (JobState.DONE, 1)
        assert queue.wait(waiting, 5).state is JobState.DONE
    assert [prompt for prompt, _ in studio.drawn] == ["wait", "a cat"]


def submit_and_cancel(queue: JobQueue, number: int, ids: list[str]) -> None:
    """What an impatient client does: its jobs are of all kinds, and it cancels others' too."""
    chance = random.Random(number)
    for _ in range(JOBS_EACH):
        prompt = chance.choice(("a cat", "refuse", "crash", "crash after first", "bug", "a dog"))
        job = queue.submit(
            {"prompt": prompt, "steps": 2, "count": 2},
            model=chance.choice((None, "red", "green")),
            priority=chance.randint(-2, 2),
        )
        ids.append(job.id)
        if chance.random() < 0.4:
            time.sleep(chance.random() / 50)
            with contextlib.suppress(JobConflictError):
                queue.cancel(chance.choice((job.id, *ids[-3:])))
        if chance.random() < 0.1:
            queue.interrupt()


CLIENTS, JOBS_EACH = 8, 8


def test_many_submit_and_cancel_at_once(opened: Opened, studio: Studio) -> None:
    """Every job ends in exactly one final state, none is lost, and none is drawn twice."""
    ids: list[str] = []
    with opened(limits=QueueLimits(cached_results=0)) as queue:
        listener = queue.announcements.subscribe()

        clients = [
            threading.Thread(target=submit_and_cancel, args=(queue, number, ids))
            for number in range(CLIENTS)
        ]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join(60)
        jobs = [queue.wait(job_id, 60) for job_id in ids]
        counts = queue.statistics()["jobs"]
    assert len(set(ids)) == CLIENTS * JOBS_EACH
    assert all(job.state.is_final for job in jobs)
    assert counts["queued"] == counts["running"] == 0
    assert {job.state for job in jobs} == {JobState.DONE, JobState.FAILED, JobState.CANCELLED}
    ends: Counter[str] = Counter()
    states = {}
    while (heard := listener.get(timeout=0)) is not None:
        if heard.kind in ("done", "failed", "cancelled"):
            ends[heard.job] += 1
            states[heard.job] = heard.kind
    assert ends == Counter(ids)
    assert states == {job.id: job.state.value for job in jobs}
    for job in jobs:
        if job.state is JobState.DONE:
            assert [result.index for result in job.results] == [0, 1]
    assert max(Counter(studio.drawn).values()) == 1  # seeds are random: the same twice is a repeat
