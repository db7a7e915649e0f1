"""The files of finished pictures, in the formats that clients ask for."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from sdcpu.errors import InvalidRequestError
from sdcpu.job_queue import JobQueue
from sdcpu.recipe import read_recipe, recipe_options
from sdcpu.server.answers import Problem

PictureFormat = Literal["png", "jpeg", "webp"]
FORMATS = get_args(PictureFormat)
USUAL_QUALITY = 90
"""Of JPEG and WebP, 0 to 100."""


def result_file(queue: JobQueue, job_id: str, index: int) -> tuple[Path, str]:
    """The file of a result and its media type.

    Raises:
        JobNotFoundError: there is no such job, or it has no such result.
    """
    path = queue.result_path(job_id, index)
    found = next(each for each in queue.job(job_id).results if each.index == index)
    return path, found.media_type


def read_file(path: Path) -> bytes:
    """The bytes of a result.

    Raises:
        Problem: 404, it was deleted at this moment.
    """
    try:
        return path.read_bytes()
    except OSError:
        raise _gone() from None


def check_there(path: Path) -> None:
    """Make sure that the file of a result is there.

    Raises:
        Problem: 404, it was deleted.
    """
    if not path.is_file():
        raise _gone()


def encoded(path: Path, picture_format: str, quality: int | None = None) -> bytes:
    """A finished picture in a format, its recipe with it.

    Raises:
        Problem: 404, it was deleted at this moment.
    """
    from PIL import Image

    data = read_file(path)
    if picture_format == "png":
        return data
    options: dict[str, Any] = {"quality": USUAL_QUALITY if quality is None else quality}
    with suppress(InvalidRequestError):  # it has none, or one that is too long for an EXIF block
        options |= recipe_options(read_recipe(path), picture_format.upper())
    written = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        picture.convert("RGB").save(written, picture_format.upper(), **options)
    return written.getvalue()


def small(path: Path, side: int) -> bytes:
    """A finished picture as WebP, `side` pixels wide or high."""
    from PIL import Image

    written = io.BytesIO()
    with Image.open(io.BytesIO(read_file(path))) as picture:
        picture.thumbnail((side, side))
        picture.save(written, "WEBP", quality=80)
    return written.getvalue()


def _gone() -> Problem:
    return Problem(404, "not_found", "What was drawn is not here any more.")
