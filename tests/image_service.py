"""A service on loopback that speaks OpenAI's images API, and remembers what it was asked."""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from PIL import Image

KEY = "sk-only-for-tests"


@dataclass(kw_only=True)
class Asked:
    """One request."""

    path: str
    authorization: str | None
    body: bytes


@dataclass(kw_only=True)
class ImageService:
    """Answers with pictures of one colour; `answers` replaces the body of its next answers."""

    by_address: bool = False
    """Whether pictures come as addresses, which is where the key must not go."""
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        service: ImageService = self

        class Handler(_Handler):
            owner = service

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def picture(self) -> dict[str, Any]:
        """A picture as the API's answer holds it."""
        if self.by_address:
            return {"url": f"{self.url}/kept/1.png"}
        return {"b64_json": base64.b64encode(png()).decode(), "revised_prompt": "a redder circle"}


class _Handler(BaseHTTPRequestHandler):
    owner: ImageService

    def do_GET(self) -> None:
        self._note(b"")
        if self.path.startswith("/kept/"):
            self._answer(200, png())
        else:
            self._answer(404, b'{"error": {"message": "Not found", "code": "not_found"}}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._note(body)
        if self.owner.answers:
            self._answer(*self.owner.answers.pop(0))
        elif self.headers.get("Authorization") != f"Bearer {KEY}":
            said = {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}
            self._answer(401, json.dumps(said).encode())
        else:
            count = json.loads(body)["n"] if body.startswith(b"{") else 1
            data = [self.owner.picture() for _ in range(count)]
            self._answer(200, json.dumps({"created": 1, "data": data}).encode())

    def _note(self, body: bytes) -> None:
        secret = self.headers.get("Authorization")
        self.owner.asked.append(Asked(path=self.path, authorization=secret, body=body))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Stay quiet."""


def png() -> bytes:
    """A picture as its bytes."""
    written = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(written, "PNG")
    return written.getvalue()
