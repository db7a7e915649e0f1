"""Running the MCP server over standard input and output, or over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mcp.server.mcpserver import MCPServer

from sdcpu.agents.mcp_access import accepted_headers
from sdcpu.errors import InvalidRequestError

PATH = "/mcp"
"""Of the server's address."""
MAX_BODY_BYTES = 48 * 1024 * 1024
"""Of a request: a picture in base64 and some more."""
_PATIENCE = 3
"""Seconds that open connections have when the server ends."""


def serve_stdio(server: MCPServer[Any], end: Callable[[], None]) -> None:
    """Serve the one client that started this program, until it closes standard input.

    The SDK keeps standard output for itself; what else is written there goes to standard error.
    `end` is called when a signal ends the program before.
    """

    def leave(number: int) -> None:
        end()
        # The SDK reads standard input in a thread that nothing wakes: to wait for it would hang.
        os._exit(128 + number)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # on Windows they end the program at once
                loop.add_signal_handler(number, leave, number)
        await server.run_stdio_async()

    asyncio.run(serve())


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0: any that is free.

    Raises:
        InvalidRequestError: the address is not ours, or taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InvalidRequestError(
            f"Nothing can listen at {host}, port {port}: {error.strerror or error}.",
            hint="Choose another one with --port.",
        ) from error


def serve_http(server: MCPServer[Any], listening: socket.socket, host: str) -> None:
    """Serve any number of clients over HTTP, until Ctrl-C.

    Requests whose Host or Origin header is not of this server are refused by the SDK.
    """
    import uvicorn

    app = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=MAX_BODY_BYTES,
        transport_security=accepted_headers(host, listening.getsockname()[1]),
    )
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=_PATIENCE
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
