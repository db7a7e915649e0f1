"""AUTOMATIC1111's API: drawing and enlarging. Its clients wait for the answer."""

from __future__ import annotations

import base64
import binascii
import io
import json
from contextlib import suppress
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import Response

from sdcpu.job_queue import Job, JobKind, JobQueue
from sdcpu.recipe import parameters_text
from sdcpu.server.answers import JsonAnswer, Problem
from sdcpu.server.parts import KeptUploads, Limits, OpenStreams, Queue
from sdcpu.server.picture_files import read_file, result_file
from sdcpu.server.uploads import Upload, Uploads
from sdcpu.server.waiting import check_place, finished_job
from sdcpu.server.webui_lists import TAG, WEBUI_ERRORS, chosen_model, model_of_title
from sdcpu.server.webui_names import SAMPLER_NAMES
from sdcpu.server.webui_requests import (
    MASK_NOTE,
    BatchExtraOrder,
    ExtraOrder,
    PictureInfoOrder,
    PictureOrder,
    SingleExtraOrder,
    TextOrder,
)

_NO_PICTURE: dict[int | str, dict[str, Any]] = {
    415: WEBUI_ERRORS[400] | {"description": "It is no PNG, JPEG or WebP picture."}
}
router = APIRouter(prefix="/sdapi/v1", tags=[TAG], responses=WEBUI_ERRORS | _NO_PICTURE)

CLIENT = "webui"
FACTORS = (2, 4)
"""How much larger an upscaler makes a picture; what is wanted in between is made smaller again."""


class Desk:
    """What a request needs to be drawn, waited for and answered."""

    def __init__(
        self,
        request: Request,
        queue: Queue,
        streams: OpenStreams,
        uploads: KeptUploads,
        limits: Limits,
    ) -> None:
        self.queue = queue
        self.uploads = uploads
        self._request = request
        self._streams = streams
        self._limits = limits

    async def take(self, picture: str) -> Upload:
        """Take a picture in that stands in a request, with or without what makes it a data URL."""
        try:
            data = base64.b64decode(picture.partition(",")[2] or picture, validate=True)
        except (binascii.Error, ValueError):
            raise Problem(422, "invalid_request", "A picture is not in base64.") from None
        return await anyio.to_thread.run_sync(self.uploads.take_bytes, data)

    async def drawn(self, values: dict[str, Any], model: str | None) -> Job:
        """Draw; of a job that is interrupted, what is finished of it."""
        return await self._finished(values, model, JobKind.PICTURE)

    async def enlarged(self, order: ExtraOrder, upload: Upload) -> str:
        """A picture enlarged, as base64 of a PNG."""
        width, height = order.size_of(upload.width, upload.height)
        if width * height > self.queue.limits.most_pixels:
            most = self.queue.limits.most_pixels
            raise Problem(
                413, "too_large", f"{width}x{height} pixels are more than the {most} allowed."
            )
        if order.upscaler is None:
            path = self.uploads.path(upload.id)
            if path is None:
                raise Problem(404, "not_found", "The picture is not here any more.")
            return await anyio.to_thread.run_sync(_resized, read_file(path), (width, height))
        factor = next((each for each in FACTORS if upload.width * each >= width), FACTORS[-1])
        values = {"image": f"upload:{upload.id}", "factor": factor, "upscaler": order.upscaler}
        job = await self._finished(values, None, JobKind.UPSCALE)
        path, _ = result_file(self.queue, job.id, 0)
        return await anyio.to_thread.run_sync(_resized, read_file(path), (width, height))

    async def _finished(self, values: dict[str, Any], model: str | None, kind: JobKind) -> Job:
        check_place(self._streams)
        job = await anyio.to_thread.run_sync(
            lambda: self.queue.submit(values, model=model, kind=kind, client=CLIENT)
        )
        seconds = self._limits.wait_seconds
        try:
            return await finished_job(self._request, self.queue, self._streams, job, seconds)
        except Problem as problem:
            if problem.code != "cancelled" or kind is not JobKind.PICTURE:
                raise
            return await anyio.to_thread.run_sync(self.queue.job, job.id)


OneDesk = Annotated[Desk, Depends()]


@router.post("/txt2img", operation_id="webui_txt2img")
async def txt2img(request: Request, desk: OneDesk, order: Annotated[TextOrder, Body()]) -> Response:
    """Pictures from a prompt."""
    return await _drawn(request, desk, order, order.values(), [])


@router.post("/img2img", operation_id="webui_img2img")
async def img2img(
    request: Request, desk: OneDesk, order: Annotated[PictureOrder, Body()]
) -> Response:
    """Pictures from a picture; where there is a mask, only what is white in it is painted."""
    values = order.values()
    values["init_image"] = f"upload:{(await desk.take(order.init_images[0])).id}"
    notes = []
    if order.mask:
        mask = await desk.take(order.mask)
        if order.inpainting_mask_invert:
            mask = await anyio.to_thread.run_sync(_inverted, desk.uploads, mask)
        values["mask_image"] = f"upload:{mask.id}"
        notes.append(MASK_NOTE)
    return await _drawn(request, desk, order, values, notes)


