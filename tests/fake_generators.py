"""Generators for tests of the queue and of the server: they draw at once, or misbehave.

A `Studio` makes them in place of `ImageGenerator`: `JobQueue(…, make_generator=Studio())`. What a
generator does, the prompt says: see `MISDEEDS`. The studio remembers
what was drawn.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from sdcpu.errors import CancelledError, EngineCrashedError, GenerationError
from sdcpu.events import Preview, Progress
from sdcpu.generator import Event
from sdcpu.images import GeneratedImage, ImageRequest, request_of
from sdcpu.inputs import read_picture
from sdcpu.jobs import recipe_of
from sdcpu.plan import EnginePlan
from sdcpu.settings import Settings, load_settings
from sdcpu.videos import GeneratedVideo, VideoRequest, video_request_of
from tests.plans import plan_for

SIDE = 64
"""Pixels of a picture whose request does not say how large it should be."""


def settings_in(folder: Path, *models: str) -> Settings:
    """Settings of a machine with the demo model, and with models of these names that are here."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in models:
        weights = folder / f"{name}.gguf"
        weights.write_bytes(name.encode())
        written.append(
            f'[{name}]\nsummary = "For tests"\nfamily = "sd1"\nlicense = "MIT"\n'
            f'[[{name}.files]]\nrole = "model"\nlocal_path = "{weights.as_posix()}"\n'
        )
    (folder / "models.toml").write_text("\n".join(written), encoding="utf-8")
    empty = load_settings({"SDCPU_CONFIG": str(folder / "config.toml")})
    return replace(
        empty,
        cache_folder=folder / "cache",
        state_folder=folder / "state",
        builds_folder=folder / "builds",
        hub_cache=folder / "hub",
        hub_endpoint="http://127.0.0.1:9",
        default_model="demo",
    )


class Studio:
    """Makes fake generators, and knows what all of them did."""

    def __init__(self, *, seconds_each: float = 0.0) -> None:
        self.seconds_each = seconds_each
        """How long a step takes."""
        self.released = threading.Event()
        """Set it, and prompts that begin with "wait" go on."""
        self.drawing = threading.Event()
        """Set while a prompt that begins with "wait" is being drawn."""
        self.drawn: list[tuple[str, int]] = []
        """Prompt and seed of every finished picture."""
        self.generators: list[FakeGenerator] = []
        self.crashes = 0

    def __call__(
        self, model: str | None = None, *, settings: Settings | None = None, **_: Any
    ) -> FakeGenerator:
        """Make a generator, as `ImageGenerator(model, settings=…)` does."""
        self.generators.append(FakeGenerator(self, model or "demo"))
        return self.generators[-1]

    @property
    def loaded(self) -> list[str]:
        """The models that are loaded now."""
        return [each.model for each in self.generators if each.engine_pid is not None]


