"""What a model can make of a request for a video: which frames may be given, how many come out."""

from __future__ import annotations

from dataclasses import replace

from sdcpu.errors import InvalidRequestError
from sdcpu.families import FAMILIES, FileRole
from sdcpu.images import ImageRequest
from sdcpu.models import Model
from sdcpu.videos import MAX_FRAMES, VideoRequest

FRAMES_OF_A_LATENT = 4
"""Frames that one latent frame stands for (Wan's autoencoder); the first stands for one alone."""
DRAFT_FRAMES = 17


def check_kind(request: ImageRequest, model: Model) -> None:
    """Make sure that a model makes what a request wants, a picture or a video, from what it gives.

    Raises:
        InvalidRequestError: it does not, has no use for a frame that is given, or needs one.
    """
    if model.kind not in ("image", "video"):
        raise InvalidRequestError(
            f"{model.name} cannot draw: it is of the kind {model.kind.replace('_', ' ')!r}.",
            hint="sdcpu models lists the ones that draw.",
        )
    wants_video = isinstance(request, VideoRequest)
    if model.kind == "video" and not wants_video:
        raise InvalidRequestError(
            f"{model.name} makes videos, not pictures.",
            hint=f"sdcpu video PROMPT -m {model.name}; sdcpu models lists those for pictures.",
        )
    if isinstance(request, VideoRequest) and model.kind == "video":
        _check_frames_given(request, model)
    if model.kind == "image" and wants_video:
        raise InvalidRequestError(
            f"{model.name} makes pictures, not videos.",
            hint=f"sdcpu generate PROMPT -m {model.name}; sdcpu models --all lists all kinds.",
        )


def with_length(request: ImageRequest, model: Model) -> tuple[ImageRequest, tuple[str, ...]]:
    """A video's request with its frames and their speed; and in words what was changed.

    >>> from sdcpu.models import Model
    >>> wan = Model(name="wan", summary="", kind="video", family="wan21", files=())
    >>> request, reasons = with_length(VideoRequest(prompt="waves", frames=24), wan)
    >>> request.frames, request.fps, reasons
    (25, 16.0, ('25 frames instead of 24: Wan 2.1 makes 4 frames at a time, and one more.',))
    """
    if not isinstance(request, VideoRequest):
        return request, ()
    family = FAMILIES[model.family]
    fps = family.fps if request.fps is None else request.fps
    if request.frames is None:
        filled = replace(request, frames=family.frames, fps=fps)
        if request.quality != "draft" or family.frames <= DRAFT_FRAMES:
            return filled, ()
        draft = f"Quality draft: {DRAFT_FRAMES} frames instead of {family.frames}."
        return replace(filled, frames=DRAFT_FRAMES), (draft,)
    frames = min(MAX_FRAMES, round((request.frames - 1) / FRAMES_OF_A_LATENT) * 4 + 1)
    filled = replace(request, frames=frames, fps=fps)
    if frames == request.frames:
        return filled, ()
    what = "1 frame" if frames == 1 else f"{frames} frames"
    return filled, (
        f"{what} instead of {request.frames}: {family.title} makes {FRAMES_OF_A_LATENT} frames at "
        "a time, and one more.",
    )


def latent_frames(frames: int) -> int:
    """How many frames the latent of so many frames has.

    >>> latent_frames(1), latent_frames(33)
    (1, 9)
    """
    return (frames - 1) // FRAMES_OF_A_LATENT + 1


def frame_count(request: ImageRequest) -> int:
    """Frames that come out; 1 for a picture."""
    return request.frames or 1 if isinstance(request, VideoRequest) else 1


def _check_frames_given(request: VideoRequest, model: Model) -> None:
    """Make sure that a model has a use for the frames that are given, and those that it needs."""
    family = FAMILIES[model.family]
    if family.starts_from_picture and request.init_image is None:
        raise InvalidRequestError(
            f"{model.name} continues a picture; it needs one.",
            hint="Give the first frame: --init PICTURE.",
        )
    may_start = family.starts_from_picture or family.may_start_from_picture
    if request.init_image is not None and not may_start:
        raise InvalidRequestError(
            f"{model.name} makes videos from text alone, not from a picture.",
            hint="Leave the picture out, or take a model such as wan22-ti2v-5b.",
        )
    if request.end_image is not None and not family.may_end_with_picture:
        raise InvalidRequestError(
            f"{model.name} cannot be told the last frame.",
            hint="Leave it out, or take a model such as wan21-i2v-14b.",
        )
    two_models = any(file.role is FileRole.HIGH_NOISE_DIFFUSION_MODEL for file in model.files)
    if (
        request.high_noise_steps is not None or request.high_noise_cfg_scale is not None
    ) and not two_models:
        raise InvalidRequestError(
            f"{model.name} has one model for all noise, not two.",
            hint="Leave the high-noise options out.",
        )
