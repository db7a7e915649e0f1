"""Engines for tests: a quick fake one, and child programs that misbehave.

As a program, `python tests/engines.py BEGINNING`, it is the engine's process with `FakeEngine` in
it; the beginning says how it starts. What it does while it draws, the prompt says: see `MISDEEDS`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from sdcpu.errors import BuildUnusableError, CancelledError, GenerationError
from sdcpu.protocol import (
    Drawn,
    FrameDrawn,
    FromEngine,
    GenerateSettings,
    Loaded,
    LoadSettings,
    Logged,
    Pixels,
    Previewed,
    Quantize,
    Reached,
    Started,
    Upscale,
    Upscaled,
    VideoSettings,
    write_message,
)
from sdcpu.worker import serve


def command(beginning: str = "ready") -> tuple[str, ...]:
    """The program of an `EngineProcess` that fakes the engine."""
    return (sys.executable, str(Path(__file__).resolve()), beginning)


class FakeEngine:
    """Draws pictures of one colour, which the seed and the prompt decide, in no time."""

    def __init__(self, emit: Callable[[FromEngine], None]) -> None:
        self._emit = emit
        self._cancelled = threading.Event()
        self._loaded: LoadSettings | None = None

    def started(self) -> Started:
        return Started(
            version=os.environ.get("STABLE_DIFFUSION_CPP_LIB", "fake"),
            commit="0",
            system_info="FAKE = 1",
            cancels_in_place=True,
            kernels=os.environ.get("SDCPU_ACCEL", "off"),
        )

    def load(self, settings: LoadSettings) -> dict[str, float]:
        seconds = 0.0 if settings == self._loaded else 0.01
        if seconds:
            self._emit(Reached(stage="load"))
        self._loaded = settings
        self._emit(Loaded(seconds=seconds))
        return {"load": seconds}

    def generate(self, settings: GenerateSettings) -> dict[str, float]:
        self._emit(Logged(level="info", text=f"fake.cpp:1 - drawing {settings.prompt}"))
        MISDEEDS.get(settings.prompt, _behave)(self)
        for index in range(settings.count):
            picture = index + 1
            self._emit(Reached(stage="text", picture=picture))
            for step in range(settings.steps + 1):
                if self._cancelled.is_set():
                    raise CancelledError("Cancelled.")
                self._emit(
                    Reached(stage="sample", step=step, steps=settings.steps, picture=picture)
                )
                if step and settings.preview != "none":
                    self._emit(Previewed(step=step, pixels=_pixels(settings, step, 8)))
            self._emit(Reached(stage="decode", picture=picture))
            seed = settings.seed + index
            self._emit(Drawn(index=index, seed=seed, pixels=_pixels(settings, seed)))
        return {"text": 0.1, "sample": 0.2, "decode": 0.1}

    def generate_video(self, settings: VideoSettings) -> dict[str, float]:
        """Frames whose colour tells their number, see `frame_colour`."""
        picture = settings.picture
        MISDEEDS.get(picture.prompt, _behave)(self)
        self._emit(Reached(stage="text"))
        for step in range(picture.steps + 1):
            if self._cancelled.is_set():
                raise CancelledError("Cancelled.")
            self._emit(Reached(stage="sample", step=step, steps=picture.steps))
            if step and picture.preview != "none":
                self._emit(Previewed(step=step, pixels=_pixels(picture, step, 8)))
        self._emit(Reached(stage="decode"))
        missing = picture.prompt == "lose a frame"
        for index in range(settings.frames - missing):
            size = picture.width, picture.height
            data = bytes(frame_colour(index)) * (size[0] * size[1])
            pixels = Pixels(width=size[0], height=size[1], channels=3, data=data)
            self._emit(FrameDrawn(index=index, frames=settings.frames, pixels=pixels))
        return {"text": 0.1, "sample": 0.2, "decode": 0.1}

    def upscale(self, message: Upscale) -> dict[str, float]:
        """Repeat every pixel four times, along both axes."""
        before, factor = message.picture, 4
        for step in range(3):
            self._emit(Reached(stage="upscale", step=step, steps=2))
        if self._cancelled.is_set():
            raise CancelledError("Cancelled.")
        image = Image.frombytes("RGB", (before.width, before.height), before.data)
        size = (factor * before.width, factor * before.height)
        larger = image.resize(size, Image.Resampling.NEAREST)
        pixels = Pixels(width=size[0], height=size[1], channels=3, data=larger.tobytes())
        self._emit(Upscaled(pixels=pixels))
        return {"load": 0.1, "upscale": 0.2}

    def quantize(self, message: Quantize) -> dict[str, float]:
        Path(message.unfinished).write_bytes(b"half")
        MISDEEDS.get(message.tensor_type, _behave)(self)
        Path(message.unfinished).rename(message.target)
        return {"load": 0.1}

    def cancel(self) -> None:
        self._cancelled.set()

    def forget_cancel(self) -> None:
        self._cancelled.clear()

    def wait_for_cancel(self) -> None:
        self._emit(Reached(stage="sample", step=0, steps=1))
        self._cancelled.wait()
        raise CancelledError("Cancelled.")

    def refuse(self) -> None:
        raise GenerationError("It cannot be drawn.", hint="Draw another.", details={"layer": 3})

    def log_much(self) -> None:
        for number in range(2000):
            self._emit(Logged(level="debug", text=f"line {number}"))
        os.write(2, b"x" * 3_000_000 + b"\nlast line\n")


def frame_colour(index: int) -> tuple[int, int, int]:
    """The colour of a frame: neighbours differ clearly, also after a lossy codec."""
    return (40 * (index % 7), 40 * (index // 7 % 7), 200 if index % 2 else 20)


def _pixels(settings: GenerateSettings, seed: int, shrink: int = 1) -> Pixels:
    colour = hashlib.sha256(f"{settings.prompt} {seed}".encode()).digest()[:3]
    width, height = settings.width // shrink, settings.height // shrink
    return Pixels(width=width, height=height, channels=3, data=colour * (width * height))


def _behave(_engine: object) -> None:
    """Do what is asked, for prompts that are no misdeed."""


def _die(number: int, words: str = "") -> Callable[[object], None]:
    def die(_engine: object) -> None:
        os.write(2, words.encode())
        os.kill(os.getpid(), number)
        time.sleep(10)

    return die


def _die_once(_engine: object) -> None:
    """Die, unless the file that the environment names is there, which says that it was done."""
    mark = Path(os.environ["SDCPU_TEST_MARK"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10)


def _fault(_engine: object) -> None:
    ctypes.memset(8, 0, 1)


def _exit(_engine: object) -> None:
    os._exit(3)


def _hang(_engine: object) -> None:
    time.sleep(3600)


def _print_natively(_engine: object) -> None:
    """What native code does that does not know about messages: printf() and write()."""
    libc = ctypes.CDLL(None)
    libc.printf(b"printed by printf\n")
    libc.fflush(None)
    os.write(1, b"\x05\x00\x00\x00written to descriptor 1\n")
    sys.stdout.write("printed by Python\n")
    sys.stdout.flush()
    assert not sys.stdin.read(), "descriptor 0 is not empty"


ASSERT = "/ggml/src/ggml.c:1234: GGML_ASSERT(a->ne[0] == b->ne[0]) failed"
BAD_ALLOC = (
    "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"
)

MISDEEDS: dict[str, Callable[[FakeEngine], None]] = {
    "killed": _die(signal.SIGKILL),
    "killed once": _die_once,
    "fault": _fault,
    "assert": _die(signal.SIGABRT, f"{ASSERT}\nAborted\n"),
    "bad alloc": _die(signal.SIGABRT, BAD_ALLOC),
    "silent abort": _die(signal.SIGABRT),
    "other processor": _die(signal.SIGILL),
    "short file": _die(signal.SIGBUS),
    "terminated": _die(signal.SIGTERM),
    "exit": _exit,
    "hang": _hang,
    "frozen": _die(signal.SIGSTOP),
    "slow": FakeEngine.wait_for_cancel,
    "refuse": FakeEngine.refuse,
    "print": _print_natively,
    "log": FakeEngine.log_much,
}
"""What `FakeEngine` does before it draws, or instead, for a prompt of this name."""


def _start_badly(beginning: str) -> None:
    match beginning:
        case "dead":
            sys.exit("ImportError: no such thing")
        case "mute":
            time.sleep(3600)
        case "garbage":
            write_message(sys.stdout.buffer, FakeEngine(lambda _: None).started())
            sys.stdout.buffer.write(b"\xff" * 100)
            sys.stdout.buffer.flush()
            time.sleep(3600)
        case "half frame":
            write_message(sys.stdout.buffer, FakeEngine(lambda _: None).started())
            sys.stdout.buffer.write(struct.pack("<I", 1000) + b'{"$type":')


def _unusable(_emit: object) -> FakeEngine:
    raise BuildUnusableError("The library is of another version.", hint="Build it again.")


if __name__ == "__main__":
    if sys.argv[1] in ("ready", "unusable"):
        serve(FakeEngine if sys.argv[1] == "ready" else _unusable)
    else:
        _start_badly(sys.argv[1])
