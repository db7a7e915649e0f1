"""The way to a server: its address, its secret, and what can go wrong between here and there."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sdcpu.errors import InvalidRequestError, RemoteError, SdcpuError, error_from_code

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""The longest silence of a server that has something to say; ours gives a sign of life every 15."""
LARGEST_ANSWER = 256 * 1024**2
"""Bytes; a server that sends more is not believed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a server is.

    >>> Address.read("studio.local:7860/").text
    'http://studio.local:7860'
    >>> Address.read("https://images.example/v1").warning
    ''
    """

    text: str
    """Without user, password and query: it is shown to people."""
    host: str

    @classmethod
    def read(cls, url: str) -> Address:
        """The address that somebody wrote.

        Raises:
            InvalidRequestError: it is none, or holds a password.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError:
            raise _no_address(url) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or " " in parts.netloc:
            raise _no_address(url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise InvalidRequestError(
                "The address of a server must hold nothing but the server.",
                hint="Put the key or token into SDCPU_REMOTE_TOKEN.",
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        place = host if port is None else f"{host}:{port}"
        return cls(text=f"{parts.scheme}://{place}{parts.path.rstrip('/')}", host=parts.hostname)

    @property
    def warning(self) -> str:
        """What a person should know about the way there."""
        if self.text.startswith("https:") or _is_near(self.host):
            return ""
        return "The connection is not encrypted: others on the way can read it."


@dataclass(kw_only=True)
class Connection:
    """Asks one server, and turns what goes wrong into errors of ours."""

    address: Address
    token: str | None = field(default=None, repr=False)
    """Sent as a bearer token, to this server alone."""
    _client: httpx2.Client | None = None

    def __post_init__(self) -> None:
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise InvalidRequestError(
                "The token for the server has characters that no token has.",
                hint="Look at SDCPU_REMOTE_TOKEN.",
            )

    def close(self) -> None:
        """Close the connection; a later request opens it again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def json(self, method: str, path: str, **body: Any) -> Any:
        """What the server answers; the keywords are those of the client's `request`.

        Raises:
            RemoteError: it cannot be reached, or answers something else than JSON.
            SdcpuError: the error that it answers with.
        """
        content = self.bytes(method, path, **body)
        try:
            return json.loads(content)
        except ValueError:
            raise self._strange("it answers something else than JSON") from None

    def bytes(self, method: str, path: str, **body: Any) -> bytes:
        """The same for any content."""
        with self.stream(method, path, **body) as response:
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if len(content) > LARGEST_ANSWER:
                    raise self._strange("its answer is far too large")
            return bytes(content)

    @contextmanager
    def stream(self, method: str, path: str, **body: Any) -> Iterator[httpx2.Response]:
        """An answer that is read while it comes; its status was looked at."""
        import httpx2

        place = path if path.startswith(("http:", "https:")) else self.address.text + path
        headers = {} if place != self.address.text + path else self._secret()
        headers |= body.pop("headers", {})
        try:
            with self._http().stream(method, place, headers=headers, **body) as response:
                if response.status_code >= 300:
                    raise self._refusal(response)
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            said = str(error).strip() or type(error).__name__
            raise RemoteError(
                f"{self.address.text} cannot be reached: {said}.",
                hint="Look at the address, and whether the server runs.",
            ) from error

    def _http(self) -> httpx2.Client:
        import httpx2

        if self._client is None:
            timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
            self._client = httpx2.Client(timeout=timeout)
        return self._client

    def _secret(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _refusal(self, response: httpx2.Response) -> SdcpuError:
        if 300 <= response.status_code < 400:
            return self._strange(f"it points to {response.headers.get('location', 'elsewhere')}")
        try:
            said = json.loads(response.read())["error"]
            message = str(said["message"])
        except (ValueError, KeyError, TypeError):
            said, message = {}, f"status {response.status_code}"
        error = error_from_code(str(said.get("code")), message, hint=str(said.get("hint", "")))
        if type(error) is not SdcpuError:
            return error
        refused = response.status_code == 401
        hint = "Put the server's token, or your key, into SDCPU_REMOTE_TOKEN."
        return RemoteError(
            f"{self.address.text} {'refuses' if refused else 'answers'}: {message}",
            hint=hint if refused else error.hint,
            details={"status": response.status_code},
        )

    def _strange(self, what: str) -> RemoteError:
        return RemoteError(
            f"{self.address.text} is no server that can be used: {what}.",
            hint="Give the address of an sdcpu server, or of a service with OpenAI's images API.",
            details={"status": 200},
        )


def number_of(value: Mapping[str, Any], name: str) -> float | None:
    """A number in what a server sent; None where there is none."""
    found = value.get(name)
    return float(found) if isinstance(found, int | float) and found == found else None  # noqa: PLR0124


def _is_near(host: str) -> bool:
    """Whether what goes there stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _no_address(url: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{url!r} is no address of a server.", hint="Write it like http://studio.local:7860."
    )
