"""Where drawing threads take jobs from, and say what becomes of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcpu.errors import QueueFolderError
from sdcpu.job_queue.announcements import AnnouncementKind
from sdcpu.job_queue.drawings import Drawing
from sdcpu.job_queue.job import JobError, JobProgress, JobResult, JobState
from sdcpu.job_queue.ledger import Ledger
from sdcpu.job_queue.schedule import next_job, overtaken_by

if TYPE_CHECKING:
    from PIL.Image import Image

_SECONDS_BETWEEN = 0.25
"""Between two announcements of progress in one stage of a job."""
_ENDS: dict[JobState, AnnouncementKind] = {
    JobState.DONE: "done",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


class Desk:
    """The drawing threads' side of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def take(self, timeout: float | None) -> Drawing | None:
        """Begin the job that is next; None where none came for so long, or the queue closes."""
        ledger = self._ledger
        with ledger.changed:
            ledger.changed.wait_for(lambda: ledger.closing or ledger.positions, timeout)
            if ledger.closing:
                return None
            waiting = ledger.store.waiting()
            chosen = next_job(waiting, ledger.loaded())
            if chosen is None:
                ledger.reorder()
                return None
            job = ledger.job(chosen.id)
            seed, group = ledger.store.seed_and_group(chosen.id)
            passed = [other.id for other in overtaken_by(chosen, waiting)]
            now = ledger.clock()
            ledger.store.begin(chosen.id, now=now, overtaken=passed)
            # Nothing may fail between this and the return: the job would be nobody's.
            begun = replace(
                job,
                state=JobState.RUNNING,
                position=None,
                started=now,
                attempts=job.attempts + 1,
            )
            drawing = Drawing(job=begun, group=group, seed=seed)
            ledger.drawings[chosen.id] = drawing
            ledger.positions.pop(chosen.id, None)
            ledger.announce(chosen.id, "started")
            ledger.reorder()
            return drawing

    def note_plan(self, drawing: Drawing, plan: dict[str, Any]) -> None:
        """Keep how a job is drawn, and tell it."""
        with self._ledger.changed:
            self._ledger.store.note_plan(drawing.job.id, plan)
            self._refresh(drawing)
            self._ledger.announce(drawing.job.id, "plan")

    def note(self, drawing: Drawing, sentence: str) -> None:
        """Keep what a person should hear."""
        with self._ledger.changed:
            self._ledger.store.add_note(drawing.job.id, sentence)
            self._refresh(drawing)

    def note_progress(self, drawing: Drawing, progress: JobProgress) -> None:
        """Tell how far a job is, several times a second at most."""
        with self._ledger.changed:
            before, drawing.progress = drawing.progress, progress
            now = time.monotonic()
            same = before is not None and (before.stage, before.picture) == (
                progress.stage,
                progress.picture,
            )
            if not same or now - drawing.announced >= _SECONDS_BETWEEN:
                drawing.announced = now
                self._ledger.announce(drawing.job.id, "progress")

    def note_preview(self, drawing: Drawing, image: Image) -> None:
        """Have the unfinished picture at hand; only the latest is."""
        with self._ledger.changed:
            drawing.preview = image
            self._ledger.announce(drawing.job.id, "preview")

    def keep_result(
        self, drawing: Drawing, result: JobResult, write: Callable[[Path], object]
    ) -> None:
        """Have a result written by `write`, and keep it when it is whole on the disk.

        Raises:
            QueueFolderError: it cannot be written.
        """
        job_id = drawing.job.id
        path = self._ledger.folder.job(job_id) / result.file
        with self._ledger.changed:
            self._ledger.store.announce_result(job_id, result)
        try:
            write(path)
        except BaseException:
            with self._ledger.changed:
                self._ledger.store.drop_result(job_id, result.index)
            raise
        with self._ledger.changed:
            self._ledger.store.keep_result(job_id, result.index)
            self._refresh(drawing)
            drawing.preview = None
            self._ledger.announce(job_id, "result")

    def finish(
        self,
        drawing: Drawing,
        state: JobState,
        *,
        error: JobError | None = None,
        key: str | None = None,
        from_cache: bool = False,
    ) -> None:
        """End a job that is being drawn; with a `key` its results answer identical requests."""
        job_id, ledger = drawing.job.id, self._ledger
        with ledger.changed:
            now = ledger.clock()
            if from_cache:
                ledger.store.note_cached(job_id)
            ledger.store.finish(job_id, state, now=now, error=error)
            ledger.drawings.pop(job_id, None)
            ledger.announce(job_id, _ENDS[state])
            ledger.changed.notify_all()
            with contextlib.suppress(QueueFolderError):  # the job has ended, whatever comes now
                if key is not None and ledger.limits.cached_results:
                    ledger.store.remember(key, job_id, now=now, most=ledger.limits.cached_results)
                ledger.prune()

    def put_back(self, drawing: Drawing, *, note: str = "", counted: bool) -> None:
        """Let a job that is being drawn wait again; `counted`: whether the attempt was one."""
        job_id, ledger = drawing.job.id, self._ledger
        with ledger.changed:
            ledger.store.put_back(job_id, note=note, counted=counted)
            ledger.drawings.pop(job_id, None)
            ledger.reorder(told=job_id)
            ledger.announce(job_id, "queued")
            ledger.changed.notify_all()

    def _refresh(self, drawing: Drawing) -> None:
        """Read the job again; one that has gone stays as it was."""
        drawing.job = self._ledger.store.find(drawing.job.id) or drawing.job
