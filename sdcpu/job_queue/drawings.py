"""A job while it is being drawn: what is only in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdcpu.job_queue.job import Job, JobProgress

if TYPE_CHECKING:
    from PIL.Image import Image

_GUESSED_SECONDS = 10.0
"""Until a job ends, where nothing was measured."""
_LONGEST_RETRY = 3600


@dataclass(slots=True)
class Drawing:
    """A job that is being drawn."""

    job: Job
    """As it was when something of it was stored last, without its progress."""
    group: str
    """What has to be loaded for it."""
    seed: int
    """Of its first picture."""
    cancelled: bool = False
    """It was asked to end; what is finished of it is kept."""
    stop: Callable[[], None] | None = None
    """Ends what is being done for it, from any thread."""
    progress: JobProgress | None = None
    preview: Image | None = None
    """The latest; earlier ones are gone."""
    announced: float = -1.0
    """When its progress was told last, on the monotonic clock."""
    began: float = field(default_factory=time.monotonic)

    def seconds_left(self, usual: float) -> float:
        """Seconds until it ends, as far as anybody knows; `usual` is what others took."""
        told = self.progress.seconds_left if self.progress else None
        if told is not None:
            return told
        expected = (self.job.plan or {}).get("seconds_expected") or usual
        return float(expected) - (time.monotonic() - self.began)


def seconds_to_room(drawings: Collection[Drawing], recent: Sequence[float]) -> int:
    """Seconds until a job ends and another begins, so that one more may wait; at least 1.

    `recent` are the seconds that the last jobs took.

    >>> seconds_to_room([], [4.0, 8.0])
    6
    """
    usual = sum(recent) / len(recent) if recent else _GUESSED_SECONDS
    soonest = min((drawing.seconds_left(usual) for drawing in drawings), default=usual)
    return max(1, min(_LONGEST_RETRY, round(soonest)))
