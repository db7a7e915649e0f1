"""OpenAI's images API, for the programs that speak it: `/v1/images/…` and `/v1/models`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Body, Depends, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from sdcpu.catalog import Catalog
from sdcpu.errors import UnknownModelError
from sdcpu.job_queue import JobQueue
from sdcpu.server.answers import JsonAnswer, Problem
from sdcpu.server.openai_drawing import Drawing
from sdcpu.server.openai_requests import (
    VARIATION_STRENGTH,
    ImagesOrder,
    order_of,
)
from sdcpu.server.parts import Queue
from sdcpu.server.schemas import OpenAIErrorAnswer

_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": OpenAIErrorAnswer, "description": "The request cannot be right."},
    503: {"model": OpenAIErrorAnswer, "description": "The engine or the server cannot work now."},
}
router = APIRouter(prefix="/v1", tags=["OpenAI's images API"], responses=_ERRORS)

MOST_IMAGES = 16
"""Pictures in one edit; the mask is a further one."""
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
