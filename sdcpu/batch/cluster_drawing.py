"""What a process of a Dask cluster does for a batch: it draws with one generator of its own."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from distributed import get_worker

from sdcpu.errors import CancelledError, Detail, SdcpuError
from sdcpu.events import DownloadProgress, Progress
from sdcpu.generator import ImageGenerator
from sdcpu.images import GeneratedImage
from sdcpu.settings import load_settings

_SECONDS_BETWEEN_NEWS = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureOrder:
    """One picture, and how a process of the cluster is to draw it."""

    run: str
    """Which run of a batch it belongs to; the name of the topic for its news."""
    line: int
    """Number of the batch's line."""
    model: str | None
    request: Mapping[str, Any] = field(hash=False)
    """Keywords of `ImageRequest`, with the prompt."""
    machine: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Keywords of `ImageGenerator`; threads and memory are else those of the process."""
    shared_cache: str | None = None
    """A folder for models that every machine sees; None: each process's own settings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureFailure:
    """Why a picture could not be drawn, in plain values."""

    code: str
    message: str
    hint: str = ""
    details: dict[str, Detail] = field(default_factory=dict)


class _Desk:
    """The process's one generator, which keeps its model until another one is wanted."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Held while a picture is drawn: tasks of one process wait for one another."""
        self.cancelled: set[str] = set()
        self._generator: ImageGenerator | None = None
        self._key: tuple[object, ...] = ()
        self._run = ""

    def generator(self, order: PictureOrder) -> ImageGenerator:
        """The generator for an order."""
        key = (order.model, order.shared_cache, *sorted(order.machine.items()))
        if self._generator is None or self._key != key:
            self.close()
            self._generator, self._key = _opened(order), key
        self._run = order.run
        return self._generator

    def cancel(self, run: str) -> None:
        """Stop the picture of a run, and begin no other of it."""
        self.cancelled.add(run)
        if self._generator is not None and self._run == run:
            self._generator.cancel()

    def leave(self, run: str) -> None:
        """End the engine if a run used it last, once it is idle."""
        with self.lock:
            if self._run == run:
                self.close()

    def close(self) -> None:
        """End the engine."""
        if self._generator is not None:
            self._generator.close()
            self._generator = None


_DESK = _Desk()


def draw_picture(order: PictureOrder) -> GeneratedImage | PictureFailure:
    """Draw one picture in a process of the cluster, and tell how far it is meanwhile."""
    with _DESK.lock:
        try:
            return _drawn(order)
        except SdcpuError as error:
            return PictureFailure(
                code=error.code, message=error.message, hint=error.hint, details=error.details
            )


def describe() -> tuple[str, str]:
    """The version of sdcpu in this process, and the machine's name."""
    from sdcpu import __version__

    return __version__, platform.node()


def cancel(run: str) -> None:
    """Stop what this process draws of a run."""
    _DESK.cancel(run)


def leave(run: str) -> None:
    """Let this process end its engine after a run, without waiting for it."""
    threading.Thread(target=_DESK.leave, args=(run,), name="sdcpu-leave").start()


def _drawn(order: PictureOrder) -> GeneratedImage:
    generator = _DESK.generator(order)
    told_at = 0.0
    with closing(generator.stream(**order.request)) as events:
        for event in events:
            if order.run in _DESK.cancelled:
                raise CancelledError("The batch was cancelled.")
            if isinstance(event, GeneratedImage):
                return event
            if (
                isinstance(event, Progress | DownloadProgress)
                and time.monotonic() - told_at >= _SECONDS_BETWEEN_NEWS
            ):
                told_at = time.monotonic()
                worker = get_worker()
                news = {"worker": worker.address, "line": order.line, **asdict(event)}
                worker.log_event(order.run, news)
    raise AssertionError("a stream ends with its picture")


def _opened(order: PictureOrder) -> ImageGenerator:
    """A generator with the cores and the memory that the cluster gives this process."""
    settings = load_settings()
    if order.shared_cache is not None:
        folder = Path(order.shared_cache)
        settings = replace(settings, cache_folder=folder, hub_cache=folder / "hub")
    worker = get_worker()
    machine = dict(order.machine)
    if machine.get("threads") is None:
        machine["threads"] = settings.threads or worker.state.nthreads
    if machine.get("memory_limit") is None:
        limit = worker.memory_manager.memory_limit
        machine["memory_limit"] = settings.memory_limit or limit
    return ImageGenerator(order.model, settings=settings, **machine)
