"""AUTOMATIC1111's API: what there is, what is set, and how far the work is."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request

from sdcpu.adapters import Adapters
from sdcpu.catalog import Catalog
from sdcpu.hardware import detect_hardware
from sdcpu.job_queue import JobQueue, JobState
from sdcpu.registry import Model
from sdcpu.server.answers import JsonAnswer
from sdcpu.server.job_routes import ERRORS
from sdcpu.server.parts import Queue
from sdcpu.server.schemas import WebuiErrorAnswer
from sdcpu.server.webui_names import SAMPLER_NAMES, SCHEDULER_NAMES
from sdcpu.server.webui_requests import Options
from sdcpu.styles import load_styles

TAG = "AUTOMATIC1111's API"
WEBUI_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": WebuiErrorAnswer, "description": str(told["description"])}
    for status, told in ERRORS.items()
}
router = APIRouter(prefix="/sdapi/v1", tags=[TAG], responses=WEBUI_ERRORS)
control_net_router = APIRouter(prefix="/controlnet", tags=[TAG], responses=ERRORS)
CONTROL_NET_VERSION = 2
"""The version of the extension whose answers these are."""


@router.get("/sd-models", operation_id="webui_models")
def sd_models(queue: Queue) -> JsonAnswer:
    """The models that draw: those that are here, or may be downloaded."""
    return JsonAnswer([_model(model) for model in _models(queue)])


@router.get("/samplers", operation_id="webui_samplers")
def samplers() -> JsonAnswer:
    """How steps are made."""
    return JsonAnswer(
        [
            {"name": theirs, "aliases": [ours], "options": {}}
            for ours, theirs in SAMPLER_NAMES.items()
        ]
    )


@router.get("/schedulers", operation_id="webui_schedulers")
def schedulers() -> JsonAnswer:
    """How steps are spaced."""
    automatic = {"name": "automatic", "label": "Automatic", "aliases": None}
    named = [
        {"name": ours, "label": theirs, "aliases": None} for ours, theirs in SCHEDULER_NAMES.items()
    ]
    common = {"default_rho": -1.0, "need_inner_model": False}
    return JsonAnswer([each | common for each in (automatic, *named)])


@router.get("/loras", operation_id="webui_loras")
def loras(queue: Queue) -> JsonAnswer:
    """The LoRAs that a prompt can name as <lora:name:1>."""
    known = Adapters(Catalog(queue.settings), queue.settings).known_loras()
    return JsonAnswer(
        [
            {"name": lora.name, "alias": lora.name, "path": lora.name, "metadata": {}}
            for lora in known
        ]
    )


@router.get("/upscalers", operation_id="webui_upscalers")
def upscalers(queue: Queue) -> JsonAnswer:
    """What makes a picture larger."""
    known = Catalog(queue.settings).registry.models.values()
    models = [each.name for each in known if each.kind == "upscaler"]
    plain = [{"name": name, "model_name": None, "scale": 4} for name in ("None", "Lanczos")]
    named = [{"name": name, "model_name": name, "scale": 4} for name in models]
    return JsonAnswer([{"model_path": None, "model_url": None} | each for each in plain + named])


@router.get("/prompt-styles", operation_id="webui_styles")
def prompt_styles(queue: Queue) -> JsonAnswer:
    """Words that can be put around a prompt."""
    known = load_styles(queue.settings.styles_file).values()
    names = ("name", "prompt", "negative_prompt")
    return JsonAnswer([{name: getattr(style, name) for name in names} for style in known])


@router.get("/embeddings", operation_id="webui_embeddings")
def embeddings() -> JsonAnswer:
    """Textual inversions: none is offered by name."""
    return JsonAnswer({"loaded": {}, "skipped": {}})


@router.get("/scripts", operation_id="webui_scripts")
def scripts() -> JsonAnswer:
    """Scripts and extensions: only ControlNet, by the name that clients look for."""
    return JsonAnswer({"txt2img": ["controlnet m2m"], "img2img": ["controlnet m2m"]})


@router.get("/hypernetworks", operation_id="webui_hypernetworks")
@router.get("/face-restorers", operation_id="webui_face_restorers")
@router.get("/realesrgan-models", operation_id="webui_realesrgan_models")
@router.get("/latent-upscale-modes", operation_id="webui_latent_upscale_modes")
@router.get("/sd-vae", operation_id="webui_vaes")
@router.get("/sd-modules", operation_id="webui_modules")
def nothing() -> JsonAnswer:
    """There is nothing of this kind here."""
    return JsonAnswer([])


@router.get("/options", operation_id="webui_options")
def options(request: Request, queue: Queue) -> JsonAnswer:
    """What is set: the model."""
    chosen = chosen_model(request) or queue.settings.default_model
    return JsonAnswer(
        {
            "sd_model_checkpoint": chosen or "",
            "samples_format": "png",
            "CLIP_stop_at_last_layers": 1,
        }
    )


@router.post("/options", operation_id="webui_set_options")
def set_options(request: Request, queue: Queue, wanted: Annotated[Options, Body()]) -> JsonAnswer:
    """Choose the model for what these clients ask for from now on."""
    if wanted.sd_model_checkpoint:
        request.app.state.webui_model = model_of_title(queue, wanted.sd_model_checkpoint)
    return JsonAnswer({})


@router.get("/cmd-flags", operation_id="webui_flags")
def cmd_flags() -> JsonAnswer:
    """Options of their command line: none has a meaning here."""
    return JsonAnswer({})


@router.get("/memory", operation_id="webui_memory")
def memory() -> JsonAnswer:
    """The machine's memory, in bytes."""
    hardware = detect_hardware()
    total, free = hardware.memory_total, hardware.memory_available
    return JsonAnswer({"ram": {"free": free, "used": total - free, "total": total}, "cuda": {}})


