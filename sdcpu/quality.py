"""What a request leaves open, filled in: the model's defaults, and the presets draft and best.

A preset changes steps, size, sampler and decoder. A model's entry says what suits it (`draft` and
`best` in models.toml); what it does not say follows from the steps the model needs. Values that the
request gives always win.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sdcpu.canvas import Canvas, canvas_for
from sdcpu.errors import InvalidRequestError
from sdcpu.families import FAMILIES
from sdcpu.images import MAX_SIDE, ImageRequest
from sdcpu.registry import Model
from sdcpu.sampling import check_eta
from sdcpu.step_cache import choose_cache

FEW_STEPS = 8
"""Models whose default is at most this were distilled for few steps (LCM, Turbo): a draft keeps
them, and more than this many bring nothing."""
DRAFT_SIDE = 0.75
"""A draft has this share of the model's usual sides, 56 % of the pixels, and is enlarged."""
USUAL_STRENGTH, EXTENDING = 0.75, 1.0
"""How far to go from a picture: an extension has nothing of its own that could be kept."""
DEFAULT_SIZE_MULTIPLE = 64
"""Pixels, for a family that is not known yet; a multiple of every known one's."""

_VALUES = {
    "steps": "steps",
    "cfg_scale": "cfg scale",
    "guidance": "guidance",
    "sampler": "sampler",
    "scheduler": "scheduler",
    "clip_skip": "clip skip",
}
"""The open values and what people call them."""

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class FilledRequest:
    """A request without open questions, except its seed."""

    request: ImageRequest
    """Every value that matters to the model is given; the size is what the engine draws."""
    upscale_to: Size | None
    """Width and height to enlarge the drawn picture to; None: it stays as it is."""
    canvas: Canvas | None
    """Where the picture lies that the request brought along; None: it brought none."""
    reasons: tuple[str, ...]
    """What the preset and the rounding changed, one plain sentence each."""


def fill_request(
    request: ImageRequest, model: Model, *, start: Size | None = None
) -> FilledRequest:
    """Fill what the request leaves open from its preset and the model's defaults.

    `start` is the size of the picture that it brings along: where width and height are left open,
    the result has its size and proportions.

    >>> from sdcpu.registry import Defaults
    >>> model = Model(name="m", summary="", family="sd1", files=(), defaults=Defaults(steps=20))
    >>> filled = fill_request(ImageRequest(prompt="a cat", quality="draft"), model)
    >>> filled.request.width, filled.request.steps, filled.upscale_to
    (384, 10, (512, 512))
    """
    preset = _preset(request, model)
    if request.sigmas:
        request = replace(request, steps=len(request.sigmas) - 1)
    values, changes = _values(request, model, preset)
    check_eta(request.eta, values["sampler"])
    values["cache"], cache_reason = choose_cache(
        "off" if (request.quality, request.cache) == ("best", "auto") else request.cache,
        model.family,
        values["sampler"],
        values["steps"],
    )
    reasons = [cache_reason] if cache_reason else []
    if start is not None:
        said = [*_quality_reason(request, changes), *reasons]
        return _on_canvas(request, model, values, said, start)
    asked = _asked_size(request, model, preset)
    if asked != _usual_size(model) and request.width is None and request.height is None:
        changes.append(f"{_text(asked)} instead of {_text(_usual_size(model))}")
    wanted = _draft_size(asked, model, preset) if request.quality == "draft" else asked
    drawn = rounded_size(wanted, model)
    upscale_to = asked if drawn[0] * drawn[1] < asked[0] * asked[1] and wanted != asked else None
    if upscale_to:
        changes.append(f"drawn at {_text(drawn)} and enlarged to {_text(asked)}")
    elif (drawn := rounded_size(asked, model)) != asked:
        reasons.append(
            f"Drawn at {_text(drawn)} instead of {_text(asked)}: {_title(model)} needs sizes that "
            f"are multiples of {size_multiple(model)} pixels."
        )
    return FilledRequest(
        request=_filled(request, drawn, values),
        upscale_to=upscale_to,
        canvas=None,
        reasons=(*_quality_reason(request, changes), *reasons),
    )


def size_multiple(model: Model) -> int:
    """Pixels; what the sides of a model's pictures are multiples of."""
    family = FAMILIES.get(model.family)
    return family.size_multiple if family else DEFAULT_SIZE_MULTIPLE


