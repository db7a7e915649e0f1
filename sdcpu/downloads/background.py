"""Blocking work in a thread of its own, seen as progress by the one who waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from sdcpu.events import DownloadProgress

if TYPE_CHECKING:
    import httpx2

Result = TypeVar("Result")

_BEAT = 0.1
"""Seconds between two looks at the work: often enough for a smooth bar and a prompt cancel."""
_LONGEST_GOODBYE = 1.0
"""Seconds to wait for the thread after it was told to stop. A read from a socket is broken off at
once; what cannot be broken off (looking a name up, waiting for a first answer) ends with its own
time-out, in a daemon thread that then does nothing more."""
_SPEED_WINDOW = 5.0
"""Seconds over which the speed is measured."""


class StoppedError(Exception):
    """The one who waited has left; ends the thread, never seen outside of it."""


class Task:
    """What the working thread tells, and how it is told to stop."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._connection: socket.socket | None = None
        self._moved = 0
        self._speed = _Speed()
        self.file = ""
        self.total = 0
        self.done = 0

    def begin(self, file: str, *, total: int, done: int = 0) -> None:
        """Start to tell about a file of `total` bytes (0: unknown)."""
        self.file, self.total, self.done = file, total, done

    def advance(self, count: int) -> None:
        """So many bytes more were moved: they count for the speed."""
        self._moved += count
        self.done += count

    def check(self) -> None:
        """Leave, when nobody waits any more."""
        if self._stopped.is_set():
            raise StoppedError

    def pause(self, seconds: float) -> None:
        """Wait; leave at once when nobody waits any more."""
        if self._stopped.wait(seconds):
            raise StoppedError

    @contextmanager
    def reading(self, response: httpx2.Response) -> Iterator[None]:
        """Let `stop` break off the reading of this response."""
        stream = response.extensions.get("network_stream")
        self._connection = stream.get_extra_info("socket") if stream else None
        self.check()
        try:
            yield
        finally:
            self._connection = None

    def stop(self) -> None:
        """Tell the thread to end; called by the one who waits."""
        self._stopped.set()
        connection = self._connection
        if connection is not None:
            with suppress(OSError):
                # Wakes a thread that waits in recv(), which close() does not; taken from the plain
                # socket because an SSLSocket's own shutdown() pulls the TLS state from under it.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def progress(self) -> DownloadProgress:
        """How far the file is, with the speed of the last seconds."""
        done, total = self.done, self.total
        speed = self._speed.at(self._moved)
        left = (total - done) / speed if total and speed and done <= total else None
        return DownloadProgress(
            file=self.file, done=done, total=total, bytes_per_second=speed, seconds_left=left
        )


class _Speed:
    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def at(self, moved: int) -> float:
        now = time.monotonic()
        self._seen.append((now, moved))
        while len(self._seen) > 2 and now - self._seen[0][0] > _SPEED_WINDOW:
            self._seen.popleft()
        before, moved_before = self._seen[0]
        return (moved - moved_before) / (now - before) if now > before else 0.0


def in_background(work: Callable[[Task], Result]) -> Generator[DownloadProgress, None, Result]:
    """Run `work` in a thread, yield its progress, return its result or raise its error.

    Leaving the generator early stops the work.
    """
    task = Task()
    finished = threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work(task))
        except BaseException as error:  # noqa: BLE001 - raised again below, by the one who waits
            errors.append(error)
        finally:
            finished.set()

    thread = threading.Thread(target=run, name="sdcpu download", daemon=True)
    thread.start()
    try:
        while not finished.wait(_BEAT):
            if task.file:
                yield task.progress()
    finally:
        task.stop()
        thread.join(_LONGEST_GOODBYE)
    if errors:
        raise errors.pop()
    if task.done:
        yield task.progress()
    return results.pop()
