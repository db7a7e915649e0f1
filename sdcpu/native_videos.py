"""The native library's struct for videos: filled, and checked by the defaults it comes with.

Nothing here imports the binding; `sdcpu.engine` hands it in.
"""

from __future__ import annotations

from typing import Any

from sdcpu.errors import InvalidRequestError
from sdcpu.native import (
    another_library,
    check_request,
    check_size,
    fill,
    fill_sampling,
    image_of,
    initialised,
    lora_array,
)
from sdcpu.protocol import LoadSettings, VideoSettings
from sdcpu.sampling import SAMPLERS

_DEFAULTS: dict[str, float] = {
    "width": 512,
    "height": 512,
    "strength": 0.75,
    "seed": -1,
    "video_frames": 6,
    "moe_boundary": 0.875,
    "vace_strength": 1.0,
}
"""What sd_vid_gen_params_init() puts where (stable-diffusion.cpp); a struct for videos has no text
of its own to compare with."""


def video_parameters(native: Any, settings: VideoSettings) -> Any:
    """sd_vid_gen_params_t for a video; ModelFileError when a LoRA is not there."""
    picture = settings.picture
    loras = lora_array(native, picture.loras)
    parameters = initialised(native, "sd_vid_gen_params")
    fill(
        parameters,
        prompt=picture.prompt.encode(),
        negative_prompt=picture.negative_prompt.encode(),
        clip_skip=picture.clip_skip,
        width=picture.width,
        height=picture.height,
        strength=picture.strength,
        seed=picture.seed,
        video_frames=settings.frames,
        loras=loras,
        lora_count=len(loras),
        init_image=image_of(native, picture.init_image),
        end_image=image_of(native, settings.end_image),
        moe_boundary=settings.high_noise_until,
    )
    fill_sampling(parameters, picture)
    high_noise = parameters.high_noise_sample_params
    fill(
        high_noise,
        sample_steps=settings.high_noise_steps,
        sample_method=SAMPLERS.index(picture.sampler),
    )
    fill(high_noise.guidance, txt_cfg=settings.high_noise_cfg_scale)
    if settings.high_noise_steps > 0:  # the engine adds the two up
        fill(parameters.sample_params, sample_steps=picture.steps - settings.high_noise_steps)
    return parameters


def check_video_request(settings: VideoSettings, loaded: LoadSettings) -> None:
    """Refuse what the native code would answer with an assert or a fault.

    Raises:
        InvalidRequestError: what is asked for cannot be drawn with what is loaded.
    """
    check_request(settings.picture, loaded)
    if settings.frames < 1 or settings.frames % 4 != 1:
        raise InvalidRequestError(f"A video of {settings.frames} frames cannot be: 4n + 1 can.")
    end = settings.end_image
    if end is not None and end.channels != 3:
        raise InvalidRequestError("The engine takes pictures with three channels only.")
    if end is not None and loaded.decode_only:
        raise InvalidRequestError("The model was loaded without its encoder for pictures.")
    if settings.high_noise_steps >= settings.picture.steps:
        raise InvalidRequestError(
            f"{settings.high_noise_steps} of {settings.picture.steps} steps for strong noise leave "
            "none for the other model."
        )


def check_video_layout(native: Any) -> None:
    """Compare the binding's struct with what the library itself puts into one.

    Raises:
        BuildUnusableError: they differ.
    """
    check_size(native, "sd_vid_gen_params")
    struct = initialised(native, "sd_vid_gen_params")
    for field, value in _DEFAULTS.items():
        if getattr(struct, field) != value:
            raise another_library(f"sd_vid_gen_params_t.{field} is not in its place there")
    if struct.high_noise_sample_params.sample_steps != -1:
        raise another_library("sd_vid_gen_params_t has other parameters for strong noise there")