class FakeGenerator:
    """Draws pictures of one colour, which the prompt and the seed decide."""

    def __init__(self, studio: Studio, model: str) -> None:
        self.model = model
        self.engine_pid: int | None = None
        self.memory_returned = 0
        self.closed = 0
        """How often it was closed."""
        self._studio = studio
        self._cancelled = threading.Event()

    def plan(self, prompt: str = "", **request: Any) -> EnginePlan:
        return self._planned(request_of(prompt, request))

    def plan_video(self, prompt: str = "", **request: Any) -> EnginePlan:
        return self._planned(video_request_of(prompt, request))

    def cancel(self) -> None:
        self._cancelled.set()

    def close(self) -> None:
        self._cancelled.set()
        self.engine_pid = None
        self.closed += 1

    def stream(self, prompt: str, **request: Any) -> Generator[Event, None, None]:
        asked = request_of(prompt, request)
        asked = asked if asked.seed is not None else replace(asked, seed=123)
        plan = self._begun(asked)
        yield plan
        yield from self._loaded()
        self._misbehave(prompt)
        for index in range(asked.count):
            yield from self._steps(plan, index, asked)
            yield self._picture(plan, index)
            if prompt.startswith("die after first"):
                os.kill(os.getpid(), signal.SIGKILL)
            if prompt.startswith("crash after first"):
                raise self._crash()

    def stream_video(self, prompt: str, **request: Any) -> Generator[Event, None, None]:
        asked = video_request_of(prompt, request)
        plan = self._begun(asked)
        yield plan
        yield from self._loaded()
        self._misbehave(prompt)
        yield from self._steps(plan, 0, asked)
        made = plan.request
        assert isinstance(made, VideoRequest)
        size = (made.width or SIDE, made.height or SIDE)
        frames = tuple(
            Image.new("RGB", size, (40 * number, 0, 0)) for number in range(made.frames or 3)
        )
        yield GeneratedVideo(
            frames=frames, fps=8, request=made, model=self.model, seed=made.seed or 0, seconds=0.1
        )

    def _begun(self, request: ImageRequest) -> EnginePlan:
        self._cancelled.clear()
        for source in (request.init_image, request.mask_image, request.control_image):
            if source is not None:
                read_picture(source, "picture")
        return self._planned(request)

    def _planned(self, request: ImageRequest) -> EnginePlan:
        width, height = request.width or SIDE, request.height or SIDE
        plan = plan_for(replace(request, width=width, height=height), model=self.model)
        return (
            plan
            if request.seed is not None
            else replace(plan, request=replace(plan.request, seed=None))
        )

    def _loaded(self) -> Iterator[Progress]:
        if self.engine_pid is None:
            yield Progress(stage="load")
            self.engine_pid = os.getpid()

    def _steps(self, plan: EnginePlan, index: int, asked: ImageRequest) -> Iterator[Event]:
        steps = plan.request.steps or 1
        for step in range(steps + 1):
            yield Progress(
                stage="sample",
                step=step,
                steps=steps,
                picture=index + 1,
                pictures=asked.count,
                seconds_left=float((asked.count - index) * steps - step),
            )
            if step and asked.preview != "none":
                yield Preview(image=Image.new("RGB", (8, 8), (step, 0, 0)), step=step)
            if self._cancelled.wait(self._studio.seconds_each):
                raise CancelledError("Cancelled.")
        yield Progress(stage="decode", picture=index + 1, pictures=asked.count, seconds_left=0.0)

    def _picture(self, plan: EnginePlan, index: int) -> GeneratedImage:
        request = plan.request
        seed = (request.seed or 0) + index
        request = replace(request, seed=seed, count=1)
        colour = hashlib.sha256(f"{request.prompt} {seed}".encode()).digest()[:3]
        scale = request.upscale or 1
        size = ((request.width or SIDE) * scale, (request.height or SIDE) * scale)
        self._studio.drawn.append((request.prompt, seed))
        return GeneratedImage(
            image=Image.new("RGB", size, tuple(colour)),
            request=request,
            model=self.model,
            seed=seed,
            index=index,
            seconds=0.01,
            recipe=recipe_of(replace(request, upscaler=None), plan),
        )

    def _misbehave(self, prompt: str) -> None:
        if "after first" in prompt:
            return
        for words, misdeed in sorted(MISDEEDS.items(), reverse=True):
            if prompt == words or prompt.startswith(f"{words} "):
                misdeed(self)
                return

    def _crash(self) -> EngineCrashedError:
        self.engine_pid = None
        self._studio.crashes += 1
        return EngineCrashedError("The engine's process was killed.", hint="Try it again.")

    def _always_crash(self) -> None:
        raise self._crash()

    def _crash_once(self) -> None:
        if not self._studio.crashes:
            raise self._crash()

    def _refuse(self) -> None:
        raise GenerationError("It cannot be drawn.", hint="Draw another.")

    def _fail_unexpectedly(self) -> None:
        raise RuntimeError("a mistake of ours")

    def _kill_the_program(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _wait(self) -> None:
        self._studio.drawing.set()
        try:
            while not self._studio.released.wait(0.005):
                if self._cancelled.is_set():
                    raise CancelledError("Cancelled.")
        finally:
            self._studio.drawing.clear()

    def _ignore_cancel(self) -> None:
        """Be deaf for a second, as an engine in the middle of a long step may be."""
        self._studio.drawing.set()
        time.sleep(1)


MISDEEDS: dict[str, Callable[[FakeGenerator], None]] = {
    "crash": FakeGenerator._always_crash,
    "crash once": FakeGenerator._crash_once,
    "refuse": FakeGenerator._refuse,
    "bug": FakeGenerator._fail_unexpectedly,
    "kill": FakeGenerator._kill_the_program,
    "wait": FakeGenerator._wait,
    "deaf": FakeGenerator._ignore_cancel,
}
"""What a generator does before it draws, or instead, for prompts that begin with these words.

"die after first" ends the program after one picture, "crash after first" the engine.
"""
