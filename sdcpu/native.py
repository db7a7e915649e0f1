"""The native library's structs and functions: filled, called and checked by name.

Nothing here imports the binding; `sdcpu.engine` hands it in.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sdcpu.errors import BuildUnusableError, InvalidRequestError, ModelFileError, ModelLoadError
from sdcpu.protocol import GenerateSettings, LoadSettings, LoraFile, Pixels
from sdcpu.sampling import PREDICTIONS, SAMPLERS, SCHEDULERS

PREVIEWS = ("none", "proj", "tae")
"""In the engine's order (enum preview_t)."""

_PATH_FIELDS = {
    "model": "model_path",
    "diffusion_model": "diffusion_model_path",
    "high_noise_diffusion_model": "high_noise_diffusion_model_path",
    "clip_l": "clip_l_path",
    "clip_g": "clip_g_path",
    "clip_vision": "clip_vision_path",
    "t5xxl": "t5xxl_path",
    "llm": "llm_path",
    "llm_vision": "llm_vision_path",
    "vae": "vae_path",
    "tiny_decoder": "taesd_path",
    "control_net": "control_net_path",
}
"""Where sd_ctx_params_t wants the file of each role."""

_CPU_RNG = 2
"""enum rng_type_t: the noise that torch draws on a CPU for the same seed."""
_LORA_AT_RUNTIME = 2
"""enum lora_apply_mode_t: leaves the weights alone, so that later pictures are not changed by
the rounding when a LoRA was merged in and taken out again."""
_CARDS = (1, 2)
"""enum ggml_backend_dev_type: cards with memory of their own, and with the processor's."""
_CACHE_MODES = {"off": 0, "easycache": 1, "ucache": 2, "spectrum": 6}
"""enum sd_cache_mode_t."""
_PROMPT_WEIGHT = re.compile(r":([+-]?[.\d]+)\)")
"""A weight as the engine finds it (re_attention in its util.cpp); it is read with std::stof."""


def context_parameters(native: Any, settings: LoadSettings) -> Any:
    """sd_ctx_params_t for a model; ModelFileError when a file of it is not there."""
    parameters = initialised(native, "sd_ctx_params")
    for role, file in settings.files.items():
        if role not in _PATH_FIELDS:
            raise ModelLoadError(f"The engine takes no file in the role {role!r}.")
        fill(parameters, **{_PATH_FIELDS[role]: existing_file(file)})
    embeddings = (native.sd_embedding_t * len(settings.embeddings))()
    for embedding, (name, file) in zip(embeddings, settings.embeddings.items(), strict=True):
        fill(embedding, name=name.encode(), path=existing_file(file))
    fill(
        parameters,
        embeddings=embeddings,
        embedding_count=len(embeddings),
        n_threads=settings.threads,
        rng_type=_CPU_RNG,
        sampler_rng_type=_CPU_RNG,
        lora_apply_mode=_LORA_AT_RUNTIME,
        free_params_immediately=False,
        vae_decode_only=settings.decode_only,
        diffusion_flash_attn=settings.flash_attention,
        diffusion_conv_direct=settings.diffusion_conv_direct,
        vae_conv_direct=settings.vae_conv_direct,
        tae_preview_only=settings.tiny_decoder_for_preview_only,
        circular_x=settings.seamless_horizontally,
        circular_y=settings.seamless_vertically,
        keep_clip_on_cpu=settings.placement.text_on_processor,
        keep_vae_on_cpu=settings.placement.decoder_on_processor,
        offload_params_to_cpu=settings.placement.offloaded,
        # The engine's docs/chroma.md; it says that flash attention and the mask do not agree.
        chroma_use_dit_mask=False,
    )
    if settings.prediction is not None:
        fill(parameters, prediction=PREDICTIONS.index(settings.prediction))
    return parameters


def image_parameters(native: Any, settings: GenerateSettings, seed: int) -> Any:
    """sd_img_gen_params_t for one picture; ModelFileError when a LoRA is not there."""
    loras = lora_array(native, settings.loras)
    references = (native.sd_image_t * len(settings.ref_images))()
    for index, pixels in enumerate(settings.ref_images):
        references[index] = image_of(native, pixels)
    parameters = initialised(native, "sd_img_gen_params")
    fill(
        parameters,
        prompt=settings.prompt.encode(),
        negative_prompt=settings.negative_prompt.encode(),
        clip_skip=settings.clip_skip,
        width=settings.width,
        height=settings.height,
        strength=settings.strength,
        seed=seed,
        batch_count=1,
        loras=loras,
        lora_count=len(loras),
        ref_images=references,
        ref_images_count=len(references),
        auto_resize_ref_image=True,
        init_image=image_of(native, settings.init_image),
        mask_image=image_of(native, settings.mask_image),
        control_image=_control(native, settings),
        control_strength=settings.control_strength,
    )
    fill_sampling(parameters, settings)
    return parameters


