"""A generator whose pictures are drawn elsewhere."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Self

from sdcpu.errors import InvalidRequestError, RemoteError
from sdcpu.images import GeneratedImage, request_of
from sdcpu.remote.connection import Address, Connection
from sdcpu.remote.openai_service import OpenAIService
from sdcpu.remote.plans import RemotePlan
from sdcpu.remote.sdcpu_server import RemoteEvent, SdcpuServer
from sdcpu.settings import Settings, load_settings


class RemoteGenerator:
    """Makes pictures as `ImageGenerator` does, on another machine.

    `url` is the address of an sdcpu server, or of a service that speaks OpenAI's images API; which
    of both it is, is asked there. The prompt, and pictures that belong to the request, leave this
    machine; nothing is ever sent anywhere by itself. The server's token, or the service's key, is
    the setting `remote_token` (`SDCPU_REMOTE_TOKEN`) where it is not given.

    >>> with RemoteGenerator("http://studio.local:7860") as generator:  # doctest: +SKIP
    ...     generator.generate("a red circle on a blue background").save("circle.png")
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        token: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Prepare; the server is first asked when something is wanted of it.

        Raises:
            InvalidRequestError: the address cannot be one.
        """
        settings = settings or load_settings()
        if settings.offline:
            raise InvalidRequestError(
                "Another machine cannot draw while the network may not be used.",
                hint="Take --offline, SDCPU_OFFLINE or HF_HUB_OFFLINE away.",
            )
        self._model = model
        self._connection = Connection(
            address=Address.read(url), token=token or settings.remote_token
        )
        self._there: SdcpuServer | OpenAIService | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def generate(self, prompt: str, **request: Any) -> GeneratedImage:
        """Make one picture; the keywords are those of `ImageRequest`.

        Raises:
            RemoteError: the server cannot be reached, or answers something strange.
            SdcpuError: the error that the server met.
        """
        if request.get("count", 1) != 1:
            raise InvalidRequestError(
                "generate() makes one picture.", hint="Several: generate_many(prompt, count=4)."
            )
        return self.generate_many(prompt, **request)[0]

    def generate_many(self, prompt: str, **request: Any) -> list[GeneratedImage]:
        """Make `count` pictures, whose seeds count up."""
        events = self.stream(prompt, **request)
        return [event for event in events if isinstance(event, GeneratedImage)]

    def stream(self, prompt: str, **request: Any) -> Generator[RemoteEvent, None, None]:
        """Do the same, seen as it happens: `RemotePlan` first, pictures last.

        Leaving the iterator early cancels the job on the server.
        """
        asked = request_of(prompt, request)
        yield from self._server().draw(self._model, asked)

    def plan(self, prompt: str = "", **request: Any) -> RemotePlan:
        """What the server says about how it would draw; nothing is drawn."""
        return self._server().plan(self._model, request_of(prompt, request))

    def cancel(self) -> None:
        """Stop the picture that is being made, from any thread."""
        if self._there is not None:
            self._there.cancel()

    def close(self) -> None:
        """Close the connection; a later call opens it again."""
        self._connection.close()

    def _server(self) -> SdcpuServer | OpenAIService:
        if self._there is None:
            is_ours = _is_sdcpu(self._connection)
            self._there = (SdcpuServer if is_ours else OpenAIService)(self._connection)
        return self._there


def _is_sdcpu(connection: Connection) -> bool:
    """Whether an sdcpu server answers there; a service that does not know the question is none."""
    if connection.address.text.endswith("/v1"):  # as OpenAI's clients are told where a service is
        return False
    try:
        about = connection.json("GET", "/api/v1/about")
    except RemoteError as error:
        if error.details.get("status", 401) == 401:
            raise
        return False
    return isinstance(about, dict) and "downloads_allowed" in about
