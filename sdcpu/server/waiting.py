"""Waiting for a job whose client wants its pictures in the same answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import anyio
import anyio.to_thread
from starlette.requests import Request

from sdcpu.errors import JobNotFoundError, SdcpuError, error_from_code
from sdcpu.job_queue import Announcement, Job, JobQueue, JobState
from sdcpu.server.answers import Problem, problem_of
from sdcpu.server.streams import Streams

NO_RETRY = {"X-Should-Retry": "false"}
"""What OpenAI's clients heed: the same request would end in the same way."""


async def finished_job(
    request: Request, queue: JobQueue, streams: Streams, job: Job, seconds: float
) -> Job:
    """Wait for a job; when the client goes away, or after `seconds`, it is cancelled.

    Raises:
        Problem: it failed or was cancelled.
    """
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_without_client, request, tasks.cancel_scope)
            tasks.cancel_scope.deadline = anyio.current_time() + seconds
            async with aclosing(followed(queue, streams, job)) as announcements:
                async for _ in announcements:
                    pass
            tasks.cancel_scope.cancel()
    finally:
        await cancel_unfinished(queue, job)
    ended = await anyio.to_thread.run_sync(queue.job, job.id)
    check_done(ended)
    return ended


async def followed(
    queue: JobQueue, streams: Streams, job: Job
) -> AsyncGenerator[Announcement | None, None]:
    """What happens to a job until it has ended; None is a sign of life."""
    async with aclosing(streams.follow(job.id, None)) as announcements:
        async for announcement in announcements:
            yield announcement
            if announcement is None:  # it may have ended before anybody listened
                try:
                    state = (await anyio.to_thread.run_sync(queue.job, job.id)).state
                except JobNotFoundError:
                    return
            elif announcement.kind == "deleted":
                return
            else:
                state = JobState(announcement.data["state"])
            if state.is_final:
                return


async def cancel_unfinished(queue: JobQueue, job: Job) -> None:
    """Cancel a job that nobody waits for any more, unless it has ended."""
    with anyio.CancelScope(shield=True), suppress(SdcpuError):
        if not (await anyio.to_thread.run_sync(queue.job, job.id)).state.is_final:
            await anyio.to_thread.run_sync(queue.cancel, job.id)


def check_done(job: Job) -> None:
    """Make sure that a job has its pictures.

    Raises:
        Problem: it failed or was cancelled.
    """
    if job.state is JobState.DONE:
        return
    if job.error is not None:
        error = error_from_code(job.error.code, job.error.message, hint=job.error.hint)
        problem = problem_of(error)
    else:
        problem = Problem(409, "cancelled", "The job was cancelled.")
    problem.headers |= NO_RETRY
    raise problem


def check_place(streams: Streams) -> None:
    """Make sure that one more client can wait.

    Raises:
        Problem: 503, too many wait.
    """
    if streams.is_full:
        raise Problem(
            503, "busy", "Too many clients wait.", "Try again later.", {"Retry-After": "5"}
        )


async def _cancel_without_client(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
