"""Drawing with a service that speaks OpenAI's images API, with the user's own key.

The API: https://platform.openai.com/docs/api-reference/images
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from sdcpu.errors import InvalidRequestError, RemoteError
from sdcpu.events import Progress
from sdcpu.images import GeneratedImage, ImageRequest
from sdcpu.remote.connection import Connection
from sdcpu.remote.pictures import opened_picture, picture_bytes, transparent_where_painted
from sdcpu.remote.plans import RemotePlan

_TAKEN = {"prompt", "width", "height", "count", "quality", "init_image", "mask_image", "seed"}
_TAKEN |= {"preview"}
"""What such a service can be asked for; previews are simply not sent, seeds only counted."""
_QUALITIES = {"draft": "low", "balanced": "medium", "best": "high"}
_SECONDS = 600.0
"""Services answer when the pictures are done, and say nothing before."""
_DEFAULTS = ImageRequest(prompt="")


class OpenAIService:
    """Draws with one service."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        path = connection.address.text.partition("://")[2].partition("/")[2]
        self._prefix = "" if path else "/v1"

    def plan(self, model: str | None, request: ImageRequest) -> RemotePlan:
        """Where the request goes.

        Raises:
            InvalidRequestError: it asks for something that the API has no word for.
        """
        _check(model, request)
        return RemotePlan(
            address=self._connection.address.text,
            model=model,
            warning=self._connection.address.warning,
        )

    def draw(
        self, model: str | None, request: ImageRequest
    ) -> Iterator[RemotePlan | Progress | GeneratedImage]:
        """Ask for the pictures and wait for them."""
        yield self.plan(model, request)
        began = time.monotonic()
        yield Progress(stage="sample", pictures=request.count)
        answer = self._asked(_body(model, request), request)
        pictures = answer.get("data") if isinstance(answer, Mapping) else None
        if not isinstance(pictures, list) or not pictures:
            raise RemoteError(f"{self._connection.address.text} sent no picture.")
        for index, picture in enumerate(pictures):
            image = opened_picture(self._content(picture))
            seconds = time.monotonic() - began
            yield GeneratedImage(
                image=image,
                request=request,
                model=str(model),
                seed=(request.seed or 0) + index,
                index=index,
                seconds=seconds,
                recipe={
                    "prompt": request.prompt,
                    "model": model,
                    "width": image.width,
                    "height": image.height,
                    "drawn_by": self._connection.address.text,
                    "revised_prompt": picture.get("revised_prompt") or "",
                },
            )

    def cancel(self) -> None:
        """Stop waiting; the API has no way to say that the pictures are not wanted any more."""
        self._connection.close()

    def _asked(self, body: dict[str, Any], request: ImageRequest) -> Any:
        if request.init_image is None:
            path = f"{self._prefix}/images/generations"
            return self._connection.json("POST", path, json=body, timeout=_SECONDS)
        files = {"image": ("image.png", picture_bytes(request.init_image, "init image"))}
        if request.mask_image is not None:
            mask = transparent_where_painted(request.init_image, request.mask_image)
            files["mask"] = ("mask.png", mask)
        path = f"{self._prefix}/images/edits"
        return self._connection.json("POST", path, data=body, files=files, timeout=_SECONDS)

    def _content(self, picture: object) -> bytes:
        if not isinstance(picture, Mapping):
            raise RemoteError(f"{self._connection.address.text} sent no picture.")
        if url := picture.get("url"):
            # The key goes to the service alone, not to wherever it keeps its pictures.
            return self._connection.bytes("GET", str(url))
        try:
            return base64.b64decode(str(picture.get("b64_json")), validate=True)
        except binascii.Error:
            raise RemoteError(f"{self._connection.address.text} sent a broken picture.") from None


def _check(model: str | None, request: ImageRequest) -> None:
    if model is None:
        raise InvalidRequestError(
            "A service with OpenAI's images API has to be told which model draws.",
            hint="Name one with -m, as the service calls it.",
        )
    refused = [
        field.name
        for field in fields(ImageRequest)
        if field.name not in _TAKEN
        and getattr(request, field.name) != getattr(_DEFAULTS, field.name)
    ]
    if refused:
        raise InvalidRequestError(
            f"OpenAI's images API has no word for: {', '.join(refused)}.",
            hint="Leave that out, or use an sdcpu server.",
        )
    if (request.width is None) != (request.height is None):
        raise InvalidRequestError("Width and height must be given together, or neither.")


def _body(model: str | None, request: ImageRequest) -> dict[str, Any]:
    """What is sent; what is not asked for is left to the service."""
    body: dict[str, Any] = {"model": model, "prompt": request.prompt, "n": request.count}
    if request.width is not None:
        body["size"] = f"{request.width}x{request.height}"
    if request.quality is not None:
        body["quality"] = _QUALITIES[request.quality]
    return body
