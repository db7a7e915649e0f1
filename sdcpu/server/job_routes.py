"""Our REST: jobs, their previews and their pictures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request
from fastapi.responses import FileResponse, Response

from sdcpu.job_queue import Job, JobKind, JobState, to_json
from sdcpu.server.answers import JsonAnswer, Problem
from sdcpu.server.parts import Queue
from sdcpu.server.picture_files import (
    PictureFormat,
    check_there,
    encoded,
    read_file,
    result_file,
    small,
)
from sdcpu.server.schemas import Change, ErrorAnswer, Jobs, Order, State
from sdcpu.server.schemas import Job as JobSchema

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in (
        (400, "The request cannot be read."),
        (401, "The token is missing or wrong."),
        (403, "It is not allowed: the host, the origin, or a download."),
        (404, "There is nothing of this name."),
        (409, "It does not go together with what the job is now."),
        (413, "It is too large."),
        (422, "A value cannot be right."),
        (429, "Too many jobs wait; Retry-After says when to come again."),
        (503, "The engine or the server cannot work now."),
    )
}
FOR_GOOD = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of what never changes under its address."""
THUMBNAIL_SIDE = 256
"""Pixels, the longer side."""
_PNG: dict[str, Any] = {"content": {"image/png": {"schema": {"type": "string"}}}}
_FILE: dict[str, Any] = {"content": {"image/*": {}, "video/*": {}}}
_WEBP: dict[str, Any] = {"content": {"image/webp": {"schema": {"type": "string"}}}}

router = APIRouter(prefix="/api/v1", tags=["jobs"], responses=ERRORS)

Id = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$", description="A job's id.")]
Index = Annotated[int, Path(ge=0, le=9999, description="Which result, counted from 0.")]


def answer(job: Job, status: int = 200) -> JsonAnswer:
    """A job, as every route tells it."""
    return JsonAnswer(to_json(job), status)


@router.post("/jobs", status_code=202, response_model=JobSchema, operation_id="submit")
def submit(
    request: Request,
    queue: Queue,
    order: Annotated[Order, Body()],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> JsonAnswer:
    """Put a job into the queue; it is checked first, and drawn in its turn."""
    job = queue.submit(
        order.request.model_dump(mode="json", exclude_unset=True),
        model=order.model,
        kind=JobKind(order.kind),
        priority=order.priority,
        client=client_of(request),
        key=order.key or idempotency_key,
    )
    return answer(job, 202)


@router.get("/jobs", response_model=Jobs, operation_id="list_jobs")
def list_jobs(
    queue: Queue,
    state: Annotated[list[State] | None, Query(description="Only those in these states.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[
        str | None, Query(pattern="^[A-Za-z0-9_-]{1,64}$", description="Older than this job.")
    ] = None,
) -> JsonAnswer:
    """Jobs, the newest first."""
    states = None if state is None else [JobState(name) for name in state]
    found = queue.jobs(states=states, limit=limit, before=before)
    return JsonAnswer({"jobs": [to_json(job) for job in found]})


@router.get("/jobs/{id}", response_model=JobSchema, operation_id="job")
def job(queue: Queue, id: Id) -> JsonAnswer:  # noqa: A002
    """A job as it is now."""
    return answer(queue.job(id))


@router.delete("/jobs/{id}", status_code=204, operation_id="delete_job")
def delete(queue: Queue, id: Id) -> Response:  # noqa: A002
    """Forget a job and delete its pictures; one that is being drawn has to be cancelled first."""
    queue.delete(id)
    return Response(status_code=204)


@router.patch("/jobs/{id}", response_model=JobSchema, operation_id="prioritise")
def prioritise(queue: Queue, id: Id, change: Change) -> JsonAnswer:  # noqa: A002
    """Let a job that waits be drawn earlier or later."""
    return answer(queue.prioritise(id, change.priority))


@router.post("/jobs/{id}/cancel", response_model=JobSchema, operation_id="cancel")
def cancel(queue: Queue, id: Id) -> JsonAnswer:  # noqa: A002
    """Cancel a job that waits or is being drawn; what is finished of it stays."""
    return answer(queue.cancel(id))


@router.post("/jobs/{id}/retry", status_code=202, response_model=JobSchema, operation_id="retry")
def retry(queue: Queue, id: Id) -> JsonAnswer:  # noqa: A002
    """Ask for a job that has ended again, as a new job."""
    return answer(queue.retry(id), 202)


@router.get(
    "/jobs/{id}/preview", response_class=Response, responses={200: _PNG}, operation_id="preview"
)
def preview(queue: Queue, id: Id) -> Response:  # noqa: A002
    """The unfinished picture, where the request asked for previews."""
    picture = queue.preview(id)
    if picture is None:
        raise Problem(404, "not_found", "There is no preview yet.")
    return Response(picture, media_type="image/png")


@router.get(
    "/jobs/{id}/results/{index}",
    response_class=Response,
    responses={200: _FILE},
    operation_id="result",
)
def result(
    queue: Queue,
    id: Id,  # noqa: A002
    index: Index,
    picture_format: Annotated[
        PictureFormat | None, Query(alias="format", description="What a picture is turned into.")
    ] = None,
) -> Response:
    """A finished picture or video, with its recipe in it."""
    path, media_type = result_file(queue, id, index)
    if media_type.startswith("video/"):
        check_there(path)
        return FileResponse(path, media_type=media_type, headers=FOR_GOOD)
    if picture_format is None or media_type != "image/png":
        return Response(read_file(path), media_type=media_type, headers=FOR_GOOD)
    data = encoded(path, picture_format)
    return Response(data, media_type=f"image/{picture_format}", headers=FOR_GOOD)


@router.get(
    "/jobs/{id}/results/{index}/thumbnail",
    response_class=Response,
    responses={200: _WEBP},
    operation_id="thumbnail",
)
def thumbnail(queue: Queue, id: Id, index: Index) -> Response:  # noqa: A002
    """A finished picture, 256 pixels wide or high, as WebP."""
    path, media_type = result_file(queue, id, index)
    if not media_type.startswith("image/"):
        raise Problem(404, "not_found", "There is no small picture of a video.")
    data = small(path, THUMBNAIL_SIDE)
    return Response(data, media_type="image/webp", headers=FOR_GOOD)


def client_of(request: Request) -> str:
    """Who asks: only a browser says that a page of ours does."""
    return "page" if request.headers.get("sec-fetch-site") == "same-origin" else "rest"
