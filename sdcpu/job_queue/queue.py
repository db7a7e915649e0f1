"""The queue: jobs are taken, kept, drawn in their turn, and told of."""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sdcpu.errors import (
    CancelledError,
    JobConflictError,
    JobNotFoundError,
    QueueFullError,
    SdcpuError,
)
from sdcpu.events import Preview, Progress
from sdcpu.generator import ImageGenerator
from sdcpu.images import GeneratedImage, request_of
from sdcpu.job_queue.announcements import AnnouncementKind, Announcements
from sdcpu.job_queue.job import Job, JobKind, JobProgress, JobResult, JobState, error_of, to_json
from sdcpu.job_queue.limits import QueueLimits
from sdcpu.job_queue.makers import MakeGenerator, MakeUpscaler
from sdcpu.plan import EnginePlan
from sdcpu.report import plain
from sdcpu.settings import Settings
from sdcpu.upscaler import Upscaler


class JobQueue:
    """Takes requests, draws them one after the other, and tells what happens.

    A context manager: entering begins to draw, leaving stops. Any thread may call any method.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Settings,
        limits: QueueLimits | None = None,
        allow_downloads: bool = False,
        allowed_folders: tuple[Path, ...] = (),
        make_generator: MakeGenerator = ImageGenerator,
        make_upscaler: MakeUpscaler = Upscaler,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the folder that keeps jobs and pictures; it is made where it is not there.

        `allow_downloads`: whether a request may make this machine download a model.
        `allowed_folders`: where files may lie that requests name by their paths.
        """
        self.folder, self.settings, self.limits = folder, settings, limits or QueueLimits()
        self.allow_downloads, self.allowed_folders = allow_downloads, allowed_folders
        self.announcements = Announcements(first=int(clock() * 1000))
        self._make_generator, self._make_upscaler = make_generator, make_upscaler
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._jobs: dict[str, Job] = {}
        self._previews: dict[str, bytes] = {}
        self._generator: Any = None
        self._running: str | None = None
        self._cancelled: set[str] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._draw_all, name="sdcpu-drawing", daemon=True)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.interrupt()
        self._thread.join()
        self.announcements.close()

    def submit(
        self,
        request: Mapping[str, Any],
        *,
        model: str | None = None,
        kind: JobKind = JobKind.PICTURE,
        priority: int = 0,
        client: str = "",
        key: str | None = None,
    ) -> Job:
        """Take a job, checked as far as that is possible before it is drawn.

        A `key` that came before gives the job that it came with.

        Raises:
            InvalidRequestError: a value that cannot be right; RequestTooLargeError: more than the
                limits allow.
            UnknownModelError: there is no such model, or the request may not name it.
            ModelNotDownloadedError: its files are not here, and downloads are not allowed.
            QueueFullError: too many wait; it says when to come again.
            JobConflictError: the key came with another request before.
            QueueClosedError: the queue does not work.
            QueueFolderError: the job cannot be stored.
        """
        values = dict(request)
        request_of(values.pop("prompt", None), values)
        with self._changed:
            for job in self._jobs.values():
                if key is not None and job.key == key:
                    return job
            waiting = sum(job.state is JobState.QUEUED for job in self._jobs.values())
            if waiting >= self.limits.most_waiting:
                raise QueueFullError(
                    f"{waiting} jobs wait already.",
                    hint="Come again later.",
                    details={"retry_after_seconds": 10},
                )
            job = Job(
                id=secrets.token_urlsafe(9),
                kind=kind,
                model=model,
                request=dict(request),
                priority=priority,
                client=client,
                key=key,
                state=JobState.QUEUED,
                position=waiting,
                created=self._clock(),
                started=None,
                finished=None,
                attempts=0,
                plan=None,
                progress=None,
                results=(),
                error=None,
                notes=(),
                from_cache=False,
                retry_of=None,
            )
            return self._keep(job, "queued")

    def job(self, id: str) -> Job:  # noqa: A002
        """A job as it is now.

        Raises:
            JobNotFoundError: there is none of this id.
        """
        with self._changed:
            if id not in self._jobs:
                raise JobNotFoundError(f"There is no job {id[:40]!r}.")
            return self._jobs[id]

    def jobs(
        self,
        *,
        states: Collection[JobState] | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Job]:
        """Jobs in these states, newest first; `before` is the id of the last one seen.

        Raises:
            JobNotFoundError: there is no job `before`.
        """
        with self._changed:
            found = list(self._jobs.values())[::-1]
            if before is not None:
                found = found[found.index(self.job(before)) + 1 :]
            return [job for job in found if states is None or job.state in states][:limit]

    def cancel(self, id: str) -> Job:  # noqa: A002
        """Cancel a job; one that is being drawn ends soon after.

        Raises:
            JobNotFoundError: there is none of this id.
            JobConflictError: it has ended already.
        """
        with self._changed:
            job = self.job(id)
            if job.state.is_final:
                raise JobConflictError(f"The job is {job.state} already.")
            if job.state is JobState.QUEUED:
                return self._end(job, JobState.CANCELLED)
            self._cancelled.add(id)
            if self._generator is not None:
                self._generator.cancel()
            return job

    def interrupt(self) -> Job | None:
        """Cancel what is being drawn now; None where nothing is."""
        with self._changed:
            return None if self._running is None else self.cancel(self._running)

    def retry(self, id: str) -> Job:  # noqa: A002
        """Ask for a job that has ended again, as a new job.

        Raises:
            JobNotFoundError: there is none of this id.
            JobConflictError: it has not ended.
            SdcpuError: as `submit`.
        """
        job = self.job(id)
        if not job.state.is_final:
            raise JobConflictError(f"The job is {job.state}.")
        again = self.submit(
            job.request, model=job.model, kind=job.kind, priority=job.priority, client=job.client
        )
        with self._changed:
            self._jobs[again.id] = replace(self._jobs[again.id], retry_of=id)
            return self._jobs[again.id]

    def delete(self, id: str) -> None:  # noqa: A002
        """Forget a job and delete its pictures; one that waits is cancelled.

        Raises:
            JobNotFoundError: there is none of this id.
            JobConflictError: it is being drawn.
        """
        with self._changed:
            job = self.job(id)
            if job.state is JobState.RUNNING:
                raise JobConflictError("The job is running.", hint="Cancel it first.")
            del self._jobs[id]
            self.announcements.publish(id, "deleted", to_json(job))

    def prioritise(self, id: str, priority: int) -> Job:  # noqa: A002
        """Let a job that waits be drawn earlier or later.

        Raises:
            JobNotFoundError: there is none of this id.
            JobConflictError: it does not wait.
            InvalidRequestError: the priority is not from -10 to 10.
        """
        with self._changed:
            job = self.job(id)
            if job.state is not JobState.QUEUED:
                raise JobConflictError(f"The job is {job.state}.")
            return self._keep(replace(job, priority=priority), "moved")

    def wait(self, id: str, timeout: float | None = None) -> Job:  # noqa: A002
        """Wait until a job has ended, at most `timeout` seconds; the job as it is then.

        Raises:
            JobNotFoundError: there is none of this id.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.job(id).state.is_final, timeout)
            return self.job(id)

    def preview(self, id: str) -> bytes | None:  # noqa: A002
        """The unfinished picture as PNG, where the request asked for previews; None: none yet.

        Raises:
            JobNotFoundError: there is none of this id.
        """
        self.job(id)
        return self._previews.get(id)

    def result_path(self, id: str, index: int) -> Path:  # noqa: A002
        """The file of a result.

        Raises:
            JobNotFoundError: there is no such job, or it has no such result.
        """
        for result in self.job(id).results:
            if result.index == index:
                return self.folder / "jobs" / id / result.file
        raise JobNotFoundError(f"The job {id} has no result {index}.")

    def plan(
        self,
        request: Mapping[str, Any],
        model: str | None = None,
        kind: JobKind = JobKind.PICTURE,
    ) -> dict[str, Any]:
        """How a request would be drawn, as `sdcpu plan --json` says it, and "download_bytes".

        Raises:
            SdcpuError: as `submit`, except that files which are not here are no error.
        """
        values = dict(request)
        generator = self._make_generator(model, settings=self.settings)
        planned = generator.plan_video if kind is JobKind.VIDEO else generator.plan
        plan = planned(values.pop("prompt", ""), **values)
        written = plain(plan)
        assert isinstance(written, dict)  # noqa: S101
        return written | {"download_bytes": plan.download_size}

    def statistics(self) -> dict[str, Any]:
        """Figures for people who run a server: jobs by state, warm models, memory, seconds."""
        with self._changed:
            return {
                state.value: sum(job.state is state for job in self._jobs.values())
                for state in JobState
            }

    def _keep(self, job: Job, kind: AnnouncementKind) -> Job:
        with self._changed:
            self._jobs[job.id] = job
            self.announcements.publish(job.id, kind, to_json(job))
            self._changed.notify_all()
            return job

    def _end(self, job: Job, state: JobState, **changes: Any) -> Job:
        ended = replace(
            job, state=state, position=None, progress=None, finished=self._clock(), **changes
        )
        kinds: dict[JobState, AnnouncementKind] = {
            JobState.DONE: "done",
            JobState.FAILED: "failed",
            JobState.CANCELLED: "cancelled",
        }
        return self._keep(ended, kinds[state])

    def _draw_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._next() is not None)
                job = self._next()
                if self._closing or job is None:
                    break
                self._running = job.id
                job = replace(
                    job, state=JobState.RUNNING, position=None, started=self._clock(), attempts=1
                )
                self._keep(job, "started")
                if self._generator is None:
                    self._generator = self._make_generator(job.model, settings=self.settings)
            try:
                self._draw(job.id)
                self._end(self.job(job.id), JobState.DONE)
            except CancelledError:
                self._end(self.job(job.id), JobState.CANCELLED)
            except SdcpuError as error:
                self._end(self.job(job.id), JobState.FAILED, error=error_of(error))
            self._running = None
            self._previews.clear()
        if self._generator is not None:
            self._generator.close()

    def _next(self) -> Job | None:
        waiting = [job for job in self._jobs.values() if job.state is JobState.QUEUED]
        return max(waiting, key=lambda job: job.priority, default=None)

    def _draw(self, id: str) -> None:  # noqa: A002
        values = dict(self.job(id).request)
        with closing(self._generator.stream(values.pop("prompt"), **values)) as events:
            for event in events:
                if id in self._cancelled:
                    raise CancelledError("Cancelled.")
                self._note(id, event)

    def _note(self, id: str, event: object) -> None:  # noqa: A002
        job = self.job(id)
        if isinstance(event, EnginePlan):
            self._keep(replace(job, plan=plain(event)), "plan")  # type: ignore[arg-type]
        elif isinstance(event, Progress):
            progress = JobProgress(
                stage=event.stage,
                done=event.step,
                total=event.steps,
                picture=event.picture - 1,
                seconds_left=event.seconds_left,
            )
            self._keep(replace(job, progress=progress), "progress")
        elif isinstance(event, Preview):
            written = io.BytesIO()
            event.image.save(written, "PNG")
            self._previews[id] = written.getvalue()
            self._keep(job, "preview")
        elif isinstance(event, GeneratedImage):
            path = self.folder / "jobs" / id / f"{event.index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            event.save(path)
            result = JobResult(
                index=event.index,
                file=path.name,
                media_type="image/png",
                width=event.width,
                height=event.height,
                seed=event.seed,
                seconds=event.seconds,
                recipe=event.recipe,
            )
            self._keep(replace(job, results=(*job.results, result)), "result")
