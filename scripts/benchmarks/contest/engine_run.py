"""The engine as a contestant, the stock one or with our kernels: one job in one process."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from contest.job import PROMPT, SEED, Job, StepClock, answer, peak_memory, read_job
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Drawn,
    Finished,
    Generate,
    GenerateSettings,
    Load,
    LoadSettings,
    Pixels,
    Reached,
)

WARM_UP_SIZE = 64
"""The engine prepares nothing for a size: a small picture reads the weights and starts threads."""


def main() -> None:
    """Do the job and tell the figures."""
    job = read_job()
    environment = {**os.environ, "SDCPU_ACCEL": job.kernels}
    library = Path(job.library) if job.library else None
    load = LoadSettings(
        files=job.files,
        threads=job.threads,
        flash_attention=job.direct,
        diffusion_conv_direct=job.direct,
        vae_conv_direct=job.direct,
    )
    with EngineProcess(environment=environment, library=library, silence_timeout=3600) as engine:
        for _ in engine.run(Load(settings=load)):
            pass
        if job.kind != "cold":
            small = replace(job, width=WARM_UP_SIZE, height=WARM_UP_SIZE, kind="full")
            _draw(engine, small)
        figures, pixels = _draw(engine, job)
        _save(pixels, job.picture)
        ended = time.monotonic()
        peak = peak_memory(engine.pid or "self")
        answer(**figures, ended=ended, peak=peak, whole=peak + peak_memory())


def _draw(engine: EngineProcess, job: Job) -> tuple[dict[str, float], Pixels]:
    """A picture, and the seconds of it."""
    settings = GenerateSettings(
        prompt=PROMPT,
        width=job.width,
        height=job.height,
        steps=job.steps,
        cfg_scale=1.0,
        guidance=1.0,
        sampler="lcm",
        scheduler="lcm",
        seed=SEED,
    )
    clock = StepClock()
    figures = {}
    pixels = None
    start = time.perf_counter()
    for message in engine.run(Generate(settings=settings)):
        match message:
            case Reached(stage="sample", step=step) if step:
                clock.step_ended()
            case Drawn():
                figures["picture"] = time.perf_counter() - start
                pixels = message.pixels
            case Finished():
                figures["decode"] = message.stage_seconds["decode"]
            case _:
                pass
    assert pixels is not None, "the engine draws or raises"  # noqa: S101 - a promise of its own
    return figures | clock.step_seconds(), pixels


def _save(pixels: Pixels, path: str) -> None:
    from PIL import Image

    Image.frombytes("RGB", (pixels.width, pixels.height), pixels.data).save(path)


if __name__ == "__main__":
    main()