@router.post("/refresh-checkpoints", operation_id="webui_refresh_models")
@router.post("/refresh-loras", operation_id="webui_refresh_loras")
@router.post("/refresh-vae", operation_id="webui_refresh_vaes")
@router.post("/reload-checkpoint", operation_id="webui_reload_model")
@router.post("/unload-checkpoint", operation_id="webui_unload_model")
def nothing_to_do() -> JsonAnswer:
    """Files are looked for whenever they are asked for, and models come and go by themselves."""
    return JsonAnswer({})


@router.get("/progress", operation_id="webui_progress")
def progress(queue: Queue, skip_current_image: Annotated[bool, Query()] = False) -> JsonAnswer:
    """How far the picture is that is being drawn, and the picture as far as it is."""
    running = queue.jobs(states=(JobState.RUNNING,), limit=1)
    waiting = len(queue.jobs(states=(JobState.QUEUED,), limit=1000))
    state: dict[str, Any] = {
        "skipped": False,
        "interrupted": False,
        "job": "",
        "job_count": waiting + len(running),
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    }
    answer: dict[str, Any] = {"progress": 0.0, "eta_relative": 0.0, "textinfo": None}
    picture = None
    if running and (told := running[0].progress):
        answer["progress"] = told.fraction or 0.01  # 0 would mean that nothing is drawn
        answer["eta_relative"] = told.seconds_left or 0.0
        state |= {"job": running[0].id, "job_no": told.picture}
        if told.stage == "sample":
            state |= {"sampling_step": told.done, "sampling_steps": told.total}
        picture = None if skip_current_image else queue.preview(running[0].id)
    answer["current_image"] = None if picture is None else base64.b64encode(picture).decode()
    return JsonAnswer(answer | {"state": state})


@control_net_router.get("/version", operation_id="webui_control_net_version")
def control_net_version() -> JsonAnswer:
    """The version of the extension that is spoken."""
    return JsonAnswer({"version": CONTROL_NET_VERSION})


@control_net_router.get("/model_list", operation_id="webui_control_nets")
def control_nets(queue: Queue) -> JsonAnswer:
    """The ControlNets that a unit can name."""
    known = Catalog(queue.settings).registry.models.values()
    return JsonAnswer({"model_list": [each.name for each in known if each.kind == "control_net"]})


@control_net_router.get("/module_list", operation_id="webui_control_modules")
def control_modules() -> JsonAnswer:
    """What can be done to a control picture first."""
    return JsonAnswer({"module_list": ["none", "canny"], "module_detail": {}})


def chosen_model(request: Request) -> str | None:
    """The model that was set; None: the usual one."""
    model: str | None = getattr(request.app.state, "webui_model", None)
    return model


def model_of_title(queue: JobQueue, title: str) -> str:
    """The name of the model that a client calls so; its title is our name.

    Raises:
        UnknownModelError: there is none, with those that come near.
    """
    return Catalog(queue.settings).registry.find(title).name


def _models(queue: JobQueue) -> list[Model]:
    catalog = Catalog(queue.settings)
    return [
        model
        for model in catalog.registry.models.values()
        if model.kind == "image" and (queue.allow_downloads or catalog.is_here(model))
    ]


def _model(model: Model) -> dict[str, Any]:
    """A model in their words; its file is named, but not where it lies."""
    return {
        "title": model.name,
        "model_name": model.name,
        "hash": None,
        "sha256": model.files[0].sha256 if model.files else None,
        "filename": model.files[0].name if model.files else model.name,
        "config": None,
    }
