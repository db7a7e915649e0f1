"""What the tools of the MCP server answer, as the protocol has it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Literal

from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent
from pydantic import BaseModel, Field

from sdcpu.agents.made_picture import facts_of
from sdcpu.agents.picture_folder import preview_bytes
from sdcpu.images import GeneratedImage
from sdcpu.upscaler import UpscaledImage

Shown = Literal["preview", "full", "none"]
"""What of the picture stands in the answer."""


class ListedModel(BaseModel):
    """A model that can be chosen."""

    name: str = Field(description="The value for the parameter model.")
    good_for: str
    here: bool = Field(description="Whether it can be used without a download.")
    download_bytes: int
    license: str
    width: int = Field(description="Pixels, of the pictures that it makes best.")
    height: int
    steps: int
    edits_by_prompt: bool = Field(
        description="Whether edit changes the picture as the prompt says, instead of painting "
        "over it."
    )
    needs_picture: bool = Field(description="Whether it works with edit only.")
    fits_memory: bool | None = Field(
        description="Whether this machine has the memory for it now; null: not known."
    )
    seconds: float | None = Field(
        description="That a picture of that size takes on this machine; null: not known yet."
    )


class ModelList(BaseModel):
    """The models, and which one draws when none is named."""

    default: str | None = Field(description="null: the best one that is here.")
    models: list[ListedModel]


def picture_answer(made: GeneratedImage | UpscaledImage, path: Path, show: Shown) -> CallToolResult:
    """The picture as far as it is to be shown, where it is in words, and both in values."""
    facts = facts_of(made, path)
    content: list[ContentBlock] = [TextContent(type="text", text=facts.words)]
    if show == "full":
        content.append(_image(path.read_bytes(), "image/png"))
    elif show == "preview":
        content.append(_image(preview_bytes(made.image), "image/jpeg"))
    return CallToolResult(content=content, structured_content=facts.model_dump())


def _image(content: bytes, media_type: str) -> ImageContent:
    return ImageContent(type="image", data=base64.b64encode(content).decode(), mime_type=media_type)
