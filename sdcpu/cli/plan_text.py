"""A plan in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdcpu.figures import size_text
from sdcpu.measurements import format_duration
from sdcpu.videos import VideoRequest

if TYPE_CHECKING:
    from sdcpu.models import Model
    from sdcpu.plan import EnginePlan


def announcement(plan: EnginePlan, *, all_reasons: bool = False) -> list[str]:
    """Say in a few lines what is going to be done, what it needs, and what is unusual about it."""
    request = plan.request
    count = f"{request.count} pictures of " if request.count > 1 else ""
    lines = [
        f"{plan.model.name}: {count}{_picture_size(plan)}, {_steps(request.steps)}, "
        f"{_computer(plan)}, "
        f"{size_text(plan.memory_needed)} of {size_text(plan.memory_available)} memory, "
        f"{'time ' if plan.seconds_expected is None else ''}{_time(plan)}"
    ]
    if plan.download_size:
        size, licence = size_text(plan.download_size), _licences(plan)
        lines.append(f"to download first: {size} (licence: {licence})")
    shown = plan.reasons if all_reasons else plan.surprises
    return lines + [f"- {reason}" for reason in shown]


def plan_fields(plan: EnginePlan) -> list[tuple[str, str]]:
    """List everything a plan decides, for people."""
    request, memory = plan.request, plan.memory
    kernels = [
        "the engine's own" if plan.kernels == "off" else f"ours, {plan.kernels}",
        *(["flash attention"] if plan.flash_attention else []),
        *(["direct convolutions"] if plan.diffusion_conv_direct else []),
    ]
    what = "video" if isinstance(request, VideoRequest) else "picture"
    return [
        ("model", f"{plan.model.name}: {plan.model.summary}"),
        ("licence", licence_text(plan.model)),
        ("download", size_text(plan.download_size) if plan.download_size else "nothing"),
        (what, f"{_picture_size(plan)}, {_steps(request.steps)}"),
        ("sampling", f"{request.sampler}, {request.scheduler}, cfg {request.cfg_scale:g}"),
        ("engine", f"{plan.build.name} {plan.build.version}, {_computer(plan)}"),
        ("kernels", ", ".join(kernels)),
        *([("placement", plan.placement.label)] if plan.placement.label else []),
        ("decoder", plan.decoder + (f", in tiles of {plan.tile_size}" if plan.tile_size else "")),
        ("memory", f"{size_text(plan.memory_needed)} of {size_text(plan.memory_available)}"),
        (
            "",
            f"weights {size_text(memory.weights)}, drawing {size_text(memory.sample)}, "
            f"decoding {size_text(memory.decode)}"
            + (f", enlarging {size_text(memory.upscale)}" if memory.upscale else ""),
        ),
        *(
            [("", f"{size_text(memory.system.peak)} of main memory beside the card's")]
            if memory.system
            else []
        ),
        ("time", _time(plan)),
        *(("why", reason) for reason in plan.reasons),
    ]


def _licences(plan: EnginePlan) -> str:
    """The licences of what may have to be downloaded: the model's and the upscaler's."""
    licences = [] if plan.model.built_in else [licence_text(plan.model)]
    second = plan.second_pass and plan.second_pass.enlargement
    if made := plan.enlargement or second:
        licences.append(f"{made.license} for {made.upscaler}")
    return ", ".join(licences) or plan.model.license


def licence_text(model: Model) -> str:
    """Name the licence, and where it must be accepted before the hub hands the files out."""
    pages = dict.fromkeys(file.repository for file in model.files if file.gated)
    gates = " and ".join(f"https://huggingface.co/{page}" for page in pages)
    return f"{model.license}, to be accepted at {gates}" if gates else model.license


def _picture_size(plan: EnginePlan) -> str:
    request = plan.request
    size = f"{request.width}x{request.height}"
    passes = [made.size for made in (plan.enlargement, plan.second_pass) if made is not None]
    larger = passes[0] if passes else plan.upscale_to
    size = f"{size} enlarged to {larger[0]}x{larger[1]}" if larger else size
    if isinstance(request, VideoRequest) and request.frames and request.fps:
        seconds = request.frames / request.fps
        return f"{request.frames} frames of {size} ({seconds:.2g} s at {request.fps:g} a second)"
    return size


def _computer(plan: EnginePlan) -> str:
    """What computes: so many threads of the processor, or a card."""
    if plan.card is not None:
        return f"on the {plan.card.name}"
    return "1 thread" if plan.threads == 1 else f"{plan.threads} threads"


def _steps(steps: int | None) -> str:
    return "1 step" if steps == 1 else f"{steps} steps"


def _time(plan: EnginePlan) -> str:
    if plan.seconds_expected is None:
        return "not known yet"
    return format_duration(plan.seconds_expected)
