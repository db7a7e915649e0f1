"""The engine's process: start it, give it work, cancel, stop, and report how it died.

The native engine ends its process with abort() where others raise, so it has one of its own: its
death is an error that names the cause, and the next call starts another.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sdcpu.child import Child, without_sigint
from sdcpu.crash_report import crash_report
from sdcpu.errors import CancelledError, EngineBusyError, EngineCrashedError, error_from_code
from sdcpu.protocol import Failed, Finished, FromEngine, Logged, Quantize, Started, Work

START_SECONDS = 60.0
"""How long the process may take to load Python and the engine's library."""
SILENCE_SECONDS = 600.0
"""How long the process may say nothing before it counts as hung; one step of a large model at a
large size takes a few minutes on a slow machine."""
_HABITS = {
    # An assert of ggml would start a debugger to print the stack: a flood of lines.
    "GGML_NO_BACKTRACE": "1",
    # How often libgomp looks again before a thread that waits for others goes to sleep. As it comes
    # (300,000), two threads beside other busy programs took 26 s for what takes 5 s like this.
    "GOMP_SPINCOUNT": "1000",
}
"""Environment of the process, where the user has set nothing else."""


@dataclass(slots=True, weakref_slot=True)
class _Work:
    """What one call of `EngineProcess.run` is about; it lives as long as that call."""

    child: Child | None = None
    cancelled: bool = False
    answered: bool = False
    """The engine has said that it is done with it, well or not."""