def lora_array(native: Any, loras: Sequence[LoraFile]) -> Any:
    """sd_lora_t for each LoRA; ModelFileError when one is not there."""
    array = (native.sd_lora_t * len(loras))()
    for lora, wanted in zip(array, loras, strict=True):
        fill(lora, multiplier=wanted.weight, path=existing_file(wanted.path))
    return array


def fill_sampling(parameters: Any, settings: GenerateSettings) -> None:
    """Fill what parameters of pictures and of videos have in common: steps, cache, tiles."""
    sampling = parameters.sample_params
    fill(
        sampling,
        sample_steps=settings.steps,
        sample_method=SAMPLERS.index(settings.sampler),
        scheduler=SCHEDULERS.index(settings.scheduler),
    )
    if settings.flow_shift is not None:
        fill(sampling, flow_shift=settings.flow_shift)
    if settings.eta is not None:
        fill(sampling, eta=settings.eta)
    if settings.sigmas:
        count = len(settings.sigmas)
        sigmas = (ctypes.c_float * count)(*settings.sigmas)
        fill(sampling, custom_sigmas=sigmas, custom_sigmas_count=count)
    fill(parameters.cache, mode=_CACHE_MODES[settings.cache])
    fill(sampling.guidance, txt_cfg=settings.cfg_scale, distilled_guidance=settings.guidance)
    if settings.tile_size:
        size = settings.tile_size
        fill(parameters.vae_tiling_params, enabled=True, tile_size_x=size, tile_size_y=size)


def check_request(settings: GenerateSettings, loaded: LoadSettings) -> None:
    """Refuse what the native code would answer with an assert or a fault.

    Raises:
        InvalidRequestError: what is asked for cannot be drawn with what is loaded.
    """
    for prompt in (settings.prompt, settings.negative_prompt):
        _check_weights(prompt)
    pictures = (settings.init_image, settings.control_image, *settings.ref_images)
    if any(picture is not None and picture.channels != 3 for picture in pictures):
        raise InvalidRequestError("The engine takes pictures with three channels only.")
    if settings.mask_image is not None and settings.mask_image.channels != 1:
        raise InvalidRequestError("The engine takes a mask with one channel only.")
    if settings.control_canny and settings.control_image is None:
        raise InvalidRequestError("There is no control picture to find edges in.")
    if loaded.decode_only and (settings.init_image is not None or settings.ref_images):
        raise InvalidRequestError("The model was loaded without its encoder for pictures.")
    for name, value, choices in (
        ("sampler", settings.sampler, SAMPLERS),
        ("scheduler", settings.scheduler, SCHEDULERS),
        ("preview", settings.preview, PREVIEWS),
    ):
        if value not in choices:
            raise InvalidRequestError(f"There is no {name} {value!r}.")
    if settings.scheduler == "gits" and settings.steps < 2:
        # GITSScheduler of denoiser.hpp reads in front of its table.
        raise InvalidRequestError("The scheduler gits needs two steps or more.")


def check_layout(native: Any) -> None:
    """Compare the binding's structs and names with what the library itself says.

    A library of another version would read our settings from the wrong places, without a word.

    Raises:
        BuildUnusableError: they differ.
    """
    paths: dict[str, object] = {field: field.encode() for field in _PATH_FIELDS.values()}
    numbers = {"n_threads": 11, "chroma_t5_mask_pad": 12}
    switches = {"vae_decode_only": False, "diffusion_flash_attn": True, "circular_y": True}
    switches |= {"keep_clip_on_cpu": True, "keep_vae_on_cpu": True, "offload_params_to_cpu": True}
    _check_struct(native, "sd_ctx_params", **paths, **numbers, **switches)
    texts: dict[str, object] = {"prompt": b"yes", "negative_prompt": b"no"}
    numbers = {"clip_skip": 11, "width": 12, "height": 13, "seed": 2**40, "batch_count": 14}
    numbers |= {"ref_images_count": 15}
    strengths = {"strength": 0.25, "control_strength": 0.75}
    switches = {"auto_resize_ref_image": True, "increase_ref_index": False}
    _check_struct(native, "sd_img_gen_params", **texts, **numbers, **strengths, **switches)
    for function, names in (("str_to_sample_method", SAMPLERS), ("str_to_scheduler", SCHEDULERS)):
        index_of = function_of(native, function, ctypes.c_int, ctypes.c_char_p)
        for index, name in enumerate(names):
            if index_of(name.encode()) != index:
                raise another_library(f"{name!r} is not in its place there")


