"""Running an application with uvicorn until it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sdcpu.errors import SettingsError
from sdcpu.server.limits import ServerLimits

if TYPE_CHECKING:
    from fastapi import FastAPI

STOPPED_AT_ONCE = 130
"""The exit code after a second Ctrl-C: 128 + SIGINT, as shells count."""
_LEAVE_SECONDS = 5
"""For answers that are being sent when the server stops."""
_CONNECTIONS_PER_REQUEST = 2
_WAITING_TO_BE_TAKEN = 128
"""Connections; all of them are taken at once, each a file, before the first can be closed."""
_MISTAKES_OF_CLIENTS = (
    "Invalid HTTP request received.",
    "Invalid UTF-8 sequence received from client.",
    "ASGI callable returned without completing handshake.",  # a socket that was refused
    "Unsupported upgrade request.",
)
"""What uvicorn warns of."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that will listen there; port 0 takes a free one.

    Raises:
        SettingsError: the address is not of this machine, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"{host} is no address to listen at: {error}.", hint="127.0.0.1 is this machine alone."
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"The server cannot listen at {host}, port {port}: {error.strerror or error}.",
            hint="Take another one: --port 0 finds a free port.",
        ) from error
    return listener


class Server(uvicorn.Server):
    """Uvicorn, which ends our event streams when it stops and leaves signals to its caller."""

    def __init__(
        self, app: FastAPI, listener: socket.socket, ready: Callable[[], None] | None = None
    ) -> None:
        """`ready` is called once the server answers."""
        limits: ServerLimits = app.state.limits

        class Protocol(_Protocol):
            header_seconds = limits.header_seconds

        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                lifespan="on",
                log_config=None,
                access_log=False,  # it would log the query, where the token may be
                server_header=False,
                proxy_headers=False,  # nobody is believed who says where he comes from
                backlog=_WAITING_TO_BE_TAKEN,
                ws_max_size=64 * 1024,
                ws_max_queue=8,
                # Uvicorn would turn everybody away at this number: the protocol keeps below it.
                limit_concurrency=_CONNECTIONS_PER_REQUEST * limits.most_requests + 1,
                timeout_graceful_shutdown=_LEAVE_SECONDS,
            )
        )
        # Anybody could fill the log with what clients do wrong.
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self._app = app
        self._listener = listener
        self._ready = ready

    def run_until_stopped(self) -> None:
        """Serve until `stop` is called, from any thread or a signal's handler."""
        self.run(sockets=[self._listener])

    def stop(self) -> None:
        """Finish what is being answered, then leave `run_until_stopped`."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if self._ready is not None:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first: they would never end by themselves."""
        self._app.state.streams.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: `stopped_by_signals` also guards what happens after the server."""
        yield


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C or SIGTERM; a second one ends the process at once.

    What is not finished then is taken up at the next start: the queue is on the disk.
    """
    asked = False

    def handle(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            os._exit(STOPPED_AT_ONCE)
        asked = True
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record tells of more than a client's mistake, or an answer cut off at the end."""
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        return False
    return record.getMessage() not in _MISTAKES_OF_CLIENTS


class _Protocol(H11Protocol):
    """HTTP/1.1 that waits only so long for the headers of a request, as uvicorn's does not."""

    header_seconds: float
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) >= (self.limit_concurrency or math.inf):
            transport.abort()  # each costs a file, and files are what pictures need too
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        # What follows an answer, of a body that nobody reads, has no more time than headers have.
        answered = self.cycle is not None and self.cycle.response_complete
        if self.conn.their_state is not h11.IDLE and not answered:
            self._unwatch()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self.transport.close)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
