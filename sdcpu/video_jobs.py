"""A plan for a video turned into the engine's settings, and its frames into a finished video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.canvas import Size
from sdcpu.errors import GenerationError, InvalidRequestError
from sdcpu.families import FAMILIES
from sdcpu.inputs import pixels_of, read_picture
from sdcpu.jobs import engine_job, picture, recipe_of
from sdcpu.models import ModelFile
from sdcpu.protocol import Pixels, VideoSettings
from sdcpu.start_pictures import END, StartPictures
from sdcpu.videos import GeneratedVideo, VideoRequest

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.plan import EnginePlan


def video_job(
    plan: EnginePlan, located: Mapping[ModelFile, Path | None], pictures: StartPictures
) -> VideoSettings:
    """Turn a plan, whose request has every value and a seed, into the engine's settings.

    `pictures` are the ones that the request brought along, laid out as the plan says.

    Raises:
        InvalidRequestError: a picture of the request cannot be read, or the steps do not add up.
    """
    request = video_of(plan)
    common = engine_job(plan, located, pictures)
    steps = request.high_noise_steps
    if steps is not None and steps >= common.steps:
        raise InvalidRequestError(
            f"{steps} high-noise steps of {common.steps} leave none for the other model.",
            hint="Give more steps, or fewer of these.",
        )
    cfg_scale = request.high_noise_cfg_scale
    flow_shift = common.flow_shift if request.flow_shift is None else request.flow_shift
    end = request.end_image
    size = common.width, common.height
    return VideoSettings(
        picture=replace(common, flow_shift=flow_shift),
        frames=request.frames or 1,
        end_image=None if end is None else _covering(read_picture(end, END), size),
        high_noise_steps=-1 if steps is None else steps,
        high_noise_cfg_scale=common.cfg_scale if cfg_scale is None else cfg_scale,
        high_noise_until=FAMILIES[plan.model.family].high_noise_until,
    )


def finished_video(plan: EnginePlan, frames: Sequence[Pixels], seconds: float) -> GeneratedVideo:
    """Wrap the engine's frames; those of a draft are enlarged to the size that was asked for.

    Raises:
        GenerationError: frames are missing.
    """
    request = video_of(plan)
    if len(frames) != request.frames:
        raise GenerationError(f"The engine drew {len(frames)} frames instead of {request.frames}.")
    images = tuple(_finished(picture(pixels), plan) for pixels in frames)
    width, height = images[0].size
    made = replace(request, width=width, height=height)
    return GeneratedVideo(
        frames=images,
        fps=request.fps or FAMILIES[plan.model.family].fps,
        request=made,
        model=plan.model.name,
        seed=request.seed or 0,
        seconds=seconds,
        recipe=recipe_of(made, plan),
    )


def video_of(plan: EnginePlan) -> VideoRequest:
    """The request of a plan for a video."""
    assert isinstance(plan.request, VideoRequest), "a plan for a video"  # noqa: S101
    return plan.request


def _covering(image: Image, size: Size) -> Pixels:
    """The picture scaled to cover a size, with its middle kept, as the engine takes it."""
    from PIL import ImageOps

    return pixels_of(ImageOps.fit(image, size))


def _finished(image: Image, plan: EnginePlan) -> Image:
    """A frame cut as the plan says, or enlarged."""
    from PIL.Image import Resampling

    if plan.canvas is not None:
        image = plan.canvas.finished(image, None, None)
    size = plan.upscale_to
    return image if size is None else image.resize(size, Resampling.LANCZOS)
