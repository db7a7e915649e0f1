"""Our REST: what happens, as server-sent events and over a socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Header, Query, WebSocket
from fastapi.responses import Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect, WebSocketState

from sdcpu.errors import JobNotFoundError, SdcpuError
from sdcpu.job_queue import Announcement, JobQueue, JobState, to_json
from sdcpu.server.answers import JsonAnswer, Problem, answer_of, problem_of
from sdcpu.server.job_routes import ERRORS, Id
from sdcpu.server.parts import OpenStreams, Queue
from sdcpu.server.streams import Streams

router = APIRouter(prefix="/api/v1", tags=["what happens"], responses=ERRORS)

FINAL_KINDS = frozenset({"done", "failed", "cancelled", "deleted"})
"""After these nothing more is announced of a job."""
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)
_MOST_SHOWN = 1000
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}
}
_STAY_AWAY: dict[int | str, dict[str, Any]] = {
    204: {"description": "The job has ended, and everything was told."}
}
_RETRY_MILLISECONDS = 2000
_LARGEST_NUMBER = 2**63 - 1

After = Annotated[int | None, Query(ge=0, le=_LARGEST_NUMBER, description="Last number heard.")]
LastEventId = Annotated[str | None, Header(description="As browsers send it; wins over `after`.")]


@router.get(
    "/events", response_class=StreamingResponse, responses=_EVENTS, operation_id="all_events"
)
async def all_events(
    queue: Queue, streams: OpenStreams, after: After = None, last_event_id: LastEventId = None
) -> Response:
    """Everything that happens, as server-sent events.

    The first event, "state", holds the jobs that are not finished: `{"jobs": […]}`. Each further
    one holds the job it is about. With `Last-Event-ID` what was missed comes before "state".
    """
    return _stream(queue, streams, None, _heard(after, last_event_id))


@router.get(
    "/jobs/{id}/events",
    response_class=StreamingResponse,
    responses=_EVENTS | _STAY_AWAY,
    operation_id="job_events",
)
async def job_events(
    queue: Queue,
    streams: OpenStreams,
    id: Id,  # noqa: A002
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """What happens to one job, as server-sent events; "state" holds the job as it is.

    The stream ends with the job. A browser that comes back after that is told to stay away (204).
    """
    job = await anyio.to_thread.run_sync(queue.job, id)
    heard = _heard(after, last_event_id)
    if job.state.is_final and heard is not None and heard >= queue.announcements.latest:
        return Response(status_code=204)
    return _stream(queue, streams, id, heard)


def _stream(queue: JobQueue, streams: Streams, job: str | None, after: int | None) -> Response:
    # The place is taken only once the answer is being sent: what never starts needs none.
    if streams.is_full:
        raise Problem(
            503, "busy", "Too many streams are open.", "Close some.", {"Retry-After": "5"}
        )
    return StreamingResponse(
        _server_sent(queue, streams, job, after),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _server_sent(
    queue: JobQueue, streams: Streams, job: str | None, after: int | None
) -> AsyncGenerator[str, None]:
    yield f"retry: {_RETRY_MILLISECONDS}\n\n"
    async with aclosing(_told(queue, streams, job, after)) as told:
        async for each in told:
            if each is None:
                yield ":\n\n"
            else:
                yield (
                    f"id: {each['number']}\nevent: {each['kind']}\n"
                    f"data: {_written(each['data'])}\n\n"
                )


async def _told(
    queue: JobQueue, streams: Streams, job: str | None, after: int | None
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """What a client is told, in order; None is a sign of life."""
    stated = False
    async with aclosing(streams.follow(job, after)) as announcements:
        async for announcement in announcements:
            if announcement is not None:
                yield _message(announcement)
                if job is not None and announcement.kind in FINAL_KINDS:
                    return
            elif stated:
                yield None
            else:
                stated = True
                number = queue.announcements.latest
                state = await anyio.to_thread.run_sync(_state, queue, job)
                if state is None:
                    return
                yield {"number": number, "job": job, "kind": "state", "data": state}
                if job is not None and JobState(state["state"]).is_final:
                    return


def _state(queue: JobQueue, job: str | None) -> dict[str, Any] | None:
    """The present state; None where the job is gone."""
    if job is None:
        waiting = queue.jobs(states=_UNFINISHED, limit=_MOST_SHOWN)
        return {"jobs": [to_json(each) for each in waiting]}
    try:
        return to_json(queue.job(job))
    except JobNotFoundError:
        return None


def _message(announcement: Announcement) -> dict[str, Any]:
    return {
        "number": announcement.number,
        "job": announcement.job,
        "kind": announcement.kind,
        "data": announcement.data,
    }


def _heard(after: int | None, last_event_id: str | None) -> int | None:
    if last_event_id and last_event_id.isdecimal():
        return min(int(last_event_id[:30]), _LARGEST_NUMBER)
    return after


def _written(value: Any) -> str:
    return bytes(JsonAnswer(value).body).decode()


@router.websocket("/socket")
async def socket(
    socket: WebSocket,
    queue: Queue,
    streams: OpenStreams,
    job: Annotated[str | None, Query(max_length=64)] = None,
    after: After = None,
) -> None:
    """The same as JSON messages; the client may send `{"cancel": ID}`."""
    if job is not None:
        try:
            await anyio.to_thread.run_sync(queue.job, job)
        except SdcpuError as error:
            answer = answer_of(problem_of(error), socket.url.path)
            await socket.send_denial_response(answer)
            return
    await socket.accept()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, socket, queue, tasks.cancel_scope)
            await _tell(socket, queue, streams, job, after)
            tasks.cancel_scope.cancel()
    except* (WebSocketDisconnect, RuntimeError):  # the client has gone
        pass
    if socket.client_state is WebSocketState.CONNECTED:
        with contextlib.suppress(RuntimeError):
            await socket.close()


async def _tell(
    socket: WebSocket, queue: JobQueue, streams: Streams, job: str | None, after: int | None
) -> None:
    async with aclosing(_told(queue, streams, job, after)) as told:
        async for each in told:
            if each is not None:  # a socket has signs of life of its own
                await socket.send_text(_written(each))


async def _listen(socket: WebSocket, queue: JobQueue, scope: anyio.CancelScope) -> None:
    """Do what the client asks for, until it goes away."""
    while True:
        try:
            text = await socket.receive_text()
        except (WebSocketDisconnect, KeyError, RuntimeError):
            scope.cancel()
            return
        try:
            wanted = json.loads(text)
            job = wanted["cancel"]
            await anyio.to_thread.run_sync(queue.cancel, str(job)[:64])
        except SdcpuError as error:
            problem = problem_of(error)
        except (ValueError, KeyError, TypeError, RecursionError):
            problem = Problem(422, "invalid_request", 'Only {"cancel": ID} is understood.')
        else:
            continue
        await socket.send_text(bytes(answer_of(problem, socket.url.path).body).decode())
