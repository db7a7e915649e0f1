"""OpenAI's images API, for the programs that speak it: `/v1/images/…` and `/v1/models`."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Body, Depends, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from sdcpu.catalog import Catalog
from sdcpu.errors import SdcpuError, UnknownModelError
from sdcpu.job_queue import Announcement, Job, JobQueue, to_json
from sdcpu.server.answers import JsonAnswer, Problem, answer_of, problem_of
from sdcpu.server.openai_requests import (
    VARIATION_STRENGTH,
    ImagesOrder,
    order_of,
    takes_references,
)
from sdcpu.server.parts import KeptUploads, Limits, OpenStreams, Queue
from sdcpu.server.picture_files import encoded, result_file
from sdcpu.server.schemas import OpenAIErrorAnswer
from sdcpu.server.streams import Streams
from sdcpu.server.uploads import Upload
from sdcpu.server.waiting import (
    cancel_unfinished,
    check_done,
    check_place,
    finished_job,
    followed,
)

_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": OpenAIErrorAnswer, "description": "The request cannot be right."},
    503: {"model": OpenAIErrorAnswer, "description": "The engine or the server cannot work now."},
}
router = APIRouter(prefix="/v1", tags=["OpenAI's images API"], responses=_ERRORS)

MOST_IMAGES = 16
"""Pictures in one edit; the mask is a further one."""
_NOTHING_BILLED = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}
_KIND = Literal["image_generation", "image_edit"]
_FILE = {"type": "string", "format": "binary"}
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": _FILE,
                        "mask": _FILE,
                        "prompt": {"type": "string"},
                        "model": {"type": "string"},
                        "n": {"type": "integer"},
                        "size": {"type": "string"},
                    },
                    "required": ["image"],
                }
            }
        },
    }
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

    async def answer(self, order: ImagesOrder, values: dict[str, Any], kind: _KIND) -> Response:
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


Studio = Annotated[Drawing, Depends()]


@router.post("/images/generations", operation_id="openai_generate")
async def generate(studio: Studio, order: Annotated[ImagesOrder, Body()]) -> Response:
    """Pictures from a prompt."""
    return await studio.answer(order, order.values(), "image_generation")


@router.post("/images/edits", operation_id="openai_edit", openapi_extra=_FORM)
async def edit(studio: Studio) -> Response:
    """Pictures from pictures; where the mask is transparent, they are painted anew."""
    async with _form(studio.request) as form:
        order, values = _order_in(form)
        images = [each for name in ("image", "image[]") for each in form.getlist(name)]
        mask = form.get("mask")
        files = [each for each in images if isinstance(each, UploadFile)]
        if not files or len(files) != len(images):
            raise Problem(422, "invalid_request", "There is no picture.", parameter="image")
        taken = [await studio.take(file) for file in files]
        mask_taken = await studio.take(mask) if isinstance(mask, UploadFile) else None
    named = [f"upload:{each.id}" for each in taken]
    if mask_taken is None and await anyio.to_thread.run_sync(studio.is_transparent, taken[0]):
        mask_taken = taken[0]
    if mask_taken is None and await anyio.to_thread.run_sync(studio.takes_references, order):
        return await studio.answer(order, values | {"ref_images": named}, "image_edit")
    if len(named) > 1:
        raise Problem(
            422,
            "unsupported_value",
            "This model starts from one picture.",
            "Send one, or name a model that edits, such as flux2-klein-4b.",
            parameter="image",
        )
    values["init_image"] = named[0]
    if mask_taken is not None:
        values["mask_image"] = f"upload:{mask_taken.id}"
        values.setdefault("strength", 1.0)
    return await studio.answer(order, values, "image_edit")


@router.post("/images/variations", operation_id="openai_vary", openapi_extra=_FORM)
async def vary(studio: Studio) -> Response:
    """Pictures like a picture; its own prompt counts where sdcpu drew it."""
    async with _form(studio.request) as form:
        order, values = _order_in(form, prompt="")
        file = form.get("image")
        if not isinstance(file, UploadFile):
            raise Problem(422, "invalid_request", "There is no picture.", parameter="image")
        taken = await studio.take(file)
    if not order.prompt:
        values["prompt"] = str((taken.recipe or {}).get("prompt", ""))
    values["init_image"] = f"upload:{taken.id}"
    values.setdefault("strength", VARIATION_STRENGTH)
    return await studio.answer(order, values, "image_generation")


@router.get("/models", operation_id="openai_models")
def models(queue: Queue) -> JsonAnswer:
    """The models that a request may name: those that are here, or may be downloaded."""
    return JsonAnswer({"object": "list", "data": _models(queue)})


@router.get("/models/{model:path}", operation_id="openai_model")
def model(queue: Queue, model: Annotated[str, Path(max_length=500)]) -> JsonAnswer:
    """One of them."""
    for known in _models(queue):
        if known["id"] == model:
            return JsonAnswer(known)
    raise UnknownModelError(f"There is no model {model[:80]!r} here.", hint="See /v1/models.")


def _models(queue: JobQueue) -> list[dict[str, Any]]:
    catalog = Catalog(queue.settings)
    return [
        {"id": each.name, "object": "model", "created": 0, "owned_by": "sdcpu"}
        for each in catalog.registry.models.values()
        if each.kind == "image" and (queue.allow_downloads or catalog.is_here(each))
    ]


@asynccontextmanager
async def _form(request: Request) -> AsyncGenerator[FormData, None]:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Problem(
            415, "unsupported_media_type", "Send the picture in a form, as multipart/form-data."
        )
    try:
        form = await request.form(max_files=MOST_IMAGES + 1, max_fields=100)
    except (MultiPartException, HTTPException, ClientDisconnect, KeyError) as error:
        raise Problem(400, "bad_request", f"The form cannot be read: {error}.") from None
    try:
        yield form
    finally:
        await form.close()


def _order_in(form: FormData, **usual: Any) -> tuple[ImagesOrder, dict[str, Any]]:
    """The order in a form's fields, and what the queue is asked for."""
    texts: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            texts.setdefault(name, []).append(value)
    try:
        order = ImagesOrder.model_validate(usual | order_of(texts))
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        ) from error
    return order, order.values()


async def _events(
    queue: JobQueue, streams: Streams, job: Job, order: ImagesOrder, kind: _KIND
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
