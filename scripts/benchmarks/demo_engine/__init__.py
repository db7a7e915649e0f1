"""The engine with the demo model, for benchmarks: one process that draws picture after picture."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
from PIL import Image

from sdcpu.demo import demo_files
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Drawn,
    Finished,
    Generate,
    GenerateSettings,
    Load,
    LoadSettings,
    LoraFile,
)
from sdcpu.settings import child_environment, load_settings

PROMPT = "a red circle on a blue background"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture and what it took."""

    image: Image.Image
    seconds: float
    processor_seconds: float
    """Of all threads of the engine's process, waiting in loops included."""
    stages: Mapping[str, float]
    """Seconds of each stage."""


class DemoEngine:
    """A process that draws with the demo model, or with other files; a context manager."""

    def __init__(
        self,
        kernels: str,
        *,
        threads: int,
        files: Mapping[str, Path] | None = None,
        decode_only: bool = True,
    ):
        """Prepare; `kernels` is a name of `sdcpu.kernels.CHOICES`, "off" the engine's own."""
        self._process = EngineProcess(
            environment=child_environment(SDCPU_ACCEL=kernels), silence_timeout=3600
        )
        self._files = files
        self._decode_only = decode_only
        self.threads = threads
        self.kernels = kernels

    def __enter__(self) -> Self:
        self.kernels = self._process.start().kernels
        self.load(self.threads)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def load(self, threads: int) -> None:
        """Load the model, or load it again for another number of threads."""
        direct = self.kernels != "off"
        files = self._files or demo_files(load_settings().cache_folder)
        settings = LoadSettings(
            files={str(role): str(path) for role, path in files.items()},
            threads=threads,
            flash_attention=direct,
            diffusion_conv_direct=direct,
            vae_conv_direct=direct,
            decode_only=self._decode_only,
        )
        for _ in self._process.run(Load(settings=settings)):
            pass

    def draw(
        self,
        prompt: str = PROMPT,
        *,
        seed: int = 1,
        width: int = 128,
        height: int = 128,
        steps: int = 4,
        loras: Sequence[LoraFile] = (),
        **more: Any,
    ) -> Picture:
        """Draw a picture; more keywords are fields of `GenerateSettings`."""
        settings = GenerateSettings(
            prompt=prompt,
            width=width,
            height=height,
            steps=steps,
            guidance=3.5,
            seed=seed,
            loras=tuple(loras),
            **{"cfg_scale": 1.0, "sampler": "lcm", "scheduler": "lcm", **more},
        )
        before, begin = self._processor_seconds(), time.perf_counter()
        events = list(self._process.run(Generate(settings=settings)))
        seconds = time.perf_counter() - begin
        (pixels,) = (event.pixels for event in events if isinstance(event, Drawn))
        (stages,) = (event.stage_seconds for event in events if isinstance(event, Finished))
        return Picture(
            image=Image.frombytes("RGB", (pixels.width, pixels.height), pixels.data),
            seconds=seconds,
            processor_seconds=self._processor_seconds() - before,
            stages=stages,
        )

    def _processor_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)
