"""The engine at work for one generator: its process, and what it does for a plan."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from sdcpu.builds import Build
from sdcpu.engine_choice import EngineChoice, check_devices
from sdcpu.events import Preview, Progress
from sdcpu.images import GeneratedImage
from sdcpu.jobs import progress_event
from sdcpu.kernels import OFF
from sdcpu.measurements import Measurements
from sdcpu.models import ModelFile
from sdcpu.order import Order, enlarge
from sdcpu.plan import EnginePlan
from sdcpu.process import EngineProcess
from sdcpu.protocol import Pixels, Quantize, Started, Upscale
from sdcpu.settings import child_environment
from sdcpu.stopwatch import Stopwatch
from sdcpu.video_order import VideoOrder
from sdcpu.videos import GeneratedVideo, VideoRequest


class EngineRun:
    """At most one engine process, kept between pictures as long as its build and kernels fit."""

    def __init__(self, engines: EngineChoice, measurements: Measurements) -> None:
        self._engines = engines
        self._measurements = measurements
        self._process: EngineProcess | None = None
        self._kernels = OFF
        self._cancelled = threading.Event()
        self.pictures_done = 0
        """Pictures of the request that are finished; a request begins with `begin`."""

    @property
    def pid(self) -> int | None:
        """The engine's process, while there is one."""
        return self._process.pid if self._process else None

    @property
    def library(self) -> Path | None:
        """The engine's library that runs, while there is a process."""
        return self._process.library if self._process else None

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called since the request began."""
        return self._cancelled.is_set()

    def begin(self) -> None:
        """A new request: nothing of it is done, and no cancel was meant for it."""
        self._cancelled.clear()
        self.pictures_done = 0

    def cancel(self) -> None:
        """Stop what is being done, from any thread."""
        self._cancelled.set()
        if self._process:
            self._process.cancel()

    def close(self) -> None:
        """End the process; later work starts it again."""
        if self._process:
            self._process.stop()
            self._process = None

    def start(self, plan: EnginePlan) -> Started:
        """Have the process that a plan wants, and tell what runs in it."""
        return self._running(plan.build, plan.kernels).start()

    def draw(
        self, plan: EnginePlan, located: Mapping[ModelFile, Path | None]
    ) -> Iterator[Progress | Preview | GeneratedImage | GeneratedVideo]:
        """Make what a plan is for, whose files are all here, and remember how long it took.

        Raises:
            CancelledError: `cancel` was called.
            EngineError: the engine failed.
        """
        process = self._running(plan.build, plan.kernels)
        if isinstance(plan.request, VideoRequest):
            video = VideoOrder(
                plan=plan, located=located, process=process, is_cancelled=self._cancelled.is_set
            )
            yield from video.events()
            self._measurements.record(plan.conditions, video.seconds)
            return
        order = Order(
            plan=plan,
            located=located,
            process=process,
            is_cancelled=self._cancelled.is_set,
            first=self.pictures_done,
        )
        for event in order.events():
            if isinstance(event, GeneratedImage):
                self.pictures_done += 1
            yield event
        self._measurements.record(plan.conditions, order.seconds)

    def enlarge(
        self, build: Build, kernels: str, message: Upscale, watch: Stopwatch
    ) -> Generator[Progress, None, tuple[Pixels, float]]:
        """Make a picture larger; return its pixels and the seconds that took.

        Raises:
            CancelledError: `cancel` was called.
            EngineError: the engine failed.
        """
        process = self._running(build, kernels)
        check_devices(build, process.start())
        return enlarge(
            process,
            message,
            lambda reached: progress_event(reached, watch, pictures=1),
            self._cancelled.is_set,
        )

    def quantize(self, source: Path, target: Path, tensor_type: str) -> None:
        """Write a model file again in another tensor type.

        Raises:
            ModelFileError: it cannot be read or written.
        """
        process = self._running(self._engines.build(), OFF)
        message = Quantize(source=str(source), target=str(target), tensor_type=tensor_type)
        for _ in process.run(message):
            pass

    def _running(self, build: Build, kernels: str) -> EngineProcess:
        """The engine's process for a build and kernels; one for others is ended first."""
        if self._process and (self._process.library, self._kernels) != (build.library, kernels):
            self.close()
        if self._process is None:
            device = self._engines.environment(build)
            environment = child_environment(SDCPU_ACCEL=kernels, **device)
            self._process = EngineProcess(library=build.library, environment=environment)
            self._kernels = kernels
        return self._process
