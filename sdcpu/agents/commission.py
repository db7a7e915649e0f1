"""A picture that an agent asked for: it can be waited for, and cancelled from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

from sdcpu.errors import CancelledError

Made = TypeVar("Made")


class Commission(Generic[Made]):
    """One piece of work of a `Studio`; what it is to become is in `future`."""

    def __init__(self) -> None:
        self.future: Future[Made] = Future()
        self.future.set_running_or_notify_cancel()  # only `cancel` below may end it early
        self._lock = threading.Lock()
        self._cancelled = False
        self._stop: Callable[[], None] | None = None
        """Stops what draws, while it draws for this commission."""

    def cancel(self) -> None:
        """Give the picture up: what waits is not begun, and the engine stops what is under way."""
        with self._lock:
            self._cancelled = True
            if self._stop is not None:
                self._stop()

    def check(self) -> None:
        """Go on, unless it was cancelled.

        Raises:
            CancelledError: it was.
        """
        if self._cancelled:
            raise CancelledError("The picture was cancelled.")

    @contextmanager
    def under_way(self, stop: Callable[[], None]) -> Iterator[None]:
        """While the work is done: `stop` is what a cancel calls."""
        with self._lock:
            self.check()
            self._stop = stop
        try:
            yield
        finally:
            with self._lock:
                self._stop = None

    async def finished(self) -> Made:
        """Wait for the picture; a task that is cancelled meanwhile cancels the picture.

        Raises:
            SdcpuError: it could not be made; CancelledError: it was cancelled.
        """
        try:
            return await asyncio.wrap_future(self.future)
        except asyncio.CancelledError:
            self.cancel()
            raise
