"""Our REST: what can be asked for on this server, and how it would be made."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Body

from sdcpu import __version__
from sdcpu.adapters import Adapters
from sdcpu.catalog import Catalog
from sdcpu.families import FAMILIES
from sdcpu.gpus import detect_gpus
from sdcpu.hardware import detect_hardware
from sdcpu.job_queue import JobKind
from sdcpu.models import Model
from sdcpu.sampling import SAMPLER_USES, SCHEDULER_USES
from sdcpu.server.answers import JsonAnswer
from sdcpu.server.job_routes import ERRORS
from sdcpu.server.parts import Limits, Queue
from sdcpu.server.schemas import About, Addition, Named, Order
from sdcpu.server.schemas import Model as ModelSchema
from sdcpu.styles import load_styles

router = APIRouter(prefix="/api/v1", tags=["what there is"], responses=ERRORS)
_DEFAULTS = ("width", "height", "steps", "cfg_scale", "guidance", "sampler", "scheduler")
_LIMITS = ("most_waiting", "most_pixels", "most_pictures", "most_steps", "most_frames")
_UPLOAD_LIMITS = ("most_upload_bytes", "most_upload_pixels")


@router.get("/about", response_model=About, operation_id="about")
def about(queue: Queue, limits: Limits) -> JsonAnswer:
    """The server, its machine and its limits."""
    hardware = detect_hardware()
    return JsonAnswer(
        {
            "version": __version__,
            "default_model": queue.settings.default_model,
            "downloads_allowed": queue.allow_downloads,
            "limits": {name: getattr(queue.limits, name) for name in _LIMITS}
            | {name: getattr(limits, name) for name in _UPLOAD_LIMITS},
            "machine": {
                "processor": hardware.cpu_name,
                "cores": hardware.usable_cores,
                "memory": hardware.memory_total,
                "memory_available": hardware.memory_available,
                "cards": list(_cards()),
            },
            "statistics": queue.statistics(),
        }
    )


@router.get("/models", response_model=list[ModelSchema], operation_id="models")
def models(queue: Queue) -> JsonAnswer:
    """The models that draw pictures or make videos."""
    catalog = Catalog(queue.settings)
    known = catalog.registry.models.values()
    drawing = [model for model in known if model.kind in ("image", "video")]
    return JsonAnswer([_addition(model, catalog) | _model(model) for model in drawing])


@router.get("/loras", response_model=list[Addition], operation_id="loras")
def loras(queue: Queue) -> JsonAnswer:
    """The LoRAs that a request can name: known ones, and those in the server's folder."""
    catalog = Catalog(queue.settings)
    known = Adapters(catalog, queue.settings).known_loras()
    return JsonAnswer([_addition(lora, catalog) for lora in known])


@router.get("/upscalers", response_model=list[Addition], operation_id="upscalers")
def upscalers(queue: Queue) -> JsonAnswer:
    """The upscalers that a request can name."""
    catalog = Catalog(queue.settings)
    known = catalog.registry.models.values()
    return JsonAnswer([_addition(each, catalog) for each in known if each.kind == "upscaler"])


@router.get("/styles", response_model=list[Named], operation_id="styles")
def styles(queue: Queue) -> JsonAnswer:
    """Words that can be put around a prompt, by their names."""
    known = load_styles(queue.settings.styles_file).values()
    return JsonAnswer([{"name": style.name, "summary": style.summary} for style in known])


@router.get("/samplers", response_model=list[Named], operation_id="samplers")
def samplers() -> JsonAnswer:
    """How steps are made."""
    return JsonAnswer([{"name": name, "summary": use} for name, use in SAMPLER_USES.items()])


@router.get("/schedulers", response_model=list[Named], operation_id="schedulers")
def schedulers() -> JsonAnswer:
    """How steps are spaced."""
    return JsonAnswer([{"name": name, "summary": use} for name, use in SCHEDULER_USES.items()])


@router.post("/plan", response_model=dict[str, Any], operation_id="plan")
def plan(queue: Queue, order: Annotated[Order, Body()]) -> JsonAnswer:
    """How a job would be made: what is downloaded first, seconds, memory, and why.

    Nothing is downloaded or drawn for it.
    """
    request = order.request.model_dump(mode="json", exclude_unset=True)
    return JsonAnswer(queue.plan(request, order.model, JobKind(order.kind)))


@cache
def _cards() -> tuple[str, ...]:
    """Names of the graphics cards, each once, whichever drivers see it; they do not change."""
    found = (gpu.name for driver in detect_gpus() for gpu in driver.devices if gpu.is_card)
    return tuple(dict.fromkeys(found))


def _addition(model: Model, catalog: Catalog) -> dict[str, Any]:
    return {
        "name": model.name,
        "summary": model.summary,
        "family": model.family,
        "license": model.license,
        "size": model.download_size,
        "here": catalog.is_here(model),
    }


def _model(model: Model) -> dict[str, Any]:
    family = FAMILIES.get(model.family)
    defaults = asdict(model.defaults)
    return {
        "kind": model.kind,
        "gated": model.gated,
        "recommended": model.recommended_rank is not None,
        "edits": bool(family and family.edits),
        "needs_picture": bool(family and family.starts_from_picture),
        "needs_mask": bool(family and family.needs_mask),
        "size_multiple": family.size_multiple if family else 64,
        "defaults": {name: defaults[name] for name in _DEFAULTS},
    }
