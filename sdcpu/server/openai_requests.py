"""What clients of OpenAI's images API ask for, turned into requests of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from sdcpu.families import FAMILIES
from sdcpu.images import MAX_SIDE
from sdcpu.registry import Registry
from sdcpu.server.answers import Problem
from sdcpu.server.picture_files import PictureFormat
from sdcpu.server.schemas import Name, PictureRequest
from sdcpu.settings import Settings

OPENAI_MODELS = re.compile(r"(gpt-image|chatgpt-image|dall-e)[\w.-]*", re.IGNORECASE)
"""Names that OpenAI's clients send; what draws here in their place is said in the answer."""
OLD_MODELS = ("dall-e-2", "dall-e-3")
"""Their answers held addresses where nothing else was asked for."""
MOST_PICTURES = 10
MOST_PARTIAL_PICTURES = 3
VARIATION_STRENGTH = 0.6
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_QUALITIES: dict[str, str | None] = {
    **dict.fromkeys(("draft", "low"), "draft"),
    **dict.fromkeys(("balanced", "medium", "standard"), "balanced"),
    **dict.fromkeys(("best", "high", "hd", "xhigh", "max"), "best"),
    "auto": None,
}
_THEIR_QUALITIES = {"draft": "low", "balanced": "medium", "best": "high"}
_LISTS = ("styles", "loras", "embeddings", "sigmas", "extension", "ref_images")
_OWN = (
    *("model", "n", "size", "quality", "response_format", "output_format", "background"),
    *("output_compression", "stream", "partial_images"),
)
_IGNORED = ("moderation", "style", "user", "safety_identifier", "input_fidelity")


TheirQuality = Literal[
    "auto", "low", "medium", "high", "xhigh", "max", "standard", "hd", "draft", "balanced", "best"
]
"""Theirs, and ours."""


def _size(text: str) -> str:
    if text != "auto" and not _SIZE.fullmatch(text):
        raise ValueError('a size is written like "1024x1024", or "auto"')
    return text


class ImagesOrder(PictureRequest):
    """A request of OpenAI's API. Fields of `PictureRequest` may stand beside its own."""

    model_config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=False)

    model: Name | None = None
    n: Annotated[int, Field(ge=1, le=MOST_PICTURES)] | None = None
    size: (
        Annotated[
            str,
            AfterValidator(_size),
            Field(max_length=20, json_schema_extra={"pattern": r"^(auto|[0-9]{1,5}x[0-9]{1,5})$"}),
        ]
        | None
    ) = None
    quality: TheirQuality | None = None  # type: ignore[assignment]
    response_format: Literal["url", "b64_json"] | None = None
    output_format: PictureFormat | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    background: Literal["auto", "opaque", "transparent"] | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=MOST_PARTIAL_PICTURES)] | None = None
    moderation: Literal["low", "auto"] | None = Field(None, description="Changes nothing.")
    style: Literal["vivid", "natural"] | None = Field(None, description="Changes nothing.")
    input_fidelity: Literal["low", "high"] | None = Field(None, description="Changes nothing.")
    user: Annotated[str, Field(max_length=500)] | None = Field(None, description="Changes nothing.")
    safety_identifier: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="Changes nothing."
    )

    @property
    def model_here(self) -> str | None:
        """The model to draw with; None: the usual one, also in place of OpenAI's."""
        return None if self.model is None or OPENAI_MODELS.fullmatch(self.model) else self.model

    @property
    def as_address(self) -> bool:
        """Whether the answer is to hold addresses in place of the pictures themselves."""
        usual = "url" if self.model in OLD_MODELS else "b64_json"
        return (self.response_format or usual) == "url"

    @property
    def format(self) -> str:
        """What the pictures are written as."""
        return self.output_format or "png"

    def values(self) -> dict[str, Any]:
        """The request as the queue takes it.

        Raises:
            Problem: a size that cannot be, or a transparent background.
        """
        if self.background == "transparent":
            raise Problem(
                422,
                "unsupported_value",
                "No model here draws a transparent background.",
                "Leave background out.",
                parameter="background",
            )
        given = self.model_dump(mode="json", exclude_unset=True)
        theirs = {*_OWN, *_IGNORED}
        values = {name: value for name, value in given.items() if name not in theirs}
        if self.n is not None:
            values["count"] = self.n
        if self.size not in (None, "auto"):
            values |= _sides(str(self.size))
        if quality := _QUALITIES[self.quality or "auto"]:
            values["quality"] = quality
        if self.stream and self.partial_images:
            values.setdefault("preview", "auto")
        return values

    def echo(self) -> dict[str, Any]:
        """What an answer repeats of the request."""
        own = _QUALITIES[self.quality or "auto"]
        quality = {} if own is None else {"quality": _THEIR_QUALITIES[own]}
        return {"background": "opaque", "output_format": self.format, **quality}


def order_of(form: Mapping[str, list[str]]) -> dict[str, Any]:
    """The fields of a form as an order's values: what is a list of its own comes as JSON."""
    values: dict[str, Any] = {}
    for name, texts in form.items():
        plain = name.removesuffix("[]")
        if plain not in _LISTS:
            values[plain] = texts[-1]
        elif name != plain:
            values[plain] = texts
        else:
            try:
                values[plain] = json.loads(texts[-1])
            except (ValueError, RecursionError):
                values[plain] = texts
    return values


def takes_references(model: str | None, settings: Settings, registry: Registry) -> bool:
    """Whether a model changes a picture as the prompt says, rather than starting from it."""
    name = model or settings.default_model or ""
    known = registry.models.get(name.partition(":")[0].lower())
    family = FAMILIES.get(known.family) if known else None
    return family is not None and family.edits


def _sides(size: str) -> dict[str, int]:
    width, height = map(int, size.split("x"))
    if not (8 <= width <= MAX_SIDE and 8 <= height <= MAX_SIDE):
        raise Problem(
            422,
            "invalid_request",
            f"A picture cannot have {size} pixels.",
            f"Each side may have 8 to {MAX_SIDE}.",
            parameter="size",
        )
    return {"width": width, "height": height}
