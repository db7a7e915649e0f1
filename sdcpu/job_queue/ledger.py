"""What is known of every job: on the disk, in memory while it is drawn, and told to listeners.

Everything that happens to a job happens under the ledger's lock: first on the disk, then told.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from sdcpu.errors import (
    JobConflictError,
    JobNotFoundError,
    QueueClosedError,
    QueueFolderError,
    QueueFullError,
)
from sdcpu.job_queue.announcements import AnnouncementKind, Announcements
from sdcpu.job_queue.drawings import Drawing, seconds_to_room
from sdcpu.job_queue.folder import QueueFolder
from sdcpu.job_queue.job import Job, JobState, to_json
from sdcpu.job_queue.limits import QueueLimits
from sdcpu.job_queue.recovery import opened_store, resolve_running
from sdcpu.job_queue.schedule import drawing_order
from sdcpu.job_queue.store import JobStore

if TYPE_CHECKING:
    from PIL.Image import Image


logger = logging.getLogger("sdcpu.job_queue")


class Ledger:
    """The jobs of a queue. Any thread may use it; who changes several things holds `changed`."""

    def __init__(
        self,
        folder: QueueFolder,
        limits: QueueLimits,
        announcements: Announcements,
        clock: Callable[[], float],
    ) -> None:
        self.limits = limits
        self._problems: list[str] = []
        self._troubles: dict[str, str] = {}
        self.folder, self.announcements, self.clock = folder, announcements, clock
        self.changed = threading.Condition(threading.RLock())
        """Notified when a job is taken, ends or is deleted, and when the queue closes."""
        self.drawings: dict[str, Drawing] = {}
        """What is being drawn, by the jobs' ids."""
        self.positions: dict[str, int] = {}
        """Of the jobs that wait, by their ids."""
        self.loaded: Callable[[], Collection[str]] = lambda: ()
        """The groups that are loaded."""
        self._store: JobStore | None = None
        self._closing = False

    def open(self, loaded: Callable[[], Collection[str]]) -> None:
        """Read what is on the disk, and settle what a program that died left behind.

        Raises:
            QueueFolderError: the database cannot be used.
        """
        with self.changed:
            self.loaded = loaded
            store, problem = opened_store(self.folder, self.clock())
            self._store = store
            self.note_problem(problem)
            resolve_running(store, self.folder, self.clock())
            self.folder.remove_other_jobs(store.ids())
            self.reorder()

    @property
    def closing(self) -> bool:
        """Whether no further job may begin, and the ones that are drawn are to go back."""
        return self._closing

    def begin_closing(self) -> list[Drawing]:
        """Let no further job begin; what is being drawn has to be stopped."""
        with self.changed:
            self._closing = True
            self.changed.notify_all()
            return list(self.drawings.values())

    def close(self) -> None:
        """Close the database; later calls raise QueueClosedError."""
        with self.changed:
            self._closing = True
            if self._store is not None:
                self._store.close()
                self._store = None
            self.changed.notify_all()

    def job(self, job_id: str) -> Job:
        """A job as it is now; JobNotFoundError where there is none."""
        with self.changed:
            drawing = self.drawings.get(job_id)
            found = drawing.job if drawing else self.store.find(job_id)
            if found is None:
                raise JobNotFoundError(
                    f"There is no job {job_id[:40]!r}.", hint="It may have been deleted."
                )
            return self._whole(found)

    def find_key(self, key: str) -> Job | None:
        """The job that came with a key."""
        with self.changed:
            found = self.store.find_key(key)
            return None if found is None else self.job(found.id)

    def jobs(
        self, states: Collection[JobState] | None, limit: int, before: str | None
    ) -> list[Job]:
        """Jobs in these states, newest first."""
        with self.changed:
            if before is not None:
                self.job(before)
            return [self._whole(job) for job in self.store.jobs(states, limit=limit, before=before)]

    def counts(self) -> dict[JobState, int]:
        """How many jobs there are in each state."""
        with self.changed:
            return self.store.counts()

    def recent_seconds(self, number: int = 20) -> list[float]:
        """Seconds that the last jobs took, latest first."""
        with self.changed:
            return self.store.recent_seconds(number)

    def check_room(self) -> None:
        """Make sure that another job may wait.

        Raises:
            QueueFullError: too many do; it says when there will be room.
            QueueClosedError: nothing is taken any more.
        """
        with self.changed:
            self._check_open()
            waiting = len(self.positions)
            if waiting >= self.limits.most_waiting:
                seconds = seconds_to_room(self.drawings.values(), self.store.recent_seconds(20))
                raise QueueFullError(
                    f"{waiting} jobs wait already.",
                    hint=f"Come again in {seconds} s.",
                    details={"retry_after_seconds": seconds},
                )

    def add(self, job: Job, *, group: str, seed: int) -> Job:
        """Take a job that waits, or one that is done from the beginning.

        Raises:
            QueueFullError: as `check_room`.
            JobConflictError: its key is another job's.
        """
        with self.changed:
            self._check_open()
            if job.state is JobState.QUEUED:
                self.check_room()
            self.store.add(job, group=group, seed=seed, results=job.results)
            self.reorder()
            if job.state is JobState.QUEUED:
                self.announce(job.id, "queued")
            else:
                queued = replace(job, state=JobState.QUEUED, results=(), finished=None)
                self.announcements.publish(job.id, "queued", to_json(queued))
                self.announce(job.id, "result")
                self.announce(job.id, "done")
                self.prune()
            self.changed.notify_all()
            return self.job(job.id)

    def cancel(self, job_id: str) -> Job:
        """End a job: at once where it waits, soon where it is being drawn.

        Raises:
            JobConflictError: it has ended.
        """
        with self.changed:
            job = self.job(job_id)
            if job.state.is_final:
                raise JobConflictError(
                    f"The job is {job.state} already.",
                    hint="Only what is not done can be cancelled.",
                )
            drawing = self.drawings.get(job_id)
            if drawing is None:
                self.store.finish(job_id, JobState.CANCELLED, now=self.clock())
                self.reorder()
                self.announce(job_id, "cancelled")
                ended = self.job(job_id)
                self.prune()
                self.changed.notify_all()
                return ended
            drawing.cancelled = True
            stop = drawing.stop
        if stop is not None:  # it may take its time: nobody else has to wait for it
            stop()
        return job

    def prioritise(self, job_id: str, priority: int) -> Job:
        """Let a job that waits be drawn earlier or later; JobConflictError where it does not."""
        with self.changed:
            job = self.job(job_id)
            if job.state is not JobState.QUEUED:
                raise JobConflictError(
                    f"The job is {job.state}; only one that waits has a priority to change."
                )
            self.store.set_priority(job_id, priority)
            self.reorder(told=job_id)
            self.announce(job_id, "moved")
            return self.job(job_id)

    def delete(self, job_id: str) -> None:
        """Forget a job; one that waits is cancelled. JobConflictError where it is being drawn."""
        with self.changed:
            job = self.job(job_id)
            if job.state is JobState.RUNNING:
                raise JobConflictError("The job is being drawn.", hint="Cancel it first.")
            if job.state is JobState.QUEUED:
                job = self.cancel(job_id)
            self._delete(job)
            self.changed.notify_all()

    def wait(self, job_id: str, timeout: float | None) -> Job:
        """Wait until a job has ended, or the queue closes; the job as it is then."""
        with self.changed:
            self.changed.wait_for(
                lambda: self._store is None or self.job(job_id).state.is_final, timeout
            )
            return self.job(job_id)

    def preview(self, job_id: str) -> Image | None:
        """The latest unfinished picture of a job; JobNotFoundError where there is no such job."""
        with self.changed:
            self.job(job_id)
            drawing = self.drawings.get(job_id)
            return drawing.preview if drawing else None

    def cached(self, key: str) -> Job | None:
        """A job that is done, whose results answer requests of this key and are all there."""
        with self.changed:
            if not self.limits.cached_results:
                return None
            found = self.store.cached(key, now=self.clock())
            job = None if found is None else self.store.find(found)
            if job is None or job.state is not JobState.DONE or not job.results:
                return None
            folder = self.folder.job(job.id)
            there = all((folder / result.file).is_file() for result in job.results)
            return job if there else None

    @property
    def store(self) -> JobStore:
        """The jobs on the disk; QueueClosedError while there is none."""
        if self._store is None:
            raise QueueClosedError("The queue is closed.", hint="Start it again.")
        return self._store

    def note_problem(self, problem: str) -> None:
        """Keep a sentence about what went wrong with the folder, for who looks after the queue."""
        with self.changed:
            if problem:
                self._problems.append(problem)
                logger.warning(problem)

    def note_trouble(self, who: str, trouble: str) -> None:
        """Keep why one who draws cannot go on now; "": he can. Logged when it begins and ends."""
        with self.changed:
            before = self._troubles.pop(who, "")
            if trouble:
                self._troubles[who] = trouble
            if trouble and not before:
                logger.warning("%s Nothing is drawn until then.", trouble)
            elif before and not trouble:
                logger.warning("The queue goes on.")

    def troubled(self) -> list[str]:
        """What went wrong with the folder, and what is wrong now, one sentence each."""
        with self.changed:
            return list(dict.fromkeys([*self._problems, *self._troubles.values()]))

    def announce(self, job_id: str, kind: AnnouncementKind) -> None:
        """Tell what happened to a job, as it is now."""
        self.announcements.publish(job_id, kind, to_json(self.job(job_id)))

    def reorder(self, told: str | None = None) -> None:
        """Find the positions anew; tell who moved, but for one that is told anyway."""
        with contextlib.suppress(QueueFolderError):  # then they are old until the next change
            self._reorder(told)

    def prune(self) -> None:
        """Delete the oldest of the jobs that have ended, beyond the number that is kept."""
        for job in self.store.finished_beyond(self.limits.most_kept_jobs):
            self._delete(job)

    def _delete(self, job: Job) -> None:
        self.store.delete(job.id)
        self.folder.remove_job(job.id)
        self.announcements.publish(job.id, "deleted", to_json(job))

    def _reorder(self, told: str | None) -> None:
        order = drawing_order(self.store.waiting(), self.loaded())
        before, self.positions = self.positions, {job: place for place, job in enumerate(order)}
        for job_id, position in self.positions.items():
            if job_id != told and before.get(job_id, position) != position:
                self.announce(job_id, "moved")

    def _check_open(self) -> None:
        if self._closing or self._store is None:
            raise QueueClosedError("The queue takes no jobs: it is being stopped.")

    def _whole(self, job: Job) -> Job:
        """The job with what is only in memory."""
        drawing = self.drawings.get(job.id)
        return replace(
            job,
            position=self.positions.get(job.id),
            progress=drawing.progress if drawing else None,
        )
