"""The decision how a picture is made, with reasons: a pure function of facts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sdcpu.buffers import Decoder
from sdcpu.builds import Build
from sdcpu.canvas import Canvas, Size
from sdcpu.demo import unknown_words_note
from sdcpu.enlargement import Enlargement, plan_enlargement
from sdcpu.figures import size_text
from sdcpu.fitting import Fitting, Room, Scene, find_room, find_room_on
from sdcpu.gpus import Gpu
from sdcpu.hardware import Hardware
from sdcpu.images import ImageRequest
from sdcpu.kernels import (
    AUTOMATIC,
    MEASURED,
    OFF,
    KernelChoice,
    choose_kernels,
    usable_kernels,
)
from sdcpu.measurements import Conditions, Measurements, format_duration
from sdcpu.memory import MemoryEstimate, main_tensor_type
from sdcpu.placement import ON_CARD, Placement
from sdcpu.quality import FilledRequest, fill_request
from sdcpu.registry import FileRole, Model, ModelFile
from sdcpu.sampling import TWO_PASS_SAMPLERS
from sdcpu.second_pass import SecondPass, find_ways, first_request
from sdcpu.tuning import Tuning
from sdcpu.video_rules import check_kind, frame_count, with_length
from sdcpu.videos import VideoRequest
from sdcpu.weights import WeightsHeader

_PREVIEW_REASONS = {
    "tae": "Previews are decoded by the tiny decoder, which takes a little time at every step.",
    "proj": "Previews are rough: latents seen as colours, which costs no time.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class EnginePlan:
    """How a picture will be made."""

    model: Model
    build: Build
    card: Gpu | None = None
    """What computes, where it is not the processor."""
    placement: Placement = ON_CARD
    """What is not on that card all the time; `memory.system` has the bytes of main memory."""
    request: ImageRequest
    """Every open value is filled in; the size is what the engine draws."""
    threads: int
    kernels: str
    """Our kernels that compute for the engine, a name of `sdcpu.kernels.CHOICES`; or "off"."""
    flash_attention: bool
    """Attention without the matrix of scores in memory."""
    diffusion_conv_direct: bool
    """Convolutions of the diffusion model without im2col."""
    vae_conv_direct: bool
    """Convolutions of the decoder without im2col."""
    decoder: Decoder
    tile_size: int
    """Decode in tiles of this many latent pixels; 0: in one piece."""
    second_pass: SecondPass | None = None
    """How the picture is drawn again, larger; None: it is not."""
    enlargement: Enlargement | None = None
    """How an upscaler makes the finished picture larger; None: it does not."""
    upscale_to: tuple[int, int] | None
    """Enlarge the drawn picture to this width and height; None: leave it."""
    canvas: Canvas | None = None
    """Where the picture lies that the request brought along; None: it brought none."""
    files: tuple[ModelFile, ...]
    """The model's files, in the order in which they are downloaded."""
    download_size: int
    """Bytes to download first; files of unknown size are not counted."""
    memory: MemoryEstimate
    memory_needed: int
    """Bytes at the predicted peak, both processes together."""
    memory_available: int
    """Bytes that may be used; the needed ones fit with a margin (`sdcpu.fitting.SAFETY_MARGIN`)."""
    seconds_expected: float | None
    """For the whole request, loading included; None until something like it was measured here."""
    times_measured: int = 0
    """How often just this was measured; 0 where the seconds were scaled from something like it."""
    stage_seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Seconds expected of each stage, as far as known."""
    conditions: Conditions
    """What decides the time; measured seconds are recorded under it."""
    surprises: tuple[str, ...]
    """The reasons that a person should hear beforehand: what is not as asked for, or as usual."""
    reasons: tuple[str, ...]
    """Why it is done so, plain sentences; what changes the picture or the time comes first."""


def make_plan(
    model: Model,
    request: ImageRequest,
    hardware: Hardware,
    build: Build,
    *,
    headers: Mapping[ModelFile, WeightsHeader],
    measurements: Measurements,
    threads: int | None = None,
    memory_limit: int | None = None,
    memory_held: int = 0,
    accel: str = "auto",
    kernels_built: bool = False,
    tuning: Tuning | None = None,
    missing_files: Collection[ModelFile] = (),
    card: Gpu | None = None,
    start: Size | None = None,
    upscaler: Model | None = None,
) -> EnginePlan:
    """Decide how to make the picture that a request asks for.

    Args:
        model: What draws it.
        request: What is wanted; what it leaves open is filled in.
        hardware: The machine.
        build: The engine.
        headers: Headers of the model's files that are here; others count with their size.
        measurements: What this machine measured before.
        threads: Threads to use; None: as many as suit the machine.
        memory_limit: Bytes that both processes may use together; None: what is free.
        memory_held: Bytes that our engine's process has already and will use again.
        accel: Kernels of our own, a name of `sdcpu.kernels.CHOICES`.
        kernels_built: Whether the native library that holds them is there.
        tuning: What was measured to be the fastest on this machine.
        missing_files: Files that must be downloaded first.
        card: What a build for cards computes on; None for a build for the processor.
        upscaler: What makes the finished picture larger, where the request asks for it; its header
            is among the headers.
        start: Width and height of the picture that the request starts from, or follows.

    Raises:
        InvalidRequestError: the model cannot do what is asked for.
        NotEnoughMemoryError: it fits in no way; the message has the figures, the hint a way out.
    """
    check_kind(request, model)
    request, length_reasons = with_length(request, model)
    filled = fill_request(first_request(request, model), model, start=start)
    room = find_room(hardware, memory_limit, memory_held)
    if card is not None:
        room = find_room_on(card, room)
    if card is not None and accel not in usable_kernels(hardware.cpu_features, built=kernels_built):
        accel = OFF if accel == OFF else AUTOMATIC  # they would compute a part of the model at most
    kernels = choose_kernels(
        accel,
        hardware.cpu_features,
        built=kernels_built,
        measured=tuning.kernels if tuning else None,
    )
    thread_count, thread_reason = choose_threads(hardware, threads, tuning)
    scene = Scene(
        model=model,
        headers=headers,
        kernel_threads=0 if kernels.name == OFF else thread_count,
        conv_direct=tuning is not None and tuning.kernels == OFF and tuning.diffusion_conv_direct,
        card=card,
    )
    size = _finished_size(filled)
    fitting, second, second_reasons = find_ways(
        scene, filled.request, size, may_fall_back=request.decoder == "auto", room=room
    )
    way, memory = fitting.way, fitting.memory
    if card is not None:
        reason = f"The {card.name} computes ({build.name})."
        alone = KernelChoice(name=OFF, reason=reason)
        kernels = replace(kernels, reason=reason) if way.placement.uses_processor else alone
    drawn = replace(filled.request, decoder=way.decoder)
    if drawn.preview == "auto":
        drawn = replace(drawn, preview="tae" if way.tiny_preview else "proj")
    second, enlargement = _with_upscaler(
        upscaler, headers, second, size, upscale=drawn.upscale, memory=memory, room=room
    )
    if second is not None:
        drawn = second.noted_in(drawn)
    made = [part for part in (second and second.enlargement, enlargement) if part]
    memory = replace(memory, upscale=max((part.memory for part in made), default=0))
    computer = hardware.cpu_name if card is None else card.name
    machine = f"{computer} | {build.name} {build.version} {kernels.name}"
    if way.placement != ON_CARD:
        machine += f" {way.placement.label}"
    conditions = replace(
        _conditions(machine, thread_count, scene, drawn, fitting), **_work_afterwards(second, made)
    )
    seconds = measurements.estimate(conditions)
    surprises = (*length_reasons, *filled.reasons, *second_reasons)
    surprises += (*(part.reason for part in made), *fitting.reasons)
    reasons = [*surprises, *([thread_reason] if card is None else []), kernels.reason]
    reasons += _memory_reasons(memory, room, way.placement)
    if drawn.preview in _PREVIEW_REASONS:
        reasons.append(_PREVIEW_REASONS[drawn.preview])
    if seconds is not None:
        reasons.append(
            f"{format_duration(seconds).capitalize()}, from what this machine measured before."
        )
    return EnginePlan(
        model=model,
        build=build,
        card=card,
        placement=way.placement,
        request=drawn,
        threads=thread_count,
        kernels=kernels.name,
        flash_attention=way.flash_attention,
        diffusion_conv_direct=way.diffusion_conv_direct,
        vae_conv_direct=way.vae_conv_direct,
        decoder=way.decoder,
        tile_size=way.tile_size,
        second_pass=second,
        enlargement=enlargement,
        upscale_to=filled.upscale_to,
        canvas=filled.canvas,
        files=model.files,
        download_size=sum(file.size or 0 for file in missing_files if not file.built_in),
        memory=memory,
        memory_needed=memory.peak,
        memory_available=room.size,
        seconds_expected=seconds,
        times_measured=measurements.times(conditions),
        stage_seconds=measurements.stages(conditions),
        conditions=conditions,
        surprises=surprises,
        reasons=tuple(reasons),
    )


def _memory_reasons(memory: MemoryEstimate, room: Room, placement: Placement) -> Iterator[str]:
    peak = f"At its peak it takes {size_text(memory.peak)} of {size_text(room.size)} {room.name}"
    if placement.offloaded:
        yield f"{peak}, a part of the model at a time."
    else:
        weights = size_text(memory.weights)
        yield f"{peak}: {weights} for the model, the rest to compute with."
    if memory.system and room.system:
        beside, there = size_text(memory.system.peak), size_text(room.system.size)
        yield f"Beside that it takes {beside} of {there} {room.system.name}."


def with_reason(plan: EnginePlan, reason: str) -> EnginePlan:
    """The plan with one more reason, which a person should hear beforehand."""
    return replace(plan, surprises=(reason, *plan.surprises), reasons=(reason, *plan.reasons))


def words_note(plan: EnginePlan) -> str:
    """Say which words of the prompt the model that ships with sdcpu does not know; "" for none."""
    words = f"{plan.request.prompt} {plan.request.negative_prompt}"
    for embedding in plan.request.embeddings:
        words = words.replace(Path(embedding).stem, "")
    return unknown_words_note(plan.model.name, words) if plan.model.files[0].built_in else ""


def choose_threads(
    hardware: Hardware, asked: int | None, tuning: Tuning | None = None
) -> tuple[int, str]:
    """How many threads to use, and why: one for each core that this process may use.

    A second thread on a core, or one on a slow core of a hybrid processor, would hold the others
    up: every operation of the engine waits for its last thread. What was measured knows better.

    >>> from sdcpu.hardware import detect_hardware
    >>> choose_threads(detect_hardware(), 3)
    (3, '3 threads, as asked for.')
    """
    if asked is not None:
        return asked, f"{_threads_text(asked)}, as asked for."
    if tuning is not None:
        return tuning.threads, f"{_threads_text(tuning.threads)}: {MEASURED}."
    cores = hardware.usable_cores
    count, reason = (
        cores,
        (f"this process may use {cores} of {hardware.physical_cores} physical cores."),
    )
    fast = hardware.usable_performance_cores
    if fast and fast < cores:
        count, reason = (
            fast,
            (f"one for each performance core; the {cores - fast} slower ones would hold them up."),
        )
    if hardware.cpu_quota is not None and hardware.cpu_quota < count:
        count = max(1, math.floor(hardware.cpu_quota))
        reason = f"the container may use {hardware.cpu_quota:g} CPUs' worth of time."
    return count, f"{_threads_text(count)}: {reason}"


def _finished_size(filled: FilledRequest) -> Size:
    """Width and height of the picture before an upscaler gets it."""
    if filled.canvas is not None:
        return filled.canvas.result_size
    return filled.upscale_to or (filled.request.width or 0, filled.request.height or 0)


def _threads_text(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _conditions(
    machine: str,
    threads: int,
    scene: Scene,
    request: ImageRequest,
    fitting: Fitting,
) -> Conditions:
    way = fitting.way
    return Conditions(
        machine=machine,
        threads=threads,
        family=scene.model.family,
        tensor_type=main_tensor_type(scene.headers),
        weights=fitting.memory.weights,
        width=request.width or way.width,
        height=request.height or way.height,
        passes=_passes(request),
        count=request.count,
        loras=sum(file.role is FileRole.LORA for file in scene.model.files),
        control=way.control,
        cache=request.cache,
        references=way.references,
        flash_attention=way.flash_attention,
        diffusion_conv_direct=way.diffusion_conv_direct,
        vae_conv_direct=way.vae_conv_direct,
        decoder=way.decoder,
        tile_size=way.tile_size,
        tiny_preview=way.tiny_preview,
        frames=frame_count(request),
    )


def _with_upscaler(
    upscaler: Model | None,
    headers: Mapping[ModelFile, WeightsHeader],
    second: SecondPass | None,
    size: Size,
    *,
    upscale: int | None,
    memory: MemoryEstimate,
    room: Room,
) -> tuple[SecondPass | None, Enlargement | None]:
    """Let the upscaler do its part: before the second pass, after everything, or both."""
    if upscaler is None:
        return second, None
    by_upscaler = partial(
        plan_enlargement,
        upscaler,
        headers.get(upscaler.files[0]),
        held=memory.process + memory.weights,
        room=room,
    )
    if second is not None and not second.alone:
        second = replace(second, enlargement=by_upscaler(size, second.scale_from(size)))
    if upscale is None:
        return second, None
    return second, by_upscaler(second.size if second else size, upscale)


def _work_afterwards(second: SecondPass | None, made: Sequence[Enlargement]) -> dict[str, Any]:
    """What the seconds of making a picture larger depend on, as fields of `Conditions`."""
    if second is None and not made:
        return {}
    names = [part.upscaler for part in made]
    pixels = sum(part.pixels for part in made)
    if second is None:
        return {"upscaler": " ".join(names), "upscaled_pixels": pixels}
    work = {"upscaler": " ".join([*names, second.work]), "upscaled_pixels": pixels + second.pixels}
    return work | ({"passes": 0} if second.alone else {})


def _passes(request: ImageRequest) -> int:
    """How often the diffusion model is asked for one picture."""
    steps = request.steps or 1
    draws_over = request.init_image is not None and not isinstance(request, VideoRequest)
    if draws_over:  # `t_enc` in the engine's stable-diffusion.cpp
        steps = min(steps, int(steps * (request.strength or 0)) + 1)
    guided = 1 if request.cfg_scale == 1 else 2
    return steps * guided * (2 if request.sampler in TWO_PASS_SAMPLERS else 1)
