"""What comes out of a job, as files: pictures as PNG, videos as the machine can write them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdcpu.errors import QueueFolderError, SdcpuError
from sdcpu.images import GeneratedImage
from sdcpu.job_queue.job import Job, JobResult
from sdcpu.job_queue.pictures import references
from sdcpu.upscaler import UpscaledImage
from sdcpu.video_files import usual_ending
from sdcpu.videos import GeneratedVideo

Finished = GeneratedImage | GeneratedVideo | UpscaledImage

_MEDIA_TYPES = {".png": "image/png", ".mp4": "video/mp4", ".webp": "image/webp"}


def result_of(
    finished: Finished, job: Job, *, first: int
) -> tuple[JobResult, Callable[[Path], None]]:
    """A result of a job, and what writes its file; the job's pictures before it number `first`.

    Writing raises QueueFolderError.
    """
    index = first + finished.index if isinstance(finished, GeneratedImage) else first
    ending = usual_ending() if isinstance(finished, GeneratedVideo) else ".png"
    recipe = _with_references(finished.recipe or {}, job)
    told = replace(finished, recipe=recipe) if finished.recipe is not None else finished
    result = JobResult(
        index=index,
        file=f"{index}{ending}",
        media_type=_MEDIA_TYPES[ending],
        width=finished.width,
        height=finished.height,
        seed=None if isinstance(finished, UpscaledImage) else finished.seed,
        seconds=round(finished.seconds, 3),
        recipe=recipe,
    )

    def write(path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            told.save(path)
            with path.open("rb") as file:  # what counts as drawn must survive a power cut
                os.fsync(file.fileno())
        except (OSError, SdcpuError) as error:
            raise QueueFolderError(
                f"What was drawn cannot be stored: {error}", hint="Free space, and retry the job."
            ) from error

    return result, write


def _with_references(recipe: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """The recipe with the pictures named as the request named them, not by this machine's paths."""
    named = dict(recipe)
    for (field, _), _ in references(job.kind, job.request):
        if field in named:
            named[field] = job.request[field]
    return named