@router.post("/extra-single-image", operation_id="webui_extra_single_image")
async def extra_single_image(desk: OneDesk, order: Annotated[SingleExtraOrder, Body()]) -> Response:
    """A picture enlarged."""
    order.check()
    upload = await desk.take(order.image)
    return JsonAnswer({"image": await desk.enlarged(order, upload), "html_info": ""})


@router.post("/extra-batch-images", operation_id="webui_extra_batch_images")
async def extra_batch_images(desk: OneDesk, order: Annotated[BatchExtraOrder, Body()]) -> Response:
    """Several pictures enlarged."""
    order.check()
    uploads = [await desk.take(each.data) for each in order.imageList]
    images = [await desk.enlarged(order, upload) for upload in uploads]
    return JsonAnswer({"images": images, "html_info": ""})


@router.post("/png-info", operation_id="webui_png_info")
async def png_info(desk: OneDesk, order: Annotated[PictureInfoOrder, Body()]) -> JsonAnswer:
    """How a picture was made, where it says so."""
    upload = await desk.take(order.image)
    text = upload.parameters or (parameters_text(upload.recipe) if upload.recipe else "")
    items = {"parameters": text} if text else {}
    return JsonAnswer({"info": text, "items": items, "parameters": upload.recipe or {}})


@router.post("/interrupt", operation_id="webui_interrupt")
@router.post("/skip", operation_id="webui_skip")
def interrupt(queue: Queue) -> JsonAnswer:
    """Stop what is being drawn; its client gets what is finished of it."""
    queue.interrupt()
    return JsonAnswer({})


async def _drawn(
    request: Request, desk: Desk, order: TextOrder, values: dict[str, Any], notes: list[str]
) -> Response:
    for unit in order.control_units():
        control = await desk.take(unit.picture or "")
        values |= {"control_image": f"upload:{control.id}", "control_strength": unit.weight}
        if unit.module.lower() == "canny":
            values["control_step"] = "canny"
        elif unit.module.lower() != "none":
            raise Problem(
                422, "unsupported_value", f"There is no preprocessor {unit.module}.", "canny, none"
            )
        if unit.model.lower() != "none":
            values["control_net"] = unit.model.partition(" [")[0]
    named = order.model_named
    model = chosen_model(request) if named is None else model_of_title(desk.queue, named)
    job = await desk.drawn(values, model)
    content = await anyio.to_thread.run_sync(_content, desk.queue, job, order, notes)
    return JsonAnswer(content)


def _content(queue: JobQueue, job: Job, order: TextOrder, notes: list[str]) -> dict[str, Any]:
    files = [result_file(queue, job.id, result.index)[0] for result in job.results]
    images = [_base64(read_file(path)) for path in files] if order.send_images is not False else []
    recipes = [dict(result.recipe) for result in job.results]
    first = recipes[0] if recipes else {}
    seeds = [result.seed for result in job.results]
    texts = [parameters_text(recipe) for recipe in recipes]
    info: dict[str, Any] = {
        "prompt": order.prompt,
        "all_prompts": [recipe.get("prompt", "") for recipe in recipes],
        "negative_prompt": order.negative_prompt,
        "all_negative_prompts": [recipe.get("negative_prompt", "") for recipe in recipes],
        "seed": seeds[0] if seeds else -1,
        "all_seeds": seeds,
        "width": first.get("width"),
        "height": first.get("height"),
        "sampler_name": SAMPLER_NAMES.get(str(first.get("sampler")), ""),
        "cfg_scale": first.get("cfg_scale"),
        "steps": first.get("steps"),
        "batch_size": order.batch_size,
        "denoising_strength": first.get("strength"),
        "sd_model_name": first.get("model"),
        "clip_skip": first.get("clip_skip") or 1,
        "infotexts": texts,
        "extra_generation_params": {},
        "job": job.id,
        "notes": [*job.notes, *notes],
    }
    pictures = {"init_images", "mask", "alwayson_scripts"}
    parameters = order.model_dump(mode="json", exclude=pictures)
    return {"images": images, "parameters": parameters, "info": json.dumps(info)}


def _inverted(uploads: Uploads, mask: Upload) -> Upload:
    """The same mask with black and white exchanged."""
    from PIL import Image, ImageOps

    path = uploads.path(mask.id)
    if path is None:
        raise Problem(404, "not_found", "The picture is not here any more.")
    written = io.BytesIO()
    with Image.open(io.BytesIO(read_file(path))) as picture:
        ImageOps.invert(picture.convert("L")).save(written, "PNG")
    with suppress(OSError):
        path.unlink()
    return uploads.take_bytes(written.getvalue())


def _resized(data: bytes, size: tuple[int, int]) -> str:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data)) as picture:
        if picture.size == size:
            return _base64(data)
        written = io.BytesIO()
        ImageOps.fit(picture, size, Image.Resampling.LANCZOS).save(written, "PNG")
        return _base64(written.getvalue())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
