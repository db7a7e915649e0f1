"""The tools that agents call over the Model Context Protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult
from PIL.Image import Image
from pydantic import Field

from sdcpu.agents.commission import Commission
from sdcpu.agents.known_models import known_models
from sdcpu.agents.made_picture import MadePicture
from sdcpu.agents.mcp_answers import (
    ListedModel,
    ModelList,
    Shown,
    picture_answer,
)
from sdcpu.agents.picture_folder import PictureFolder, decode
from sdcpu.agents.progress_line import WHOLE, ProgressLine
from sdcpu.agents.studio import Hear, Studio, Told, message_of
from sdcpu.errors import InvalidRequestError, SdcpuError
from sdcpu.images import GeneratedImage
from sdcpu.picture_names import picture_stem
from sdcpu.upscaler import UpscaledImage

Made = TypeVar("Made", GeneratedImage, UpscaledImage)

HEARTBEAT_SECONDS = 2.0
"""The longest silence: clients give up what says nothing."""
_PAUSE_SECONDS = 0.25
"""The shortest one: nobody reads faster."""

Prompt = Annotated[
    str,
    Field(
        description="What the picture shows, in English: subject, surroundings, style, light. "
        "Words that should not show belong into negative_prompt."
    ),
]
ModelName = Annotated[
    str | None, Field(description="A name from list_models. Without it, the server's usual one.")
]
Negative = Annotated[
    str, Field(description="What it should not show; only models with cfg_scale above 1 mind it.")
]
Side = Annotated[
    int | None,
    Field(ge=8, le=8192, description="Pixels. Without it, what suits the model, which is best."),
]
Steps = Annotated[
    int | None,
    Field(ge=1, le=1000, description="Time grows with them. Without it, what suits the model."),
]
Cfg = Annotated[
    float | None, Field(ge=0, le=100, description="How strongly the prompt is followed.")
]
Seed = Annotated[
    int | None,
    Field(ge=0, description="The same seed and words give the same picture. Without it, random."),
]
Quality = Annotated[
    Literal["draft", "balanced", "best"] | None,
    Field(description="A preset of steps, size and decoder, from fast to good."),
]
Show = Annotated[
    Shown,
    Field(
        description="What of the picture is in the answer: a preview of at most 512 pixels, all "
        "of it, or nothing. The file is saved in full in any case."
    ),
]
PicturePath = Annotated[
    str | None,
    Field(description="A picture inside the server's folder, such as the path of an answer."),
]
PictureData = Annotated[
    str | None, Field(description="The picture itself: a PNG, JPEG or WebP file in base64.")
]
MaskPath = Annotated[
    str | None,
    Field(description="A picture in the server's folder that is white where to paint anew."),
]
MaskData = Annotated[
    str | None, Field(description="The same in base64. As large as the picture, black elsewhere.")
]
Strength = Annotated[
    float | None,
    Field(ge=0, le=1, description="How far to go from the picture: 0.3 little, 0.75 usual, 1 all."),
]


class Tools:
    """The tools, over one studio and one folder."""

    def __init__(self, studio: Studio, folder: PictureFolder) -> None:
        self._studio, self._folder = studio, folder

    async def generate(
        self,
        context: Context,
        *,
        prompt: Prompt,
        model: ModelName = None,
        negative_prompt: Negative = "",
        width: Side = None,
        height: Side = None,
        steps: Steps = None,
        cfg_scale: Cfg = None,
        seed: Seed = None,
        quality: Quality = None,
        show: Show = "preview",
    ) -> Annotated[CallToolResult, MadePicture]:
        """Make a picture from words, and save it."""
        given: dict[str, Any] = {
            "width": width,
            "height": height,
            "steps": steps,
            "cfg_scale": cfg_scale,
        }
        given |= {"seed": seed, "quality": quality, "negative_prompt": negative_prompt}
        return await self._drawn(context, prompt, given, model, show)

    async def edit(
        self,
        context: Context,
        *,
        prompt: Prompt,
        image_path: PicturePath = None,
        image_base64: PictureData = None,
        mask_path: MaskPath = None,
        mask_base64: MaskData = None,
        strength: Strength = None,
        model: ModelName = None,
        negative_prompt: Negative = "",
        width: Side = None,
        height: Side = None,
        steps: Steps = None,
        cfg_scale: Cfg = None,
        seed: Seed = None,
        show: Show = "preview",
    ) -> Annotated[CallToolResult, MadePicture]:
        """Make a picture from another one, and save it."""
        with _as_tool_errors():
            picture = self._picture(image_path, image_base64, "image")
            if picture is None:
                raise InvalidRequestError(
                    "There is no picture to edit.", hint="Give image_path or image_base64."
                )
            mask = self._picture(mask_path, mask_base64, "mask")
            by_prompt = mask is None and strength is None and self._studio.edits_by_prompt(model)
        given: dict[str, Any] = {
            "width": width,
            "height": height,
            "steps": steps,
            "cfg_scale": cfg_scale,
        }
        given |= {"seed": seed, "negative_prompt": negative_prompt}
        if by_prompt:
            given |= {"ref_images": (picture,)}
        else:
            given |= {"init_image": picture, "mask_image": mask, "strength": strength}
        return await self._drawn(context, prompt, given, model, show)

    async def upscale(
        self,
        context: Context,
        *,
        image_path: PicturePath = None,
        image_base64: PictureData = None,
        scale: Annotated[Literal[2, 4], Field(description="Times as wide and high.")] = 4,
        show: Show = "preview",
    ) -> Annotated[CallToolResult, MadePicture]:
        """Make a picture larger, and save it."""
        with _as_tool_errors():
            picture = self._picture(image_path, image_base64, "image")
            if picture is None:
                raise InvalidRequestError(
                    "There is no picture to enlarge.", hint="Give image_path or image_base64."
                )
        made, path = await self._made(
            context,
            lambda hear: self._studio.enlarge(picture, scale, hear=hear),
            lambda _: f"{picture.stem if isinstance(picture, Path) else 'picture'}-x{scale}",
        )
        return picture_answer(made, path, show)

    async def list_models(
        self,
        only_here: Annotated[
            bool, Field(description="Leave out what would have to be downloaded.")
        ] = False,
    ) -> ModelList:
        """Name the models, what they are good for, and how long they take."""
        with _as_tool_errors():
            models = await asyncio.to_thread(
                known_models, self._studio.settings, only_here=only_here
            )
        return ModelList(
            default=self._studio.default_model,
            models=[ListedModel(**asdict(model)) for model in models],
        )

    async def _drawn(
        self, context: Context, prompt: str, given: dict[str, Any], model: str | None, show: Shown
    ) -> CallToolResult:
        request = {name: value for name, value in given.items() if value is not None}
        made, path = await self._made(
            context,
            lambda hear: self._studio.draw(prompt, request, model=model, hear=hear),
            lambda made: picture_stem(prompt, made.seed),
        )
        return picture_answer(made, path, show)

    async def _made(
        self,
        context: Context,
        commission: Callable[[Hear], Commission[Made]],
        stem: Callable[[Made], str],
    ) -> tuple[Made, Path]:
        """Wait for a picture while the client is told how far it is, and save it."""
        line, news = ProgressLine(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hear(event: Told) -> None:
            line.hear(event)
            loop.call_soon_threadsafe(news.set)

        with _as_tool_errors():
            asked = commission(hear)
            telling = asyncio.create_task(_tell(line, news, context.report_progress))
            try:
                made = await asked.finished()
            finally:
                telling.cancel()
            path = self._folder.keep(made, stem(made))
        await context.report_progress(WHOLE, WHOLE, f"saved as {path.name}")
        return made, path

    def _picture(self, path: str | None, data: str | None, name: str) -> Path | Image | None:
        """A picture of the request, from the folder or from base64."""
        if path and data:
            raise InvalidRequestError(
                f"There are both {name}_path and {name}_base64.", hint="Give one of them."
            )
        if path:
            return self._folder.find(path)
        return decode(data) if data else None


async def _tell(
    line: ProgressLine, news: asyncio.Event, report: Callable[..., Awaitable[None]]
) -> None:
    """Report how far the picture is at every event, and at least every few seconds."""
    told = -1.0
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), HEARTBEAT_SECONDS)
        news.clear()
        number, text = line.now()
        if number > told:  # the protocol wants each number larger than the one before
            told = number
            await report(number, WHOLE, text)
        await asyncio.sleep(_PAUSE_SECONDS)


class _as_tool_errors:  # noqa: N801 - reads as a statement
    """Turns our errors into errors of the tool, with what to do next."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SdcpuError):
            raise ToolError(message_of(error)) from error
