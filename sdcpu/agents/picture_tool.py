"""A tool with which AutoGen's agents make pictures."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from autogen_core import CancellationToken
from autogen_core.tools import BaseTool
from pydantic import BaseModel, Field

from sdcpu.agents.made_picture import MadePicture, facts_of
from sdcpu.agents.picture_folder import PictureFolder
from sdcpu.agents.studio import Studio, message_of
from sdcpu.errors import CancelledError, SdcpuError, error_from_code
from sdcpu.picture_names import picture_stem

_DESCRIPTION = """Make a picture from words on the user's own computer, and save it as a PNG file; \
the answer says where. It takes seconds to minutes. Leave width, height and steps out unless the \
user wants something else, since each model has its own. For several pictures call again with \
another seed."""


class PictureWords(BaseModel):
    """What an agent asks for."""

    prompt: str = Field(
        description="What the picture shows, in English: subject, surroundings, style, light."
    )
    negative_prompt: str = Field(default="", description="What it should not show.")
    model: str | None = Field(
        default=None, description="A model's name. Without it, the usual one draws."
    )
    width: int | None = Field(default=None, description="Pixels.")
    height: int | None = Field(default=None, description="Pixels.")
    steps: int | None = Field(default=None, description="The time grows with them.")
    seed: int | None = Field(
        default=None, description="The same seed and words give the same picture."
    )
    quality: Literal["draft", "balanced", "best"] | None = Field(
        default=None, description="From fast to good."
    )


class PictureTool(BaseTool[PictureWords, MadePicture]):
    """Makes pictures with a studio and keeps them in a folder.

    AutoGen's cancellation token stops the engine; several tools and agents may share a studio.

    >>> with Studio(model="demo") as studio:
    ...     tool = PictureTool(studio, PictureFolder("pictures"))
    ...     words = PictureWords(prompt="a red circle on a blue background", seed=7)
    ...     asyncio.run(tool.run(words, CancellationToken())).path.rpartition("/")[2]
    'a-red-circle-on-a-blue-background-7.png'
    """

    def __init__(
        self,
        studio: Studio,
        folder: PictureFolder,
        *,
        name: str = "make_picture",
        description: str = _DESCRIPTION,
    ) -> None:
        super().__init__(PictureWords, MadePicture, name, description)
        self._studio, self._folder = studio, folder

    async def run(self, args: PictureWords, cancellation_token: CancellationToken) -> MadePicture:
        """Make one picture.

        Raises:
            SdcpuError: any of ours; its text says what to do next.
            asyncio.CancelledError: the token was cancelled.
        """
        given = args.model_dump(exclude={"prompt", "model"}, exclude_none=True)
        try:
            asked = self._studio.draw(args.prompt, given, model=args.model)
            cancellation_token.add_callback(asked.cancel)
            made = await asked.finished()
            return facts_of(made, self._folder.keep(made, picture_stem(args.prompt, made.seed)))
        except CancelledError as error:
            raise asyncio.CancelledError(error.message) from error
        except SdcpuError as error:
            raise error_from_code(error.code, message_of(error)) from error

    def return_value_as_string(self, value: Any) -> str:
        """What the language model reads."""
        return value.words if isinstance(value, MadePicture) else str(value)
