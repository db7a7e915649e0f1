"""The queue: jobs are taken, kept, drawn in their turn, and told of."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from sdcpu.errors import (
    InvalidRequestError,
    JobConflictError,
    JobNotFoundError,
)
from sdcpu.generator import ImageGenerator
from sdcpu.hardware import process_memory
from sdcpu.job_queue.announcements import Announcements
from sdcpu.job_queue.discretion import Discretion
from sdcpu.job_queue.drawing import DrawingThread
from sdcpu.job_queue.folder import QueueFolder
from sdcpu.job_queue.intake import UPSCALER_GROUP, Intake
from sdcpu.job_queue.job import Job, JobKind, JobState
from sdcpu.job_queue.ledger import Ledger
from sdcpu.job_queue.limits import QueueLimits
from sdcpu.job_queue.makers import MakeGenerator, MakeUpscaler
from sdcpu.job_queue.pictures import Place, find_picture
from sdcpu.job_queue.planner import Planner
from sdcpu.job_queue.submission import Submission, Submissions, check_priority
from sdcpu.job_queue.warm_models import Maker, WarmModels
from sdcpu.settings import Settings, overridden
from sdcpu.upscaler import Upscaler

_SECONDS_TO_STOP = 10.0
"""Until what does not end when it is asked to is ended by force."""


class JobQueue:
    """Takes requests, draws them in their turn, and keeps them over a restart.

    A context manager: entering begins to draw, leaving stops; what is being drawn then goes back
    into the queue, and what is finished of it is kept. Any thread may call any method.

    >>> import tempfile
    >>> from sdcpu import load_settings
    >>> with JobQueue(Path(tempfile.mkdtemp()), settings=load_settings()) as queue:
    ...     job = queue.submit({"prompt": "a red circle on white", "steps": 1}, model="demo")
    ...     done = queue.wait(job.id)
    ...     queue.result_path(done.id, 0).name
    '0.png'
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Settings,
        limits: QueueLimits | None = None,
        allow_downloads: bool = False,
        allowed_folders: Sequence[Path] = (),
        make_generator: MakeGenerator = ImageGenerator,
        make_upscaler: MakeUpscaler = Upscaler,
        devices: Sequence[int] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the folder that keeps jobs and pictures; it is made where it is not there.

        `allow_downloads`: whether a request may make this machine download a model.
        `allowed_folders`: where files may lie that requests name by their whole paths.
        `devices`: cards that draw side by side, by their numbers; none: the one of the settings.
        """
        self.limits = limits or QueueLimits()
        self.settings = settings if allow_downloads else overridden(settings, offline=True)
        self.allow_downloads = allow_downloads
        self.announcements = Announcements(first=int(clock() * 1000))
        self._folder = QueueFolder(folder)
        self.discretion = Discretion((folder, settings.cache_folder))
        self._make_generator, self._make_upscaler = make_generator, make_upscaler
        self._ledger = Ledger(self._folder, self.limits, self.announcements, clock)
        self._planner = Planner(
            self.settings, make_generator, make_upscaler, memory_returned=self._engines_memory
        )
        self._intake = Intake(
            self._folder,
            self._planner,
            self.settings,
            self.limits,
            allow_downloads=allow_downloads,
            allowed_folders=tuple(allowed_folders),
        )
        self._submissions = Submissions(
            self._ledger, self._folder, self._intake, self.discretion, clock
        )
        self._threads = [self._thread(device) for device in devices or (self.settings.device,)]
        self._held = ExitStack()

    @property
    def folder(self) -> Path:
        """Where jobs, pictures and uploads are kept."""
        return self._folder.path

    def __enter__(self) -> Self:
        """Hold the folder, take up what is in it, and begin to draw.

        Raises:
            QueueFolderError: another process holds the folder, or it cannot be used.
        """
        with ExitStack() as stack:
            stack.enter_context(self._folder)
            stack.callback(self._ledger.close)
            self._ledger.open(self._loaded)
            self._held = stack.pop_all()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for drawing in self._ledger.begin_closing():
            if drawing.stop is not None:
                drawing.stop()
        for thread in self._threads:
            if not thread.join(_SECONDS_TO_STOP):
                thread.warm.close_all()  # ends the engine by force, which ends the drawing
                thread.join(_SECONDS_TO_STOP)
        self.announcements.close()
        self._held.close()

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

        A `key` that came before, with the same request, gives the job that it came with. Where an
        identical job with a given seed is done, this one is done at once, with copies of its files.

        Raises:
            InvalidRequestError: a value that cannot be right; RequestTooLargeError: more than the
                limits allow.
            UnknownModelError: there is no such model, or the request may not name it.
            ModelNotDownloadedError: its files are not here, and downloads are not allowed.
            NotEnoughMemoryError: it would not fit, whatever else were closed.
            QueueFullError: too many wait; it says when to come again.
            JobConflictError: the key came with another request before.
            QueueClosedError: the queue does not work.
            QueueFolderError: the job cannot be stored.
        """
        submission = Submission(
            request=request,
            path_of=self._picture,
            model=model,
            kind=JobKind(kind),
            priority=priority,
            client=client,
            key=key,
        )
        return self._submissions.take(submission)

    def job(self, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            JobNotFoundError: there is none of this id.
        """
        return self._ledger.job(job_id)

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
        return self._ledger.jobs(states, limit, before)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: one that waits has ended then, one that is being drawn ends soon after.

        Raises:
            JobNotFoundError: there is none of this id.
            JobConflictError: it has ended already.
        """
        return self._ledger.cancel(job_id)

    def interrupt(self) -> list[Job]:
        """Cancel what is being drawn now; the jobs that are meant."""
        interrupted = []
        for drawing in list(self._ledger.drawings.values()):
            try:
                interrupted.append(self._ledger.cancel(drawing.job.id))
            except (JobConflictError, JobNotFoundError):  # it has ended meanwhile
                continue
        return interrupted

    def retry(self, job_id: str) -> Job:
        """Ask for a job that has ended again, as a new job with the same pictures.

        Raises:
            JobNotFoundError: there is none of this id.
            JobConflictError: it has not ended.
            SdcpuError: as `submit`.
        """
        job = self.job(job_id)
        if not job.state.is_final:
            raise JobConflictError(
                f"The job is {job.state}.", hint="What has not ended cannot be asked for again."
            )
        submission = Submission(
            request=job.request,
            path_of=lambda place, _: self._folder.input(job_id, place),
            model=job.model,
            kind=job.kind,
            priority=job.priority,
            client=job.client,
            key=None,
            retry_of=job_id,
        )
        return self._submissions.take(submission)

    def delete(self, job_id: str) -> None:
        """Forget a job and delete its pictures; one that waits is cancelled first.

        Raises:
            JobNotFoundError: there is none of this id.
            JobConflictError: it is being drawn.
        """
        self._ledger.delete(job_id)

    def prioritise(self, job_id: str, priority: int) -> Job:
        """Let a job that waits be drawn earlier or later.

        Raises:
            JobNotFoundError: there is none of this id.
            JobConflictError: it does not wait.
            InvalidRequestError: the priority is not from -10 to 10.
        """
        check_priority(priority)
        return self._ledger.prioritise(job_id, priority)

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait until a job has ended, at most `timeout` seconds; the job as it is then.

        Raises:
            JobNotFoundError: there is none of this id, or it was deleted meanwhile.
            QueueClosedError: the queue was stopped meanwhile.
        """
        return self._ledger.wait(job_id, timeout)

    def preview(self, job_id: str) -> bytes | None:
        """The unfinished picture as PNG, where the request asked for previews; None: there is none.

        Raises:
            JobNotFoundError: there is none of this id.
        """
        image = self._ledger.preview(job_id)
        if image is None:
            return None
        written = io.BytesIO()
        image.save(written, "PNG", compress_level=1)
        return written.getvalue()

    def result_path(self, job_id: str, index: int) -> Path:
        """The file of a result.

        Raises:
            JobNotFoundError: there is no such job, or it has no such result.
        """
        for result in self.job(job_id).results:
            if result.index == index:
                return self._folder.job(job_id) / result.file
        raise JobNotFoundError(f"The job {job_id} has no result {index}.")

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
        checked = self._intake.checked(
            JobKind(kind), model, request, self._picture, must_be_here=False
        )
        if checked.plan is None or checked.plan_json is None:
            raise InvalidRequestError(
                f"Nobody knows what {model} is until its file is here.",
                hint="Download it first: sdcpu pull",
            )
        told = self.discretion.plan(checked.plan_json)
        return told | {"download_bytes": checked.plan.download_size}

    def statistics(self) -> dict[str, Any]:
        """Figures for people who run a server: jobs by state, what is loaded, memory, seconds."""
        warm = [each for thread in self._threads for each in thread.warm.report()]
        return {
            "jobs": {state.value: count for state, count in self._ledger.counts().items()},
            "running": list(self._ledger.drawings),
            "warm_models": warm,
            "memory": {
                "server": process_memory(os.getpid()),
                "engines": sum(each["memory"] for each in warm),
            },
            "recent_seconds": self._ledger.recent_seconds(),
            "problems": [self.discretion.sentence(each) for each in self._ledger.troubled()],
        }

    def _picture(self, _: Place, reference: str) -> Path:
        return find_picture(
            reference,
            folder=self._folder,
            names=self._intake.names(),
            result_path=self.result_path,
        )

    def _thread(self, device: int) -> DrawingThread:
        settings = overridden(self.settings, device=device)
        return DrawingThread(
            f"sdcpu-drawing-{device}",
            ledger=self._ledger,
            folder=self._folder,
            intake=self._intake,
            planner=self._planner,
            discretion=self.discretion,
            warm=WarmModels(
                keep_alive_seconds=self.limits.keep_alive_seconds,
                memory_limit=settings.memory_limit,
            ),
            make=lambda group: self._made(group, settings),
        )

    def _made(self, group: str, settings: Settings) -> Maker:
        if group.startswith(UPSCALER_GROUP):
            upscaler = group.removeprefix(UPSCALER_GROUP) or None
            return self._make_upscaler(upscaler, settings=settings)
        return self._make_generator(group or None, settings=settings)

    def _loaded(self) -> set[str]:
        return {group for thread in self._threads for group in thread.warm.groups()}

    def _engines_memory(self) -> int:
        return sum(thread.warm.memory() for thread in self._threads)
