"""What a queue finds when it starts: a database that may be damaged, jobs that were interrupted."""

from __future__ import annotations

import time

from sdcpu.job_queue.database import DamagedDatabaseError
from sdcpu.job_queue.folder import QueueFolder
from sdcpu.job_queue.job import Job, JobError, JobKind, JobState
from sdcpu.job_queue.store import JobStore

MOST_ATTEMPTS = 3
"""How often a job is begun before it counts as the one that ends the engine, or the server."""


def opened_store(folder: QueueFolder, now: float) -> tuple[JobStore, str]:
    """The store of a folder; where it is damaged, a new one, and a sentence that says so."""
    try:
        return JobStore(folder.database), ""
    except DamagedDatabaseError as error:
        aside = folder.set_database_aside(time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)))
        problem = f"{error.message} It was moved to {aside} with its pictures, and a new one begun."
        return JobStore(folder.database), problem


def resolve_running(store: JobStore, folder: QueueFolder, now: float) -> None:
    """Settle every job that was being drawn when the program ended.

    Pictures whose files are whole count as drawn. A job that has all of them is done; one that was
    begun too often failed; others wait again for the rest.
    """
    for job in store.jobs([JobState.RUNNING]):
        for result in store.unsure_results(job.id):
            if (folder.job(job.id) / result.file).is_file():
                store.keep_result(job.id, result.index)
            else:
                store.drop_result(job.id, result.index)
        folder.remove_unfinished(job.id)
        found = store.find(job.id) or job
        if len(found.results) >= wanted_results(job):
            store.finish(job.id, JobState.DONE, now=now)
        elif job.attempts >= MOST_ATTEMPTS:
            store.finish(job.id, JobState.FAILED, now=now, error=too_often(job.attempts))
        else:
            note = "The server ended while this was drawn; what was finished is kept."
            store.put_back(job.id, note=note, counted=True)


def wanted_results(job: Job) -> int:
    """How many results a job is to have."""
    return int(job.request.get("count") or 1) if job.kind is JobKind.PICTURE else 1


def too_often(attempts: int) -> JobError:
    """Why a job is not begun again."""
    return JobError(
        code="engine_crashed",
        message=f"The server ended {attempts} times while this was drawn.",
        hint="Ask for a smaller picture or another model; `sdcpu doctor` looks at the machine.",
    )
