"""The bodies of our REST, as the OpenAPI document tells them.

`PictureRequest` has the fields of `ImageRequest` and the bounds of its numbers; what goes together
with what is checked by `ImageRequest` itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Strict, Tag

from sdcpu.images import (
    MAX_PROMPT_CHARACTERS,
    MAX_SEED,
    MAX_SIDE,
    ControlStep,
    Decoder,
    Fit,
    PreviewKind,
    Quality,
)
from sdcpu.sampling import SAMPLERS, SCHEDULERS, Cache, Seamless
from sdcpu.videos import MAX_FRAMES, MAX_FRAMES_PER_SECOND

Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=500)]
Side = Annotated[int, Field(ge=8, le=MAX_SIDE)]
Steps = Annotated[int, Field(ge=1, le=1000)]
Part = Annotated[float, Field(ge=0, le=1)]
Picture = Annotated[
    str,
    Field(
        max_length=500,
        description="`upload:ID` of an uploaded picture, or `result:JOB/INDEX` of a finished one.",
        examples=["upload:p3mX0bVd8YkQ"],
    ),
]
Pixels = Annotated[int, Field(ge=0, le=MAX_SIDE)]
WeightedName = Annotated[tuple[Name, Annotated[float, Field(ge=-10, le=10)]], Strict(strict=False)]
State = Literal["queued", "running", "done", "failed", "cancelled"]


class _Body(BaseModel):
    """Takes what is named, of the right type, and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class PictureRequest(_Body):
    """What picture is wanted. What is left out, or null, is as it suits the model."""

    prompt: Text
    negative_prompt: Text = ""
    styles: Annotated[list[Name], Field(max_length=50)] = []
    width: Side | None = None
    height: Side | None = None
    steps: Steps | None = None
    cfg_scale: Annotated[float, Field(ge=0, le=100)] | None = None
    guidance: Annotated[float, Field(ge=0, le=100)] | None = None
    sampler: Literal[SAMPLERS] | None = None  # type: ignore[valid-type]
    scheduler: Literal[SCHEDULERS] | None = None  # type: ignore[valid-type]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    count: Annotated[int, Field(ge=1, le=1000)] = 1
    quality: Quality | None = None
    init_image: Picture | None = None
    mask_image: Picture | None = None
    strength: Part | None = None
    extension: Annotated[tuple[Pixels, Pixels, Pixels, Pixels], Strict(strict=False)] = (0, 0, 0, 0)
    fit: Fit | None = None
    control_image: Picture | None = None
    control_net: Name | None = None
    control_step: ControlStep = "none"
    control_strength: Annotated[float, Field(ge=0, le=10)] = 0.9
    ref_images: Annotated[list[Picture], Field(max_length=10)] = []
    loras: Annotated[list[WeightedName], Field(max_length=20)] = []
    embeddings: Annotated[list[Name], Field(max_length=20)] = []
    clip_skip: Annotated[int, Field(ge=1, le=12)] | None = None
    sigmas: Annotated[list[float], Field(max_length=1001)] = []
    eta: Part | None = None
    cache: Cache = "auto"
    seamless: Seamless = "none"
    hires: Annotated[float, Field(ge=1.1, le=4)] | None = None
    hires_strength: Part | None = None
    hires_steps: Steps | None = None
    tiled: bool = False
    upscale: Literal[2, 4] | None = None
    upscaler: Name | None = None
    decoder: Decoder = "auto"
    preview: PreviewKind = "none"


class VideoRequest(PictureRequest):
    """What video is wanted."""

    frames: Annotated[int, Field(ge=1, le=MAX_FRAMES)] | None = None
    fps: Annotated[float, Field(ge=0.1, le=MAX_FRAMES_PER_SECOND)] | None = None
    end_image: Picture | None = None
    flow_shift: Annotated[float, Field(ge=0, le=100)] | None = None
    high_noise_steps: Annotated[int, Field(ge=0, le=999)] | None = None
    high_noise_cfg_scale: Annotated[float, Field(ge=0, le=100)] | None = None


class UpscaleRequest(_Body):
    """Which picture is to be enlarged."""

    image: Picture
    factor: Literal[2, 4] = 4
    upscaler: Name | None = None
    """A known upscaler; null: the one for photographs."""


class _Order(_Body):
    model: Name | None = Field(
        default=None, description="As `/api/v1/models` names it; null: the best for this machine."
    )
    priority: Annotated[int, Field(ge=-10, le=10)] = 0
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="The same key again means the same job: nothing is drawn twice."
    )


