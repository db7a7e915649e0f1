"""The gate before the application: who may come in, how much they may bring, and how slowly."""

from __future__ import annotations

import asyncio
import html
import logging
import time
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdcpu.server.access import Access
from sdcpu.server.answers import Problem, answer_of
from sdcpu.server.limits import ServerLimits

logger = logging.getLogger("sdcpu.server")

_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""With every answer: nothing is loaded from elsewhere, and nobody else shows what is here."""
_APIS = ("/api/", "/v1/", "/sdapi/")
"""What their answers hold is nobody else's business, and soon out of date."""
_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013


class Gate:
    """Lets a request through to the application, or answers it."""

    def __init__(self, app: ASGIApp, access: Access, limits: ServerLimits) -> None:
        self._app = app
        self._access = access
        self._limits = limits
        self._in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Deal with a request or a socket."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers_of(scope["headers"])
        problem = self._access.problem("CONNECT", headers) or self._crowd()
        if problem is None:
            await self._counted(scope, receive, send)
        elif "websocket.http.response" in scope.get("extensions", {}):
            await answer_of(problem, scope["path"])(scope, receive, send)
        else:
            code = _TRY_AGAIN_LATER if problem.status == 503 else _POLICY_VIOLATION
            await send({"type": "websocket.close", "code": code, "reason": problem.message})

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        status = 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                private = scope["path"].startswith(_APIS)
                headers.setdefault("Cache-Control", "no-store" if private else "no-cache")
            await send(message)

        if answer := self._answer(scope):
            await answer(scope, receive, send_noted)
        else:
            body = _Body(scope, receive, send_noted, self._limits)
            await self._counted(scope, body.receive, body.send)
        # The query may hold the token, so it is never logged.
        seconds = time.monotonic() - began
        logger.info("%s %s %d %.3f s", scope["method"], _shown(scope["path"]), status, seconds)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._in_work += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_work -= 1

    def _answer(self, scope: Scope) -> Response | None:
        """The answer to what is not let through."""
        headers, path = _headers_of(scope["headers"]), scope["path"]
        problem = self._access.problem(scope["method"], headers) or self._crowd()
        at_door = scope["method"] in ("GET", "HEAD") and path == "/"
        if at_door and self._access.token is not None and (given := _given_token(scope)):
            if (problem is None or problem.status == 401) and self._access.is_token(given):
                cookie = self._access.cookie(
                    headers.get("host", ""), secure=scope.get("scheme") == "https"
                )
                return HTMLResponse(_WELCOME, headers={"Set-Cookie": cookie})
            problem = problem or Problem(401, "token_needed", "The token is wrong.")
        if problem is None:
            return self._too_large(headers, path)
        if problem.status == 401 and at_door and "text/html" in headers.get("accept", ""):
            return HTMLResponse(_DOOR.format(html.escape(problem.message)), 401, problem.headers)
        return answer_of(problem, path)

    def _crowd(self) -> Problem | None:
        if self._in_work < self._limits.most_requests:
            return None
        return Problem(
            503, "busy", "The server has too much to do.", "Try again soon.", {"Retry-After": "5"}
        )

    def _too_large(self, headers: Mapping[str, str], path: str) -> Response | None:
        most = self._limits.body_bytes(path)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > most:
            return answer_of(_too_large(most), path)
        return None


class _Body:
    """The body of a request, counted and timed while it comes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: ServerLimits) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._most = limits.body_bytes(scope["path"])
        self._deadline = time.monotonic() + limits.body_seconds
        self._bytes = 0
        self._whole = False
        self._problem: Problem | None = None
        self._answered = False

    async def receive(self) -> Message:
        """The next message, as long as bounds are kept; else Problem."""
        if self._whole:  # what follows is the wait for the client to go away
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise self._refused(
                Problem(
                    408, "too_slow", "The request came too slowly.", "", {"Connection": "close"}
                )
            ) from None
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._bytes > self._most:
                raise self._refused(_too_large(self._most))
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on; where the body was refused, that is the answer, whoever caught it."""
        if self._problem is None:
            await self._send(message)
        elif not self._answered:
            self._answered = True
            answer = answer_of(self._problem, self._scope["path"])
            await answer(self._scope, self._receive, self._send)

    def _refused(self, problem: Problem) -> Problem:
        self._problem = problem
        return problem


def _too_large(most: int) -> Problem:
    return Problem(
        413,
        "too_large",
        f"The request is larger than {most} bytes.",
        "Send less at once, or a smaller picture.",
        {"Connection": "close"},
    )


def _headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in small letters; of a header that comes twice, all values, so that none hides."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joint = "; " if key == "cookie" else ", "
        headers[key] = f"{headers[key]}{joint}{text}" if key in headers else text
    return headers


def _given_token(scope: Scope) -> str:
    query_string: bytes = scope.get("query_string", b"")
    query = parse_qsl(query_string[:4096].decode("latin-1"))
    return dict(query).get("token", "")


def _shown(path: str) -> str:
    """A path as it may stand in a log: one line of plain characters."""
    return ascii(path[:200])[1:-1]


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>sdcpu</title>{}</html>
"""
# A redirection would still belong to the visit from elsewhere, and its cookie would not be sent;
# the page itself moving on is a visit of our own.
_WELCOME = _PAGE.format(
    '<meta http-equiv="refresh" content="0;url=/"><p><a href="/">Go on to the page</a>'
)
_DOOR = _PAGE.format(
    "<h1>sdcpu</h1><p>{}</p><form><label>Token "
    '<input type="password" name="token" autocomplete="current-password" autofocus></label> '
    "<button>Open</button></form>"
)
