"""What clients of AUTOMATIC1111's API ask for, turned into requests of ours.

What would change the picture and cannot be had here is refused; what only says how AUTOMATIC1111
keeps its files is let pass. Fields that neither knows are let pass too, as there.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sdcpu.images import MAX_SEED, MAX_SIDE
from sdcpu.sampling import ETA_SAMPLERS
from sdcpu.server.answers import Problem
from sdcpu.server.schemas import Name, Text
from sdcpu.server.webui_names import sampler_of, scheduler_of

USUAL_ETA = 1.0
"""What their clients send with every request: all the fresh noise that a sampler adds."""
_FITS = ("crop", "crop", "pad", "crop")
"""By their resize mode. Theirs 0 stretches, which ours never does."""
_PLAIN_ENLARGING = ("latent", "none", "lanczos", "nearest")
"""How their upscalers begin that need no model; ours is Lanczos then."""
MASK_NOTE = "mask_blur, inpainting_fill and inpaint_full_res change nothing here."

_DEEPEST = 50


def _not_too_deep(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what could be read, and not be written down again in `info`."""
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        if not level:
            return value
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for group in inside for each in group if isinstance(each, dict | list)]
    raise ValueError(f"there is something {_DEEPEST} levels deep in it")


Shallow = Annotated[dict[str, Any], AfterValidator(_not_too_deep)]
Count = Annotated[int, Field(ge=1, le=1000)]
Side = Annotated[int, Field(ge=8, le=MAX_SIDE)]
OpenSide = Annotated[int, Field(ge=0, le=MAX_SIDE)]
Strength = Annotated[float, Field(ge=0, le=1)]
Base64 = Annotated[str, Field(max_length=60_000_000, description="A picture in base64.")]


class _Order(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class ControlUnit(_Order):
    """A unit of the ControlNet extension."""

    enabled: bool = True
    image: Base64 | None = None
    input_image: Base64 | None = None
    mask: Base64 | None = None
    module: Annotated[str, Field(max_length=100)] = "none"
    model: Annotated[str, Field(max_length=500)] = "None"
    weight: Annotated[float, Field(ge=0, le=10)] = 1.0

    @property
    def picture(self) -> str | None:
        """What it looks at."""
        return self.image or self.input_image or None


class TextOrder(_Order):
    """The body of `/sdapi/v1/txt2img`."""

    prompt: Text = ""
    negative_prompt: Text = ""
    styles: Annotated[list[Name], Field(max_length=50)] | None = None
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] | None = -1
    subseed_strength: float | None = 0
    sampler_name: Annotated[str, Field(max_length=100)] | None = None
    sampler_index: Annotated[str, Field(max_length=100)] | None = None
    scheduler: Annotated[str, Field(max_length=100)] | None = None
    batch_size: Count | None = 1
    n_iter: Count | None = 1
    steps: Count | None = None
    cfg_scale: Annotated[float, Field(ge=0, le=100)] | None = None
    distilled_cfg_scale: Annotated[float, Field(ge=0, le=100)] | None = None
    width: Side | None = None
    height: Side | None = None
    restore_faces: bool | None = False
    tiling: bool | None = False
    eta: Strength | None = None
    denoising_strength: Strength | None = None
    enable_hr: bool | None = False
    hr_scale: Annotated[float, Field(ge=0, le=16)] | None = 2.0
    hr_upscaler: Annotated[str, Field(max_length=500)] | None = None
    hr_second_pass_steps: Annotated[int, Field(ge=0, le=1000)] | None = 0
    hr_resize_x: OpenSide | None = 0
    hr_resize_y: OpenSide | None = 0
    refiner_checkpoint: Annotated[str, Field(max_length=500)] | None = None
    script_name: Annotated[str, Field(max_length=500)] | None = None
    alwayson_scripts: Shallow | None = None
    override_settings: Shallow | None = None
    send_images: bool | None = True

    def values(self) -> dict[str, Any]:
        """The request as the queue takes it, without pictures.

        Raises:
            Problem: something that cannot be had here.
        """
        self._check()
        sampler, its_scheduler = sampler_of(self.sampler_name or self.sampler_index or "")
        wanted = {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt or None,
            "styles": self.styles or None,
            "seed": self.seed if self.seed not in (None, -1) else None,
            "sampler": sampler,
            "scheduler": scheduler_of(self.scheduler or "") or its_scheduler,
            "count": (self.batch_size or 1) * (self.n_iter or 1),
            "steps": self.steps,
            "cfg_scale": self.cfg_scale,
            "guidance": self.distilled_cfg_scale,
            "width": self.width,
            "height": self.height,
            "seamless": "both" if self.tiling else None,
            "clip_skip": self._clip_skip(),
            "eta": self.eta if sampler in ETA_SAMPLERS and self.eta != USUAL_ETA else None,
            # Rough ones cost no time, and their programs show the picture while it grows.
            "preview": "proj",
        }
        if self.enable_hr:
            wanted |= self._second_pass()
        return {name: value for name, value in wanted.items() if value is not None}

    @property
    def model_named(self) -> str | None:
        """The model of this request alone; None: the one that was set."""
        named = (self.override_settings or {}).get("sd_model_checkpoint")
        return named if isinstance(named, str) and named else None

    def control_units(self) -> list[ControlUnit]:
        """The units of the ControlNet extension that are switched on.

        Raises:
            Problem: more than one, or another extension.
        """
        units = []
        for name, script in (self.alwayson_scripts or {}).items():
            arguments = script.get("args") if isinstance(script, dict) else script
            given = (
                [each for each in arguments or [] if each] if isinstance(arguments, list) else []
            )
            if name.lower() == "controlnet":
                found = [
                    ControlUnit.model_validate(each) for each in given if isinstance(each, dict)
                ]
                units += [unit for unit in found if unit.enabled and unit.picture]
            elif given:
                raise _not_here(f"the extension {name[:80]}")
        if len(units) > 1:
            raise _not_here("more than one ControlNet unit")
        return units

    def _check(self) -> None:
        for name, wanted in (
            ("variations of a seed (subseed_strength)", bool(self.subseed_strength)),
            ("restore_faces", bool(self.restore_faces)),
            ("a refiner", bool(self.refiner_checkpoint)),
            (f"the script {self.script_name}", bool(self.script_name)),
        ):
            if wanted:
                raise _not_here(name)

    def _clip_skip(self) -> int | None:
        layers = (self.override_settings or {}).get("CLIP_stop_at_last_layers")
        return layers if isinstance(layers, int) and 1 < layers <= 12 else None

    def _second_pass(self) -> dict[str, Any]:
        factor = self.hr_scale or 2.0
        if self.hr_resize_x and self.width:
            factor = self.hr_resize_x / self.width
        elif self.hr_resize_y and self.height:
            factor = self.hr_resize_y / self.height
        upscaler = self.hr_upscaler or ""
        return {
            "hires": round(factor, 4),
            "hires_strength": self.denoising_strength,
            "hires_steps": self.hr_second_pass_steps or None,
            "upscaler": None if upscaler.lower().startswith(_PLAIN_ENLARGING) else upscaler or None,
        }


