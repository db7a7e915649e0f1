"""What waits in a queue, is drawn, and was drawn: plain frozen values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sdcpu.errors import SdcpuError
from sdcpu.events import Stage


class JobKind(StrEnum):
    """What is made."""

    PICTURE = "picture"
    UPSCALE = "upscale"
    VIDEO = "video"


class JobState(StrEnum):
    """Where a job stands. The last three are final: a job enters exactly one of them, once."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
LOWEST_PRIORITY, HIGHEST_PRIORITY = -10, 10


@dataclass(frozen=True, kw_only=True, slots=True)
class JobProgress:
    """How far a running job is."""

    stage: Stage
    done: int = 0
    """Steps of this stage that are finished; bytes of a download."""
    total: int = 0
    """All of them; 0 where the stage has none, or nobody knows."""
    picture: int = 0
    """Which picture of the job is being made, counted from 0."""
    seconds_left: float | None = None
    """To the end of the whole job; None while unknown."""
    fraction: float | None = None
    """Of the whole job, 0 to 1; it never goes back. None while unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """A picture or a video of a job, whole on the disk."""

    index: int
    """Counted from 0."""
    file: str
    """Its name in the job's folder; `JobQueue.result_path` says the whole path."""
    media_type: str
    """Such as "image/png"."""
    width: int
    """Pixels."""
    height: int
    seed: int | None
    """None for an enlarged picture."""
    seconds: float
    """From the beginning of the drawing to this result."""
    recipe: Mapping[str, Any]
    """How it was made, as it stands in the file; see `sdcpu.recipe`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobError:
    """Why a job failed."""

    code: str
    """The code of one of `sdcpu.errors`."""
    message: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A request in a queue, and what became of it up to now."""

    id: str
    """Short, safe in an address, and not to be guessed."""
    kind: JobKind
    model: str | None
    """As asked for; None: the usual one."""
    request: Mapping[str, Any]
    """As asked for: values that JSON can carry, by the names of `ImageRequest`, `VideoRequest`; for
    UPSCALE "image", "factor" (2 or 4) and "upscaler"."""
    priority: int
    """-10 to 10; higher is drawn earlier."""
    client: str
    """Where it came from, such as "page"."""
    key: str | None
    """Sent along by the client; the same key again means the same job."""
    state: JobState
    position: int | None
    """Jobs that are to be drawn before it, as things stand; None when it does not wait."""
    created: float
    """Seconds since 1970."""
    started: float | None
    finished: float | None
    attempts: int
    """How often it was begun."""
    plan: Mapping[str, Any] | None
    """How it is to be made, as `sdcpu plan --json` says it; None while unknown."""
    progress: JobProgress | None
    """None when it is not being drawn."""
    results: tuple[JobResult, ...]
    """What is finished of it, in order."""
    error: JobError | None
    """Why it failed."""
    notes: tuple[str, ...]
    """What a person should hear, one sentence each."""
    from_cache: bool
    """Whether the same had been drawn before, so that nothing was drawn."""
    retry_of: str | None
    """The job that was asked for again."""


def error_of(error: SdcpuError) -> JobError:
    """What a job tells of an error of ours."""
    return JobError(code=error.code, message=error.message, hint=error.hint)


def to_json(job: Job) -> dict[str, Any]:
    """The job as plain values that JSON can carry; what it holds is shared, not copied.

    >>> from sdcpu.job_queue.job import JobProgress
    >>> value_to_json(JobProgress(stage="sample", done=1, total=4))["stage"]
    'sample'
    """
    written = value_to_json(job)
    written |= {"kind": job.kind.value, "state": job.state.value, "notes": list(job.notes)}
    written["progress"] = None if job.progress is None else value_to_json(job.progress)
    written["results"] = [value_to_json(result) for result in job.results]
    written["error"] = None if job.error is None else value_to_json(job.error)
    return written


def value_to_json(value: Job | JobProgress | JobResult | JobError) -> dict[str, Any]:
    """The fields of one value, those inside it as they are."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