class EngineProcess:
    """One engine in a process of its own; a context manager that ends it.

    It starts with the first `run`, and starts again after it has died. Only one `run` can go on at
    a time; `cancel` and `stop` may come from any thread.

    >>> import os
    >>> import os
    >>> with EngineProcess(environment=os.environ) as engine:
    ...     engine.start().cancels_in_place in (True, False)
    True
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        library: Path | None = None,
        command: Sequence[str] | None = None,
        start_timeout: float = START_SECONDS,
        silence_timeout: float = SILENCE_SECONDS,
        log_lines: int = 200,
    ) -> None:
        """Prepare; `library` None is the binding's own, `command` None is sdcpu's own worker."""
        # -P: a file json.py in the user's folder must not stand in for the real one.
        self._command = command or (sys.executable, "-P", "-m", "sdcpu.worker")
        self._environment = {**_HABITS, **environment}
        if library is not None:
            self._environment["STABLE_DIFFUSION_CPP_LIB"] = str(library)
        self.library = library
        self._start_timeout = start_timeout
        self._silence_timeout = silence_timeout
        self._log: deque[str] = deque(maxlen=log_lines)
        self._lock = threading.RLock()  # a signal handler may call cancel() while we hold it
        self._starting = threading.Lock()
        self._child: Child | None = None
        self._finalizer: weakref.finalize[[], EngineProcess] | None = None
        self._current: weakref.ref[_Work] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _work(self) -> _Work | None:
        return None if self._current is None else self._current()

    @property
    def alive(self) -> bool:
        """Whether there is a process that has not ended."""
        child = self._child
        return child is not None and child.alive

    @property
    def pid(self) -> int | None:
        """The process's number; None when there is none."""
        child = self._child
        return child.pid if child is not None and child.alive else None

    @property
    def recent_log(self) -> tuple[str, ...]:
        """The last lines that the native code logged or printed, oldest first."""
        return tuple(self._log.copy())

    def start(self) -> Started:
        """Start the process unless it runs; say what is running.

        Raises:
            BuildUnusableError: the engine's library cannot be used here.
            EngineCrashedError: the process ended, or was not ready in time.
        """
        with self._starting:
            child = self._child
            if child is not None and child.alive and child.started is not None:
                return child.started
            self._discard()
            child = self._replace()
            try:
                child.started = self._wait_for_start(child)
            except BaseException:
                self._discard()
                raise
            return child.started

    def run(self, message: Work) -> Generator[FromEngine]:
        """Give the engine work; yield what it tells, `Finished` last.

        The work begins when the first value is asked for. Closing the generator before its end
        cancels the work; so does Ctrl-C.

        Raises:
            EngineBusyError: other work is going on.
            EngineCrashedError: the process died or hung; the details say how, and what it said.
            CancelledError: `cancel` or `stop` was called.
            SdcpuError: what the engine itself reports.
        """
        work = _Work()
        try:
            self._begin(work)
            self.start()
            yield from self._answers(work, message)
        except EngineCrashedError as error:
            if work.cancelled:
                raise CancelledError("Cancelled; the engine's process was ended.") from error
            raise
        finally:
            if work.child is not None and not work.answered:
                self._abandon(work.child)
                if isinstance(message, Quantize) and not work.child.alive:
                    work.child.wait()
                    Path(message.unfinished).unlink(missing_ok=True)
            self._end(work)

    def cancel(self) -> None:
        """Stop the work that is going on, within a second; without work nothing happens."""
        with self._lock:
            work = self._work
            if work is None or work.cancelled:
                return
            work.cancelled = True
        if work.child is not None:
            work.child.cancel()

    def stop(self) -> None:
        """End the process: ask, wait, terminate, wait, kill, wait; a later run starts a new one."""
        with self._lock:
            work = self._work
            if work is not None:
                work.cancelled = True
        self._discard()

    def _replace(self) -> Child:
        with self._lock, without_sigint():
            child = Child(self._command, self._environment, self._log)
            # Whether we are forgotten or Python ends: the process ends too.
            self._finalizer = weakref.finalize(self, child.end)
            self._child = child
            work = self._work
            if work is not None:
                work.child = child
            return child

    def _discard(self) -> None:
        with self._lock:
            child, self._child = self._child, None
            end, self._finalizer = self._finalizer, None
        if child is not None and end is not None:
            end()

    def _begin(self, work: _Work) -> None:
        with self._lock:
            if self._work is not None:
                raise EngineBusyError(
                    "The engine is doing other work.",
                    hint="Wait for it, cancel it, or use a second engine.",
                )
            self._current = weakref.ref(work)

    def _end(self, work: _Work) -> None:
        with self._lock:
            if self._work is work:
                self._current = None

    def _answers(self, work: _Work, message: Work) -> Iterator[FromEngine]:
        child = work.child = self._child
        if work.cancelled or child is None:
            work.answered = True  # nothing was asked
            raise CancelledError("Cancelled before it was begun.")
        child.send_work(message)
        if work.cancelled:  # while it was sent: the engine forgets what came before its work
            child.cancel()
        while not work.answered:
            answer = self._next(child, work)
            if isinstance(answer, Finished | Failed):
                work.answered = True
                self._end(work)
                if work.cancelled:
                    raise CancelledError("Cancelled.")
            if isinstance(answer, Failed):
                raise error_from_code(
                    answer.code, answer.message, hint=answer.hint, details=answer.details
                )
            yield answer

    def _next(self, child: Child, work: _Work) -> FromEngine:
        """The next message; a death or a hang is an EngineCrashedError."""
        try:
            answer = child.next_message(self._silence_timeout)
        except TimeoutError as error:
            child.kill(f"said nothing for {self._silence_timeout:g} s")
            raise self._crash(child) from error
        if answer is None and work.cancelled:
            raise CancelledError("Cancelled; the engine's process was ended.")
        if answer is None:
            raise self._crash(child)
        return answer

    def _wait_for_start(self, child: Child) -> Started:
        try:
            first = child.next_message(self._start_timeout)
            while isinstance(first, Logged):
                first = child.next_message(self._start_timeout)
        except TimeoutError as error:
            child.kill(f"was not ready after {self._start_timeout:g} s")
            raise self._crash(child) from error
        if isinstance(first, Failed):
            raise error_from_code(first.code, first.message, hint=first.hint, details=first.details)
        if not isinstance(first, Started):
            raise self._crash(child)
        return first

    def _crash(self, child: Child) -> EngineCrashedError:
        """What a process that has ended, or is ending, died of."""
        returncode = child.wait()
        return crash_report(returncode, self.recent_log, fault=child.fault)

    def _abandon(self, child: Child) -> None:
        """Leave work unfinished: the engine stops it in time, or its process is killed."""
        if not child.alive:
            return
        try:
            child.cancel()
            child.skip_to_answer()
        except BaseException:  # a second Ctrl-C: no half-read stream may stay
            child.kill()
            raise
