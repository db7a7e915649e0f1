"""The progress of a whole job: it never goes back, and knows of the pictures before."""

import pytest

from sdcpu.events import DownloadProgress, Progress
from sdcpu.job_queue.watch import JobWatch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_times_the_steps_count() -> None:
    watch = JobWatch(pictures=2)
    assert watch.seen(Progress(stage="load", pictures=2)).fraction is None
    first = watch.seen(Progress(stage="sample", step=2, steps=4, picture=1, pictures=2))
    assert (first.fraction, first.picture) == (0.25, 0)
    second = watch.seen(Progress(stage="sample", step=0, steps=4, picture=2, pictures=2))
    assert (second.fraction, second.picture) == (0.5, 1)


def test_with_times_their_share_counts_and_never_goes_back() -> None:
    clock = Clock()
    watch = JobWatch(clock=clock)
    clock.now += 10
    assert watch.seen(Progress(stage="sample", seconds_left=30.0)).fraction == 0.25
    clock.now += 10
    slower = watch.seen(Progress(stage="sample", seconds_left=180.0))
    assert (slower.fraction, slower.seconds_left) == (0.25, 180.0)


def test_what_was_drawn_before_counts() -> None:
    watch = JobWatch(pictures=4, done=3)
    progress = watch.seen(Progress(stage="sample", step=1, steps=2, picture=1, pictures=1))
    assert (progress.picture, progress.fraction) == (3, 0.875)


def test_a_download_counts_all_files_and_the_drawing_after_it() -> None:
    clock = Clock()
    watch = JobWatch(clock=clock)
    watch.plan(seconds_expected=50.0, download_size=1000)
    watch.seen(DownloadProgress(file="a", done=400, total=400, bytes_per_second=10))
    clock.now += 40
    progress = watch.seen(DownloadProgress(file="b", done=100, total=600, bytes_per_second=10))
    assert (progress.stage, progress.done, progress.total) == ("download", 500, 1000)
    assert progress.seconds_left == pytest.approx(100)
    assert progress.fraction == pytest.approx(40 / 140)
