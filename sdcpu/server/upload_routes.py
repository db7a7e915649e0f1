"""Our REST: pictures that a request starts from."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from sdcpu.report import plain
from sdcpu.server.answers import JsonAnswer, Problem
from sdcpu.server.job_routes import ERRORS, FOR_GOOD
from sdcpu.server.parts import KeptUploads, Limits
from sdcpu.server.schemas import Upload as UploadSchema

router = APIRouter(prefix="/api/v1", tags=["pictures to start from"], responses=ERRORS)

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/png": _BINARY,
            "image/jpeg": _BINARY,
            "image/webp": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": _BINARY["schema"]},
                    "required": ["file"],
                }
            },
        },
    }
}
_UNSUPPORTED: dict[int | str, dict[str, Any]] = {
    408: ERRORS[400] | {"description": "The picture came too slowly."},
    415: ERRORS[400] | {"description": "It is no PNG, JPEG or WebP picture, or damaged."},
}


@router.post(
    "/uploads",
    status_code=201,
    response_model=UploadSchema,
    responses=_UNSUPPORTED,
    operation_id="upload",
    openapi_extra=_BODY,
)
async def upload(request: Request, uploads: KeptUploads, limits: Limits) -> JsonAnswer:
    """Bring a picture, as the body itself or as `file` in a form; PNG, JPEG or WebP.

    It is kept as a plain PNG, and named `upload:ID` in a request.
    """
    coming = await anyio.to_thread.run_sync(uploads.new_file)
    try:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            await _receive_form(request, coming)
        elif kind.startswith("image/") or kind == "application/octet-stream":
            await _receive_body(request, coming)
        else:
            raise Problem(
                415,
                "unsupported_media_type",
                "The body is no picture.",
                "Send it with Content-Type image/png, image/jpeg or image/webp.",
            )
        if coming.stat().st_size > limits.most_upload_bytes:
            raise Problem(
                413, "too_large", f"The picture has more than {limits.most_upload_bytes} bytes."
            )
        taken = await anyio.to_thread.run_sync(uploads.take, coming)
    finally:
        coming.unlink(missing_ok=True)
    return JsonAnswer(plain(taken), 201)


@router.get(
    "/uploads/{id}",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
    operation_id="uploaded",
)
def uploaded(
    uploads: KeptUploads,
    id: Annotated[str, Path(max_length=64)],  # noqa: A002
) -> Response:
    """A picture that was brought, as PNG."""
    path = uploads.path(id)
    try:
        picture = None if path is None else path.read_bytes()
    except OSError:  # deleted at this moment
        picture = None
    if picture is None:
        raise Problem(404, "not_found", "There is no such uploaded picture.")
    return Response(picture, media_type="image/png", headers=FOR_GOOD)


async def _receive_body(request: Request, target: FilePath) -> None:
    with target.open("wb") as file:
        try:
            async for chunk in request.stream():
                file.write(chunk)
        except ClientDisconnect:
            raise Problem(400, "bad_request", "The picture did not come whole.") from None


async def _receive_form(request: Request, target: FilePath) -> None:
    try:
        async with request.form(max_files=1, max_fields=4) as form:
            given = form.get("file")
            if not isinstance(given, UploadFile):
                raise Problem(422, "invalid_request", "The form has no file named 'file'.")
            with target.open("wb") as file:
                while chunk := await given.read(1024 * 1024):
                    file.write(chunk)
    except (MultiPartException, ClientDisconnect, KeyError) as error:
        raise Problem(400, "bad_request", f"The form cannot be read: {error}.") from None
