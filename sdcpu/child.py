"""One run of the engine's program, from its start to its end, with its messages and its log.

Threads of its own read, write and watch the process. The caller's thread only touches C-implemented
queues and plain attributes: a Ctrl-C can then neither break a frame in two nor leave a lock behind,
as it can inside `queue.Queue`, `threading.Event` and `Popen.wait`.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, cast

from sdcpu.protocol import (
    Cancel,
    Failed,
    Finished,
    FramingError,
    FromEngine,
    Logged,
    Started,
    Stop,
    ToEngine,
    read_message,
    write_message,
)

CANCEL_SECONDS = 0.7
"""How long a cancel may take inside the engine before its process is killed."""
STOP_SECONDS = 2.0
"""How long the process may take to end after it was asked to, and again after SIGTERM."""
_LONGEST_LINE = 2000
"""Bytes of one printed line that are kept."""
_GLANCE_SECONDS = 0.005
"""How often an attribute is looked at that another thread sets."""


class Child:
    """A process that speaks `sdcpu.protocol`.

    What it logs and prints is appended to `log`. Its end shows as a message of None, after which
    `wait` may still take a moment.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: deque[str]
    ) -> None:
        self.started: Started | None = None
        self.fault = ""
        """What it did wrong, where we killed it for that."""
        self._owner = os.getpid()
        self._log = log
        self._incoming: queue.SimpleQueue[FromEngine | None] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[ToEngine | None] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._works = 0  # the start counts as the first, which Started answers
        self._answers = -1
        self._ending = False
        self._returncode: int | None = None
        self._popen = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._lines = self._thread(self._read_lines)
        self._threads = [self._lines] + [
            self._thread(target) for target in (self._read_messages, self._write, self._obey)
        ]

    @property
    def alive(self) -> bool:
        """Whether it can be given work; not so once it is dying."""
        return not self._ending

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._popen.pid

    def send_work(self, message: ToEngine) -> None:
        """Send what `Finished` or `Failed` will answer."""
        self._works += 1
        self._outgoing.put(message)

    def cancel(self) -> None:
        """Ask the engine to stop its work, and kill the process if it does not in time."""
        work = self._works
        self._orders.put(lambda: self._kill_unless_answered(work))
        self._outgoing.put(Cancel())

    def next_message(self, timeout: float = math.inf) -> FromEngine | None:
        """The next message; None when the process has ended.

        The silence is counted in seconds that we were awake for: a suspended program or laptop
        does not make a hang.

        Raises:
            TimeoutError: it said nothing for so many seconds.
        """
        silent = 0.0
        while True:
            patience = min(1.0, timeout - silent)
            try:
                message = self._incoming.get(timeout=patience)
            except queue.Empty:
                silent += patience
                if silent >= timeout:
                    raise TimeoutError from None
            else:
                if message is None:  # the end stays the end, also for who asks again
                    self._incoming.put(None)
                return message

    def skip_to_answer(self) -> None:
        """Throw away what is still told about work that nobody wants any more."""
        while not isinstance(self.next_message(), Finished | Failed | None):
            pass

    def kill(self, fault: str = "") -> None:
        """End it at once; `fault` is what it is killed for."""
        self.fault = self.fault or fault
        self._ending = True
        self._orders.put(self._popen.kill)

    def wait(self) -> int:
        """Wait for a process that is ending; return its code."""
        while self._returncode is None:
            time.sleep(_GLANCE_SECONDS)
        return self._returncode

    def end(self) -> None:
        """Ask, wait, terminate, wait, kill, wait."""
        if os.getpid() != self._owner:
            return  # a fork of the process that it belongs to
        self._ending = True
        self._outgoing.put(Stop())
        self._orders.put(self._end_by_force)
        if threading.current_thread() not in self._threads:  # of which one may collect garbage
            self.wait()

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"sdcpu{target.__name__}", daemon=True)
        thread.start()
        return thread

    def _read_messages(self) -> None:
        with cast("IO[bytes]", self._popen.stdout) as stream:
            while (message := self._read_message(stream)) is not None:
                if isinstance(message, Logged):
                    self._log.append(message.text)
                elif isinstance(message, Started | Finished | Failed):
                    self._answers += 1
                self._incoming.put(message)
        self._ending = True
        try:
            returncode = self._popen.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.fault = self.fault or "closed its messages"
            self._popen.kill()
            returncode = self._popen.wait()
        self._lines.join(timeout=STOP_SECONDS)  # what it said last is still in the pipe
        self._returncode = returncode
        self._outgoing.put(None)
        self._orders.put(None)
        self._incoming.put(None)

    def _read_message(self, stream: IO[bytes]) -> FromEngine | None:
        try:
            return cast("FromEngine | None", read_message(stream))
        except FramingError as error:
            self.fault = self.fault or f"sent {error}"
            self._popen.kill()
            return None

    def _read_lines(self) -> None:
        """Keep what native code prints: the reason of an abort comes this way."""
        with cast("IO[bytes]", self._popen.stderr) as stream:
            begins = True
            while piece := stream.readline(_LONGEST_LINE):
                if begins and (text := piece.decode(errors="replace").strip()):
                    self._log.append(text)
                begins = piece.endswith(b"\n")

    def _write(self) -> None:
        # OSError: the process has ended, which its reader notices.
        with contextlib.suppress(OSError), cast("IO[bytes]", self._popen.stdin) as stream:
            while (message := self._outgoing.get()) is not None:
                write_message(stream, message)

    def _obey(self) -> None:
        """Do what takes time or force."""
        while (order := self._orders.get()) is not None:
            order()

    def _kill_unless_answered(self, work: int) -> None:
        deadline = time.monotonic() + CANCEL_SECONDS
        while self._answers < work:
            if time.monotonic() > deadline:
                self._ending = True
                self._popen.kill()
                # It does nothing more; freeing gigabytes may take it longer than a cancel may.
                self._incoming.put(None)
                return
            time.sleep(_GLANCE_SECONDS)

    def _end_by_force(self) -> None:
        for act in (self._popen.terminate, self._popen.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout=STOP_SECONDS)
                return
            act()


@contextlib.contextmanager
def without_sigint() -> Iterator[None]:
    """Hold Ctrl-C back: for a child that is not noted yet, and in it until it can ignore it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
