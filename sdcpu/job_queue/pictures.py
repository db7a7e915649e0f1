"""The pictures that a request brings along: named by references, copied beside the job.

A reference is "upload:<id>", "result:<job>/<index>", or a path in an allowed folder. The copies are
the job's own: it can be drawn, and drawn again, whatever becomes of what they were copied from.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sdcpu.batch.fields import kinds_of
from sdcpu.errors import InvalidRequestError, JobNotFoundError
from sdcpu.images import ImageRequest
from sdcpu.job_queue.folder import QueueFolder, translated
from sdcpu.job_queue.job import JobKind
from sdcpu.job_queue.names import AllowedNames
from sdcpu.videos import VideoRequest

UPLOAD, RESULT = "upload:", "result:"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RESULT = re.compile(r"(?P<job>[A-Za-z0-9_-]{1,64})/(?P<index>\d{1,6})")
FIELDS = {
    JobKind.PICTURE: kinds_of(ImageRequest),
    JobKind.VIDEO: kinds_of(VideoRequest),
    JobKind.UPSCALE: {"image": "ImageSource", "factor": "int", "upscaler": "str"},
}
"""The fields of each kind of request, and their types as they are written."""

Place = tuple[str, int]
"""The field that a reference stands in, and which one of its pictures it is, from 0."""


def references(kind: JobKind, request: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """The references of a request and where they stand.

    Raises:
        InvalidRequestError: something else stands where a reference should.

    >>> list(references(JobKind.PICTURE, {"prompt": "a cat", "init_image": "upload:a1"}))
    [(('init_image', 0), 'upload:a1')]
    """
    for field, written in FIELDS[kind].items():
        if "ImageSource" in written and request.get(field) is not None:
            value = request[field]
            many = value if written.startswith("tuple") and isinstance(value, list) else [value]
            for number, reference in enumerate(many):
                if not isinstance(reference, str):
                    raise InvalidRequestError(
                        f"The field {field} must be text that names a picture.",
                        hint=f'Such as "{UPLOAD}…" or "{RESULT}…/0".',
                    )
                yield (field, number), reference


def with_paths(
    kind: JobKind, request: Mapping[str, Any], path_of: Callable[[Place], Path]
) -> dict[str, Any]:
    """The request with paths in place of its references."""
    changed = dict(request)
    for (field, number), _ in references(kind, request):
        path = str(path_of((field, number)))
        if isinstance(changed[field], list):
            changed[field] = [*changed[field]]
            changed[field][number] = path
        else:
            changed[field] = path
    return changed


def find_picture(
    reference: str,
    *,
    folder: QueueFolder,
    names: AllowedNames,
    result_path: Callable[[str, int], Path],
) -> Path:
    """The file that a reference means.

    Raises:
        InvalidRequestError: it is none, or means nothing that is there.
    """
    if reference.startswith(UPLOAD):
        name = reference.removeprefix(UPLOAD)
        path = folder.uploads / f"{name}.png"
        if not _ID.fullmatch(name) or not path.is_file():
            raise InvalidRequestError(
                f"There is no upload {name[:80]!r}.", hint="Upload the picture again."
            )
        return path
    if reference.startswith(RESULT):
        found = _RESULT.fullmatch(reference.removeprefix(RESULT))
        try:
            if found is None:
                raise JobNotFoundError(f"{reference[:80]!r} names no result.")
            return result_path(found["job"], int(found["index"]))
        except JobNotFoundError as error:
            raise InvalidRequestError(error.message, hint=f"Write {RESULT}<job>/0.") from error
    return names.file(reference, "a picture")


def copy_pictures(pictures: Mapping[Place, Path], target: Callable[[Place], Path]) -> None:
    """Copy what a request brings along to where the job keeps it.

    Raises:
        QueueFolderError: the disk is full, or a picture has gone meanwhile.
    """
    for place, source in pictures.items():
        path = target(place)
        with translated(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            copied(source, path)


def copied(source: Path, target: Path) -> None:
    """Have a file at another place: as a link where the two are of one disk, else as a copy.

    What is linked is never changed in place: pictures are only written whole, and deleted.
    """
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)