class PictureOrder(TextOrder):
    """The body of `/sdapi/v1/img2img`."""

    init_images: Annotated[list[Base64], Field(min_length=1, max_length=1)]
    mask: Base64 | None = None
    inpainting_mask_invert: Annotated[int, Field(ge=0, le=1)] | bool | None = 0
    resize_mode: Annotated[int, Field(ge=0, le=3)] | None = 0

    def values(self) -> dict[str, Any]:
        """The request as the queue takes it, without pictures."""
        if self.enable_hr:
            raise _not_here("enable_hr with a picture to start from")
        values = super().values()
        strength = 0.75 if self.denoising_strength is None else self.denoising_strength
        return values | {"strength": strength, "fit": _FITS[self.resize_mode or 0]}


class ExtraOrder(_Order):
    """What is common to `/sdapi/v1/extra-single-image` and `/sdapi/v1/extra-batch-images`."""

    resize_mode: Annotated[int, Field(ge=0, le=1)] | None = 0
    upscaling_resize: Annotated[float, Field(ge=1, le=8)] | None = 2
    upscaling_resize_w: OpenSide | None = 512
    upscaling_resize_h: OpenSide | None = 512
    upscaling_crop: bool | None = True
    upscaler_1: Annotated[str, Field(max_length=500)] | None = "None"
    extras_upscaler_2_visibility: Strength | None = 0
    gfpgan_visibility: Strength | None = 0
    codeformer_visibility: Strength | None = 0

    def check(self) -> None:
        """Make sure that nothing is wanted that cannot be had.

        Raises:
            Problem: a second upscaler, or faces mended.
        """
        for name, wanted in (
            ("a second upscaler", self.extras_upscaler_2_visibility),
            ("gfpgan", self.gfpgan_visibility),
            ("codeformer", self.codeformer_visibility),
        ):
            if wanted:
                raise _not_here(name)

    @property
    def upscaler(self) -> str | None:
        """The upscaler to enlarge with; None: no model, Lanczos."""
        name = self.upscaler_1 or "None"
        return None if name.lower().startswith(_PLAIN_ENLARGING) else name

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """How large a picture becomes."""
        if self.resize_mode == 1:
            wanted = self.upscaling_resize_w or width, self.upscaling_resize_h or height
            if self.upscaling_crop:
                return wanted
            factor = min(wanted[0] / width, wanted[1] / height)
        else:
            factor = self.upscaling_resize or 1
        return max(1, round(width * factor)), max(1, round(height * factor))


class SingleExtraOrder(ExtraOrder):
    """The body of `/sdapi/v1/extra-single-image`."""

    image: Base64


class NamedPicture(_Order):
    """One of several pictures."""

    data: Base64
    name: Annotated[str, Field(max_length=500)] = ""


class BatchExtraOrder(ExtraOrder):
    """The body of `/sdapi/v1/extra-batch-images`."""

    imageList: Annotated[list[NamedPicture], Field(min_length=1, max_length=16)]  # noqa: N815


class PictureInfoOrder(_Order):
    """The body of `/sdapi/v1/png-info`."""

    image: Base64


class Options(BaseModel):
    """What can be set; of what their clients send besides, nothing is kept."""

    model_config = ConfigDict(extra="ignore")

    sd_model_checkpoint: Annotated[str, Field(max_length=500)] | None = None


def _not_here(what: str) -> Problem:
    return Problem(422, "unsupported_value", f"{what} cannot be had here.", "Leave it out.")
