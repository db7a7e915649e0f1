"""The engine's process: read a message, let the engine do it, tell what happens.

It is started as `python -m sdcpu.worker` with messages on its standard input and output, and ends
when its input ends: the parent has died, or wants it no more.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO, NoReturn, Protocol

from sdcpu.errors import SdcpuError
from sdcpu.protocol import (
    Cancel,
    Failed,
    Finished,
    FramingError,
    FromEngine,
    Generate,
    GenerateSettings,
    GenerateVideo,
    Load,
    LoadSettings,
    Quantize,
    Started,
    Stop,
    Upscale,
    VideoSettings,
    Work,
    read_message,
    write_message,
)

Emit = Callable[[FromEngine], None]


class Engine(Protocol):
    """What this process needs of an engine; the methods that work return seconds by stage."""

    def started(self) -> Started:
        """What is running."""

    def load(self, settings: LoadSettings) -> dict[str, float]:
        """Load a model, unless it is loaded."""

    def generate(self, settings: GenerateSettings) -> dict[str, float]:
        """Draw pictures."""

    def generate_video(self, settings: VideoSettings) -> dict[str, float]:
        """Draw a video."""

    def upscale(self, message: Upscale) -> dict[str, float]:
        """Make a picture larger."""

    def quantize(self, message: Quantize) -> dict[str, float]:
        """Rewrite a model file."""

    def cancel(self) -> None:
        """Stop drawing; called from another thread."""

    def forget_cancel(self) -> None:
        """New work begins: a cancel before it does not count."""


def main() -> None:
    """Run the native engine until the parent has enough of it."""
    from sdcpu.engine import NativeEngine

    serve(NativeEngine)


def serve(make_engine: Callable[[Emit], Engine]) -> None:
    """Answer messages with an engine that is made with a function to tell its progress."""
    # Ctrl-C in a terminal reaches this process too; what it means is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    received, sent = _private_streams()
    lock = threading.Lock()

    def emit(message: FromEngine) -> None:
        with lock:  # the engine logs from several threads
            write_message(sent, message)

    try:
        engine = make_engine(emit)
    except SdcpuError as error:
        emit(_failed(error))
        return
    inbox: queue.SimpleQueue[Work] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(received, engine, inbox), daemon=True)
    reader.start()
    emit(engine.started())
    while True:
        work = inbox.get()
        try:
            seconds = _do(engine, work)
        except SdcpuError as error:
            emit(_failed(error))
        else:
            emit(Finished(stage_seconds=seconds))


def _do(engine: Engine, work: Work) -> dict[str, float]:
    match work:
        case Load():
            return engine.load(work.settings)
        case Generate():
            return engine.generate(work.settings)
        case GenerateVideo():
            return engine.generate_video(work.settings)
        case Upscale():
            return engine.upscale(work)
        case Quantize():
            return engine.quantize(work)


def _read(stream: BinaryIO, engine: Engine, inbox: queue.SimpleQueue[Work]) -> NoReturn:
    """Sort messages as they come, also while native code runs in the main thread."""
    while True:
        try:
            message = read_message(stream)
        except FramingError as error:
            sys.stderr.write(f"The parent sent {error}.\n")
            _exit(1)
        match message:
            case Cancel():
                engine.cancel()
            case Load() | Generate() | GenerateVideo() | Upscale() | Quantize():
                # Here, not in the main thread: a cancel of this very work may follow at once.
                engine.forget_cancel()
                inbox.put(message)
            case Stop() | None:
                _exit(0)
            case _:
                sys.stderr.write(f"The parent sent a {type(message).__name__}.\n")
                _exit(1)


def _exit(code: int) -> NoReturn:
    """End at once: native code in the main thread cannot be waited for, and nothing is lost."""
    sys.stderr.flush()
    os._exit(code)


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the messages' streams for ourselves: native code prints, and may read.

    From here on descriptor 1 is standard error, which the parent collects, and 0 is empty.
    """
    received = os.fdopen(os.dup(0), "rb")
    sent = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is what is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return received, sent


def _failed(error: SdcpuError) -> Failed:
    return Failed(
        code=error.code, message=error.message, hint=error.hint, details=dict(error.details)
    )


if __name__ == "__main__":
    main()
