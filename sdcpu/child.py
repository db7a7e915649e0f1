"""One run of the engine's program, from its start to its end, with its messages and its log."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
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

CANCEL_SECONDS = 0.8
"""How long a cancel may take inside the engine before its process is killed."""
STOP_SECONDS = 2.0
"""How long the process may take to end after it was asked to, and again after SIGTERM."""
_LONGEST_LINE = 2000
"""Bytes of one printed line that are kept."""


class Child:
    """A process that speaks `sdcpu.protocol`; threads read it, so that it never waits for us.

    What it logs and prints is appended to `log`. A death shows as a message of None.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: deque[str]
    ) -> None:
        self.started: Started | None = None
        self.fault = ""
        """What it did wrong, where we killed it for that."""
        self._owner = os.getpid()
        self._log = log
        self._messages: queue.Queue[FromEngine | None] = queue.Queue()
        self._answered = threading.Event()
        self._ending = False
        self._sending = threading.Lock()
        self._popen = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._threads = [
            threading.Thread(target=read, name=f"sdcpu-{read.__name__}", daemon=True)
            for read in (self._read_messages, self._read_lines)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can be given work; not so while it is dying."""
        return not self._ending and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._popen.pid

    def send_work(self, message: ToEngine) -> None:
        """Send what `Finished` or `Failed` will answer."""
        self._answered.clear()
        self._send(message)

    def cancel(self) -> None:
        """Ask the engine to stop its work, and kill the process if it does not in time."""
        threading.Thread(target=self._kill_unless_answered, daemon=True).start()
        self._send(Cancel())

    def next_message(self, timeout: float) -> FromEngine | None:
        """The next message; None at the end of the process.

        The silence is counted in seconds that we were awake for: a suspended program or laptop
        does not make a hang.

        Raises:
            TimeoutError: it said nothing for so many seconds.
        """
        silent = 0.0
        while True:
            patience = min(1.0, timeout - silent)
            try:
                message = self._messages.get(timeout=patience)
            except queue.Empty:
                silent += patience
                if silent >= timeout:
                    raise TimeoutError from None
            else:
                if message is None:  # the end stays the end, also for who asks again
                    self._messages.put(None)
                return message

    def skip_to_answer(self) -> None:
        """Throw away what is still told about work that nobody wants any more."""
        while True:
            message = self.next_message(CANCEL_SECONDS + STOP_SECONDS)
            if message is None or isinstance(message, Finished | Failed):
                return

    def kill(self, fault: str = "") -> None:
        """End it at once; `fault` is what it is killed for."""
        self.fault = self.fault or fault
        self._ending = True
        self._popen.kill()

    def wait(self) -> int:
        """Wait for a process that is ending, kill one that is not; return its code."""
        self._wait_or(lambda: self.kill("closed its messages"))
        returncode = self._popen.wait()
        for thread in self._threads:  # what it said last is still in the pipes
            if thread is not threading.current_thread():
                thread.join(timeout=STOP_SECONDS)
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            with contextlib.suppress(OSError):  # what it did not read cannot be flushed
                cast("IO[bytes]", stream).close()
        return returncode

    def end(self) -> None:
        """Ask, wait, terminate, wait, kill, wait."""
        if os.getpid() != self._owner:
            return  # a fork of the process that it belongs to
        if self.alive:
            self._send(Stop(), patience=CANCEL_SECONDS)
            self._wait_or(self._popen.terminate)
            self._wait_or(self._popen.kill)
        self.wait()

    def _send(self, message: ToEngine, *, patience: float = -1) -> None:
        """Write a message; if the process has ended, the reader will notice."""
        if not self._sending.acquire(timeout=patience):
            return
        try:
            # ValueError: another thread has ended it and closed the stream.
            with contextlib.suppress(OSError, ValueError):
                write_message(cast("IO[bytes]", self._popen.stdin), message)
        except BaseException:  # Ctrl-C in the middle of a frame
            self.kill()
            raise
        finally:
            self._sending.release()

    def _kill_unless_answered(self) -> None:
        if not self._answered.wait(CANCEL_SECONDS):
            self.kill()

    def _wait_or(self, act: Callable[[], None]) -> None:
        try:
            self._popen.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            act()

    def _read_messages(self) -> None:
        stream = cast("IO[bytes]", self._popen.stdout)
        while True:
            try:
                message = cast("FromEngine | None", read_message(stream))
            except FramingError as error:
                self.kill(f"sent {error}")
                message = None
            if isinstance(message, Logged):
                self._log.append(message.text)
            if message is None:
                self._ending = True
            if message is None or isinstance(message, Started | Finished | Failed):
                self._answered.set()
            self._messages.put(message)
            if message is None:
                return

    def _read_lines(self) -> None:
        """Keep what native code prints: the reason of an abort comes this way."""
        stream = cast("IO[bytes]", self._popen.stderr)
        begins = True
        while piece := stream.readline(_LONGEST_LINE):
            if begins and (text := piece.decode(errors="replace").strip()):
                self._log.append(text)
            begins = piece.endswith(b"\n")


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
