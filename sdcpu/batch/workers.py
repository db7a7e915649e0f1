"""Generators side by side, each with an engine of its own, that share one list of lines.

One is enough to keep a processor busy; more can pay where the engine does not make use of all
cores, and each of several cards wants one. A generator keeps its model until a line wants another
one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from sdcpu.batch.events import LineDone, LineFailed, LineProgress
from sdcpu.batch.lines import BatchLine
from sdcpu.errors import (
    BuildError,
    CancelledError,
    DownloadError,
    EngineCrashedError,
    ModelLoadError,
    ModelNotDownloadedError,
    SdcpuError,
    UnknownModelError,
)
from sdcpu.generator import Event, ImageGenerator

OF_THE_MODEL = (
    *(BuildError, DownloadError, ModelLoadError, ModelNotDownloadedError, UnknownModelError),
)
"""Errors that every other line with the same model would meet too."""
_MOST_EVENTS = 64
"""That wait to be seen; a worker that is ahead of them waits."""
_MOMENT = 0.05
"""Seconds between two looks at a thread that ends."""

Draw = Callable[[ImageGenerator, BatchLine], Generator[Event | LineDone, None, None]]
"""Draws a line with a generator that has its model, and tells what happens."""


class Workers:
    """So many generators, which draw lines as they come; leaving the iterator ends them all."""

    def __init__(
        self, count: int, open_generator: Callable[[str | None, int], ImageGenerator]
    ) -> None:
        """`open_generator` gets a model and the worker's number, counted from 0."""
        self.count = count
        self._open = open_generator
        self._generators: dict[int, ImageGenerator] = {}
        self._events: queue.Queue[LineProgress | LineFailed | LineDone | BaseException | None] = (
            queue.Queue(_MOST_EVENTS)
        )
        self._lines = threading.Lock()
        self._stopped = threading.Event()
        self._given_up: dict[str | None, SdcpuError] = {}

    def run(
        self, lines: Iterator[BatchLine], draw: Draw
    ) -> Generator[LineProgress | LineFailed | LineDone, None, None]:
        """Draw all lines; what `draw` yields besides events of a generator is passed on.

        A line whose engine dies is drawn once more. A model that cannot be had is tried once.
        """
        threads = [
            threading.Thread(
                target=self._work, args=(number, lines, draw), name=f"sdcpu-worker-{number}"
            )
            for number in range(self.count)
        ]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                event = self._events.get()
                if event is None:
                    running -= 1
                elif isinstance(event, BaseException):
                    raise event
                else:
                    yield event
        finally:
            self._stopped.set()
            for thread in threads:
                self._end(thread)

    def _end(self, thread: threading.Thread) -> None:
        while thread.is_alive():
            for generator in list(self._generators.values()):
                generator.cancel()
            while not self._events.empty():
                self._events.get()  # a thread that has something to tell cannot end
            thread.join(_MOMENT)

    def _work(self, number: int, lines: Iterator[BatchLine], draw: Draw) -> None:
        model: str | None = None
        try:
            while not self._stopped.is_set():
                with self._lines:
                    line = next(lines, None)
                if line is None:
                    break
                if number in self._generators and line.model != model:
                    self._generators.pop(number).close()
                model = line.model
                self._draw_one(number, line, draw)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the lines are run
            self._events.put(error)
        finally:
            if number in self._generators:
                self._generators.pop(number).close()
            self._events.put(None)

    def _draw_one(self, number: int, line: BatchLine, draw: Draw) -> None:
        try:
            try:
                self._attempt(number, line, draw)
            except EngineCrashedError:
                self._attempt(number, line, draw)
        except CancelledError:
            raise
        except SdcpuError as error:
            if isinstance(error, OF_THE_MODEL):
                self._given_up[line.model] = error
            self._events.put(LineFailed(line=line, error=error))

    def _attempt(self, number: int, line: BatchLine, draw: Draw) -> None:
        if line.model in self._given_up:
            raise self._given_up[line.model]
        if number not in self._generators:
            self._generators[number] = self._open(line.model, number)
        with closing(draw(self._generators[number], line)) as events:
            for event in events:
                if self._stopped.is_set():
                    return
                if isinstance(event, LineDone):
                    self._events.put(event)
                else:
                    self._events.put(LineProgress(line=line, event=event, worker=number))