class PictureOrder(_Order):
    """A job that draws pictures."""

    kind: Literal["picture"] = "picture"
    request: PictureRequest


class UpscaleOrder(_Order):
    """A job that enlarges a picture."""

    kind: Literal["upscale"]
    request: UpscaleRequest


class VideoOrder(_Order):
    """A job that makes a video."""

    kind: Literal["video"]
    request: VideoRequest


def _kind(order: Any) -> str:
    """Which of the orders it is; one that does not say wants a picture."""
    kind = order.get("kind") if isinstance(order, dict) else getattr(order, "kind", None)
    return "picture" if kind is None else str(kind)


Order = Annotated[
    Annotated[PictureOrder, Tag("picture")]
    | Annotated[UpscaleOrder, Tag("upscale")]
    | Annotated[VideoOrder, Tag("video")],
    Discriminator(_kind),
]
"""What is asked for, by its kind."""


class Change(_Body):
    """What can be changed of a job that waits."""

    priority: Annotated[int, Field(ge=-10, le=10)]


class Progress(BaseModel):
    """How far a running job is."""

    stage: str
    done: int
    total: int
    picture: int
    seconds_left: float | None
    fraction: float | None


class Result(BaseModel):
    """A finished picture or video of a job; its file is at `…/results/{index}`."""

    index: int
    file: str
    media_type: str
    width: int
    height: int
    seed: int | None
    seconds: float
    recipe: dict[str, Any]


class Failure(BaseModel):
    """Why something could not be done."""

    code: str
    message: str
    hint: str


class Job(BaseModel):
    """A request in the queue, and what became of it."""

    id: str
    kind: Literal["picture", "upscale", "video"]
    model: str | None
    request: dict[str, Any]
    priority: int
    client: str
    key: str | None
    state: State
    position: int | None
    created: float
    started: float | None
    finished: float | None
    attempts: int
    plan: dict[str, Any] | None
    progress: Progress | None
    results: list[Result]
    error: Failure | None
    notes: list[str]
    from_cache: bool
    retry_of: str | None


class Jobs(BaseModel):
    """Jobs, the newest first."""

    jobs: list[Job]


class Upload(BaseModel):
    """A picture that was taken in; a request names it `upload:ID`."""

    id: str
    width: int
    height: int
    recipe: dict[str, Any] | None
    parameters: str | None


class Named(BaseModel):
    """Something that a request can name."""

    name: str
    summary: str


class Addition(Named):
    """A LoRA or an upscaler."""

    family: str
    license: str
    size: int = Field(description="Bytes to download when nothing of it is here.")
    here: bool


class Defaults(BaseModel):
    """What suits a model when a request does not say otherwise."""

    width: int
    height: int
    steps: int
    cfg_scale: float
    guidance: float
    sampler: str
    scheduler: str


class Model(Addition):
    """A model that draws pictures or makes videos."""

    kind: Literal["image", "video"]
    gated: bool
    recommended: bool
    edits: bool = Field(description="Whether it takes reference pictures.")
    needs_picture: bool = Field(description="Whether it has to start from a picture.")
    needs_mask: bool
    size_multiple: int = Field(description="Width and height are rounded to it.")
    defaults: Defaults


class Machine(BaseModel):
    """Where the server runs."""

    processor: str
    cores: int
    memory: int
    memory_available: int
    cards: list[str]


class Limits(BaseModel):
    """What is taken at most."""

    most_waiting: int
    most_pixels: int
    most_pictures: int
    most_steps: int
    most_frames: int
    most_upload_bytes: int
    most_upload_pixels: int


class About(BaseModel):
    """The server, its machine and its limits."""

    version: str
    default_model: str | None
    downloads_allowed: bool
    limits: Limits
    machine: Machine
    statistics: dict[str, Any]


class ErrorAnswer(BaseModel):
    """What every answer of 400 and above holds."""

    error: Failure


class OpenAIError(BaseModel):
    """What went wrong, as OpenAI's servers say it."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str


class OpenAIErrorAnswer(BaseModel):
    """What an answer of 400 and above holds at `/v1`."""

    error: OpenAIError


class WebuiErrorAnswer(BaseModel):
    """The same as clients of AUTOMATIC1111's API expect it."""

    error: str
    detail: str
    body: str
    errors: str
