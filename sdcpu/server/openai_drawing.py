"""Drawing for clients of OpenAI's images API, and what they are answered."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

import anyio.to_thread
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import UploadFile

from sdcpu.catalog import Catalog
from sdcpu.errors import SdcpuError
from sdcpu.job_queue import Announcement, Job, JobQueue, to_json
from sdcpu.server.answers import JsonAnswer, Problem, answer_of, problem_of
from sdcpu.server.openai_requests import ImagesOrder, takes_references
from sdcpu.server.parts import KeptUploads, Limits, OpenStreams, Queue
from sdcpu.server.picture_files import encoded, result_file
from sdcpu.server.streams import Streams
from sdcpu.server.uploads import Upload
from sdcpu.server.waiting import (
    cancel_unfinished,
    check_done,
    check_place,
    finished_job,
    followed,
)

Kind = Literal["image_generation", "image_edit"]
"""What the events of a stream are called after."""
_NOTHING_BILLED = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}


class Drawing:
    """What a request needs to be drawn, waited for and answered."""

    def __init__(
        self,
        request: Request,
        queue: Queue,
        streams: OpenStreams,
        uploads: KeptUploads,
        limits: Limits,
    ) -> None:
        self.request = request
        self.queue = queue
        self.uploads = uploads
        self._streams = streams
        self._limits = limits

    async def answer(self, order: ImagesOrder, values: dict[str, Any], kind: Kind) -> Response:
        """Draw what is wanted; the answer holds the pictures, or tells them as they come."""
        check_place(self._streams)
        job = await anyio.to_thread.run_sync(
            lambda: self.queue.submit(values, model=order.model_here, client="openai")
        )
        if order.stream:
            events = _events(self.queue, self._streams, job, order, kind)
            return StreamingResponse(events, media_type="text/event-stream")
        seconds = self._limits.wait_seconds
        done = await finished_job(self.request, self.queue, self._streams, job, seconds)
        return JsonAnswer(await anyio.to_thread.run_sync(self._content, order, done))

    async def take(self, file: UploadFile) -> Upload:
        """Take a picture in."""
        coming = await anyio.to_thread.run_sync(self.uploads.new_file)
        try:
            with coming.open("wb") as target:
                while chunk := await file.read(1024 * 1024):
                    target.write(chunk)
            return await anyio.to_thread.run_sync(self.uploads.take, coming)
        finally:
            coming.unlink(missing_ok=True)

    def is_transparent(self, upload: Upload) -> bool:
        """Whether a picture shows where it is to be painted."""
        from sdcpu.inputs import read_alpha

        path = self.uploads.path(upload.id)
        alpha = None if path is None else read_alpha(path)
        return alpha is not None and alpha.getextrema()[0] == 0

    def takes_references(self, order: ImagesOrder) -> bool:
        """Whether the model edits pictures rather than starting from one."""
        settings = self.queue.settings
        return takes_references(order.model_here, settings, Catalog(settings).registry)

    def _content(self, order: ImagesOrder, job: Job) -> dict[str, Any]:
        pictures = []
        for result in job.results:
            picture: dict[str, Any] = {"seed": result.seed}
            if order.as_address:
                address = f"{self.request.base_url}api/v1/jobs/{job.id}/results/{result.index}"
                picture["url"] = f"{address}?format={order.format}"
            else:
                picture["b64_json"] = _base64(self.queue, job, result.index, order)
            pictures.append(picture)
        drawn_by = _model_of(job)
        replaced = order.model is not None and order.model_here is None
        notes = [f"{order.model} is not here: {drawn_by} drew in its place."] if replaced else []
        return {
            "created": int(job.created),
            "data": pictures,
            "size": _size_of(to_json(job)["results"][0]),
            "usage": _NOTHING_BILLED,
            **order.echo(),
            "job": job.id,
            "model": drawn_by,
            "notes": [*notes, *job.notes],
        }


async def _events(
    queue: JobQueue, streams: Streams, job: Job, order: ImagesOrder, kind: Kind
) -> AsyncGenerator[str, None]:
    """Partial pictures and finished ones, as they come."""
    partial = 0
    wanted = order.partial_images or 0
    common = order.echo() | {"quality": order.echo().get("quality", "auto")}
    try:
        async with aclosing(followed(queue, streams, job)) as announcements:
            async for each in announcements:
                if each is None:
                    yield ":\n\n"
                elif (
                    each.kind == "preview"
                    and partial < wanted
                    and _is_due(each, partial, wanted)
                    and (preview := await anyio.to_thread.run_sync(queue.preview, job.id))
                ):
                    data = {"partial_image_index": partial, "b64_json": _text(preview)}
                    data |= {"size": "auto", "output_format": "png"}
                    yield _event(f"{kind}.partial_image", common | data)
                    partial += 1
        ended = await anyio.to_thread.run_sync(queue.job, job.id)
        check_done(ended)
        for result in to_json(ended)["results"]:
            picture = await anyio.to_thread.run_sync(_base64, queue, ended, result["index"], order)
            data = {"b64_json": picture, "size": _size_of(result), "seed": result["seed"]}
            data |= {"usage": _NOTHING_BILLED, "model": _model_of(ended)}
            yield _event(f"{kind}.completed", common | data)
    except (Problem, SdcpuError) as error:
        content = bytes(answer_of(problem_of(error), "/v1/images").body).decode()
        yield f"event: error\ndata: {content}\n\n"
    finally:
        await cancel_unfinished(queue, job)


def _event(kind: str, data: dict[str, Any]) -> str:
    content = {"type": kind, "created_at": int(time.time())} | data
    return f"event: {kind}\ndata: {json.dumps(content)}\n\n"


def _is_due(announcement: Announcement, told: int, wanted: int) -> bool:
    """Whether the picture is far enough for the next of the partial ones."""
    progress = announcement.data.get("progress") or {}
    total = progress.get("total") or 0
    return not total or progress["done"] / total >= (told + 1) / (wanted + 1)


def _base64(queue: JobQueue, job: Job, index: int, order: ImagesOrder) -> str:
    path, _ = result_file(queue, job.id, index)
    return _text(encoded(path, order.format, order.output_compression))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _size_of(result: dict[str, Any]) -> str:
    return f"{result['width']}x{result['height']}"


def _model_of(job: Job) -> str:
    return str(job.results[0].recipe.get("model", "")) if job.results else ""
