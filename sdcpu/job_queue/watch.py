"""How far a whole job is, told from the events of its drawing."""

from __future__ import annotations

import time
from collections.abc import Callable

from sdcpu.events import DownloadProgress, Progress
from sdcpu.job_queue.job import JobProgress


class JobWatch:
    """Turns events into the progress of a job; the fraction never goes back.

    >>> watch = JobWatch(pictures=2)
    >>> watch.seen(Progress(stage="sample", step=2, steps=4, picture=1, pictures=2)).fraction
    0.25
    """

    def __init__(
        self, *, pictures: int = 1, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin; `done` of the job's `pictures` are finished already."""
        self._pictures, self._done = pictures, done
        self._clock = clock
        self._began = clock()
        self._expected: float | None = None
        self._download_size = 0
        self._files: dict[str, int] = {}
        self._fraction: float | None = None

    def plan(self, *, seconds_expected: float | None, download_size: int) -> None:
        """Note what the plan expects: seconds of the drawing, bytes to download."""
        self._expected = seconds_expected
        self._download_size = max(self._download_size, download_size)

    def seen(self, event: Progress | DownloadProgress) -> JobProgress:
        """The progress of the job after this event."""
        if isinstance(event, DownloadProgress):
            return self._of_download(event)
        by_steps = self._by_steps(event)
        left = event.seconds_left
        elapsed = self._clock() - self._began
        # A share of the time is the better measure, where the time is known.
        of_rest = by_steps if left is None else elapsed / max(elapsed + left, 1e-9)
        return JobProgress(
            stage=event.stage,
            done=event.step,
            total=event.steps,
            picture=self._done + event.picture - 1,
            seconds_left=left,
            fraction=self._forward(of_rest),
        )

    def _of_download(self, event: DownloadProgress) -> JobProgress:
        self._files[event.file] = event.done
        here = sum(self._files.values())
        total = max(self._download_size, here + max(0, event.total - event.done))
        left = None
        if event.bytes_per_second > 0 and self._expected is not None:
            left = (total - here) / event.bytes_per_second + self._expected
        elapsed = self._clock() - self._began
        return JobProgress(
            stage="download",
            done=here,
            total=total,
            picture=self._done,
            seconds_left=left,
            fraction=None if left is None else self._forward(elapsed / max(elapsed + left, 1e-9)),
        )

    def _by_steps(self, event: Progress) -> float | None:
        """The share of the pictures that are left; steps of other stages than sampling are few."""
        if event.stage in ("download", "load"):
            return None
        share = {"decode": 1.0, "upscale": 1.0}.get(event.stage, 0.0)
        if event.stage == "sample" and event.steps:
            share = event.step / event.steps
        return (event.picture - 1 + share) / max(1, event.pictures)

    def _forward(self, of_rest: float | None) -> float | None:
        if of_rest is not None:
            before = self._done / max(1, self._pictures)
            fraction = before + (1 - before) * min(1.0, max(0.0, of_rest))
            self._fraction = max(self._fraction or 0.0, fraction)
        return self._fraction