def compute_devices(native: Any) -> tuple[str, ...]:
    """Name the cards that the library can compute on; none where it does not export this.

    A build for cards that finds none computes on the processor without a word.
    """
    try:
        count = function_of(native, "ggml_backend_dev_count", ctypes.c_size_t)
        device = function_of(native, "ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
        kind = function_of(native, "ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
        text = function_of(native, "ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
    except BuildUnusableError:  # libraries for Windows export the engine's own functions only
        return ()
    devices = [device(index) for index in range(count())]
    return tuple(
        text(pointer).decode(errors="replace") for pointer in devices if kind(pointer) in _CARDS
    )


def function_of(native: Any, name: str, result: Any, *arguments: Any) -> Any:
    """A function that the library exports and the binding leaves out."""
    try:
        function = getattr(native._lib, name)
    except AttributeError as error:
        raise another_library(f"there is no function {name}") from error
    function.restype, function.argtypes = result, arguments
    return function


def libc_free() -> Callable[[Any], None]:
    """free() of the C library that the engine's malloc() came from."""
    library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    return library.free


def fill(struct: Any, **values: object) -> None:
    """Set fields of a struct; ctypes itself would take a misspelt name without a word."""
    known = {field[0] for field in struct._fields_}
    for name, value in values.items():
        if name not in known:
            raise AttributeError(f"{type(struct).__name__} has no field {name!r}")
        setattr(struct, name, value)


def copy_pixels(image: Any) -> Pixels:
    """A copy of the pixels behind an sd_image_t, which stays whoever's it is."""
    width, height, channels = image.width, image.height, image.channel
    data = ctypes.string_at(image.data, width * height * channels)
    return Pixels(width=width, height=height, channels=channels, data=data)


def existing_file(path: str) -> bytes:
    """The path as the engine takes it; ModelFileError when there is no such file."""
    if not Path(path).is_file():
        raise ModelFileError(f"{path} is not there or not a file.")
    return os.fsencode(path)


def initialised(native: Any, name: str) -> Any:
    """A struct with the engine's own defaults in it."""
    struct = getattr(native, f"{name}_t")()
    function_of(native, f"{name}_init", None, ctypes.c_void_p)(ctypes.byref(struct))
    return struct


def check_size(native: Any, name: str) -> None:
    """Compare the size of a struct with what its init function writes; BuildUnusableError."""
    here = ctypes.sizeof(getattr(native, f"{name}_t"))
    untouched = b"\xa5"
    memory = ctypes.create_string_buffer(untouched * (2 * here), 2 * here)
    function_of(native, f"{name}_init", None, ctypes.c_void_p)(memory)
    there = len(memory.raw.rstrip(untouched))
    if there != here:
        raise another_library(f"{name}_t has {there} bytes there and {here} here")


def _check_struct(native: Any, name: str, **values: object) -> None:
    """Compare a struct's size, and the values that we put into it with those that are read."""
    check_size(native, name)
    struct = initialised(native, name)
    fill(struct, **values)
    text = function_of(native, f"{name}_to_str", ctypes.c_void_p, ctypes.c_void_p)(
        ctypes.byref(struct)
    )
    try:
        lines = ctypes.string_at(text).decode().splitlines()
    finally:
        libc_free()(text)
    for field, value in values.items():
        said = value.decode() if isinstance(value, bytes) else str(value)
        if f"{field}: {said.lower()}" not in lines:
            raise another_library(f"{name}_t.{field} is not in its place there")


def image_of(native: Any, pixels: Pixels | None) -> Any:
    """A struct around a copy of the pixels, which lives as long as the struct."""
    image = native.sd_image_t()
    if pixels is not None:
        data = (ctypes.c_uint8 * len(pixels.data)).from_buffer_copy(pixels.data)
        fill(
            image,
            width=pixels.width,
            height=pixels.height,
            channel=pixels.channels,
            data=ctypes.cast(data, ctypes.POINTER(ctypes.c_uint8)),
        )
    return image


def _control(native: Any, settings: GenerateSettings) -> Any:
    """The control picture, or the edges in it: white lines on black, as ControlNets learn them."""
    image = image_of(native, settings.control_image)
    if settings.control_canny:
        high, low, weak, strong, dark_lines = 0.08, 0.08, 0.8, 1.0, False  # as sd-cli does
        native.preprocess_canny(image, high, low, weak, strong, dark_lines)
    return image


def _check_weights(prompt: str) -> None:
    """Refuse a weight such as (cat:.) that std::stof cannot read: it would end the process."""
    for match in _PROMPT_WEIGHT.finditer(prompt, prompt.find("(") + 1 or len(prompt)):
        number = re.match(r"[+-]?(\d+\.?\d*|\.\d+)", match[1])
        size = abs(float(number[0])) if number else None
        smallest, largest = 1.2e-38, 3.4e38  # what a C float holds at full precision
        if size is None or (size != 0 and not smallest <= size <= largest):
            raise InvalidRequestError(
                f"The prompt's weight {match[0]!r} is not a number.",
                hint="Write a weight like (cat:1.2), or put a space before the bracket.",
            )


def another_library(difference: str) -> BuildUnusableError:
    """The error for a library that differs from what the binding describes."""
    return BuildUnusableError(
        f"The engine's library is not the one that its binding was made for: {difference}.",
        hint="Unset STABLE_DIFFUSION_CPP_LIB, or build the library from the binding's source.",
    )