def rounded_size(size: Size, model: Model) -> Size:
    """The nearest size that the model can draw."""
    multiple = size_multiple(model)
    most = MAX_SIDE // multiple * multiple
    width, height = (
        min(most, max(multiple, (side + multiple // 2) // multiple * multiple)) for side in size
    )
    return width, height


def _on_canvas(
    request: ImageRequest,
    model: Model,
    values: dict[str, Any],
    said: list[str],
    start: Size,
) -> FilledRequest:
    """The request with its size from the picture that it brings along."""
    canvas = canvas_for(
        start,
        asked=(request.width, request.height),
        usual=_usual_size(model),
        multiple=size_multiple(model),
        fit=request.fit,
        extension=request.extension,
    )
    if max(canvas.drawn) > MAX_SIDE:
        raise InvalidRequestError(
            f"The result would have {_text(canvas.result_size)} pixels; at most {MAX_SIDE} along "
            "a side can be drawn.",
            hint="Give a smaller --width or --height.",
        )
    if request.init_image is not None:
        values["strength"] = request.strength
        if request.strength is None:
            values["strength"] = EXTENDING if any(request.extension) else USUAL_STRENGTH
    return FilledRequest(
        request=_filled(request, canvas.drawn, values),
        upscale_to=None,
        canvas=canvas,
        reasons=(*said, *_canvas_reasons(canvas, start, request)),
    )


def _canvas_reasons(canvas: Canvas, start: Size, request: ImageRequest) -> list[str]:
    """What happens to the picture, one plain sentence each."""
    left, top, right, bottom = canvas.place
    placed = right - left, bottom - top
    reasons = []
    if placed != start:
        reasons.append(f"The picture of {_text(start)} is scaled to {_text(placed)}.")
    width, height = canvas.result_size
    lost = max(0, -left) + max(0, right - width), max(0, -top) + max(0, bottom - height)
    if any(lost):
        reasons.append(
            f"Its {'sides are' if lost[0] else 'top and bottom are'} cut off to make "
            f"{_text(canvas.result_size)}; --fit pad or fit keeps the whole."
        )
    elif placed != canvas.result_size and not any(request.extension):
        reasons.append(f"What is missing to {_text(canvas.result_size)} begins as its edges go on.")
    if canvas.drawn != canvas.result_size:
        reasons.append(f"Drawn at {_text(canvas.drawn)} and cut to {_text(canvas.result_size)}.")
    return reasons


def _quality_reason(request: ImageRequest, changes: list[str]) -> list[str]:
    return [f"Quality {request.quality}: {', '.join(changes)}."] if changes else []


def _filled(request: ImageRequest, drawn: Size, values: Mapping[str, Any]) -> ImageRequest:
    quality = request.quality or "balanced"
    return replace(request, width=drawn[0], height=drawn[1], quality=quality, **values)


def _preset(request: ImageRequest, model: Model) -> Mapping[str, Any]:
    """What the preset changes for this model: its own entry over the rule for all."""
    steps = model.defaults.steps
    few = steps <= FEW_STEPS
    match request.quality:
        case "draft":
            rule = {"steps": steps if few else max(FEW_STEPS, steps // 2), "decoder": "tiny"}
            return rule | dict(model.draft)
        case "best":
            better = min(2 * steps, FEW_STEPS) if few else min(50, steps * 3 // 2)
            return {"steps": better, "decoder": "full"} | dict(model.best)
        case _:
            return {}


def _values(
    request: ImageRequest, model: Model, preset: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Every value but the size, and in words what the preset changed."""
    values: dict[str, Any] = {}
    changes = []
    for name, label in _VALUES.items():
        default = getattr(model.defaults, name)
        values[name] = getattr(request, name)
        if values[name] is None:
            values[name] = preset.get(name, default)
            if values[name] != default:
                changes.append(f"{label} {_plain(values[name])} instead of {_plain(default)}")
    values["decoder"] = request.decoder
    if request.decoder == "auto" and "decoder" in preset:
        values["decoder"] = preset["decoder"]
    return values, changes


def _usual_size(model: Model) -> Size:
    return model.defaults.width, model.defaults.height


def _asked_size(request: ImageRequest, model: Model, preset: Mapping[str, Any]) -> Size:
    """The size of the picture that comes out; a side that is not given is the usual one."""
    width, height = _usual_size(model)
    if request.quality == "best":
        width, height = preset.get("width", width), preset.get("height", height)
    return request.width or width, request.height or height


def _draft_size(asked: Size, model: Model, preset: Mapping[str, Any]) -> Size:
    """The same proportions with no more pixels than a draft of the model's usual picture."""
    usual = _usual_size(model)
    pixels = preset.get("width", 0) * preset.get("height", 0)
    share = ((pixels or usual[0] * usual[1] * DRAFT_SIDE**2) / (asked[0] * asked[1])) ** 0.5
    return asked if share >= 1 else (round(asked[0] * share), round(asked[1] * share))


def _title(model: Model) -> str:
    family = FAMILIES.get(model.family)
    return family.title if family else model.name


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
