"""What happens in the queue, as it reaches clients: server-sent events and sockets.

The queue announces from its own threads. One thread of ours listens and wakes the event loop; the
streams then take what each of them has not sent yet. A stream is no thread: a client that goes
away, or reads nothing, costs next to nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress

from sdcpu.job_queue import Announcement, Announcements, Subscription

WAKE_SECONDS = 0.02
"""Announcements that come closer together wake the streams once."""
GLANCE_SECONDS = 1.0
"""How often a stream looks by itself: a wake-up may come before the news are everywhere."""
HEARTBEAT_SECONDS = 15.0
"""After so long without news something is sent, so that a dead connection shows and is closed."""


class Streams:
    """Every open stream of one server."""

    def __init__(self, announcements: Announcements, most: int) -> None:
        self._announcements = announcements
        self._most = most
        self._open: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: Subscription | None = None
        self._waking = False
        self._closing = asyncio.Event()

    def start(self) -> None:
        """Begin to listen; to be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._closing.clear()
        self._listening = self._announcements.subscribe()
        threading.Thread(target=self._listen, name="sdcpu-streams", daemon=True).start()

    def close(self) -> None:
        """End every stream; to be called in the event loop."""
        self._closing.set()
        self._wake()
        if self._listening is not None:
            self._listening.close()

    @property
    def closing(self) -> bool:
        """Whether the server is about to stop."""
        return self._closing.is_set()

    @property
    def is_full(self) -> bool:
        """Whether no further stream may be opened."""
        return len(self._open) >= self._most

    async def follow(
        self, job: str | None, after: int | None
    ) -> AsyncGenerator[Announcement | None, None]:
        """What is announced, of one job or of all, after a number or from now on.

        None comes first when everything up to now was told, and then as a sign of life.
        """
        news = asyncio.Event()
        self._open.add(news)
        subscription = self._announcements.subscribe(job, after)
        heard = self._announcements.latest if after is None else after
        resumed = heard
        now = asyncio.get_running_loop().time
        next_sign = now()
        try:
            while not self.closing:
                news.clear()
                while announcement := subscription.get(timeout=0):
                    heard = announcement.number
                    yield announcement
                if subscription.closed and heard == resumed:
                    return  # with the queue
                if subscription.closed:  # it was too slow
                    resumed = heard
                    subscription = self._announcements.subscribe(job, heard)
                elif now() >= next_sign:
                    next_sign = now() + HEARTBEAT_SECONDS
                    yield None
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), GLANCE_SECONDS)
        finally:
            self._open.discard(news)
            subscription.close()

    def _listen(self) -> None:
        assert self._loop is not None  # noqa: S101
        while self._listening is not None and not self._listening.closed:
            if self._listening.get(timeout=60) is not None and not self._waking:
                self._waking = True
                try:
                    self._loop.call_soon_threadsafe(self._loop.call_later, WAKE_SECONDS, self._wake)
                except RuntimeError:  # the loop is closed
                    return

    def _wake(self) -> None:
        self._waking = False
        for news in self._open:
            news.set()
