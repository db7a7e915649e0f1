"""A picture of a latent-consistency model with a peer's networks, in numpy around them.

The arithmetic is the engine's own, so with the same noise the pictures are the same. A pipeline of
diffusers would do the same and a little more; leaving it out is in the peers' favour.
"""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
import numpy.typing as npt

from contest.job import TOKENS, Job, StepClock, answer, peak_memory

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

VAE_SCALE = 0.18215
"""What the latents of Stable Diffusion 1 are divided by before the full decoder."""
_TIMES = 1000
_TRAINED_STEPS = 50
"""Latent-consistency models were distilled on 50 of the 1000 time steps."""


class Networks(Protocol):
    """A peer's networks, loaded; arrays are in the order of torch, the batch first."""

    def encode(self, tokens: npt.NDArray[np.int64]) -> Array:
        """[1, 77] -> [1, 77, 768]."""

    def predict(self, latent: Array, time: float, context: Array) -> Array:
        """Predict the noise in [1, 4, height, width]."""

    def decode(self, latent: Array) -> Array:
        """[1, 4, height, width] as the job's decoder wants it -> a picture from -1 to 1."""


def run_job(job: Job, networks: Networks) -> None:
    """Draw the job's picture and tell the figures."""
    noise = np.load(job.noise)
    if job.kind != "cold":
        _warm_up(networks, noise[:1])
    figures, picture = _draw(job, networks, noise)
    _save(picture, job.picture)
    ended = time.monotonic()
    peak = peak_memory()
    answer(**figures, ended=ended, peak=peak, whole=peak)


def _draw(job: Job, networks: Networks, noise: Array) -> tuple[dict[str, float], Picture]:
    clock = StepClock()
    start = time.perf_counter()
    context = networks.encode(np.array([TOKENS]))
    latent = _sample(networks, noise[: job.steps], context, clock)
    decoding = time.perf_counter()
    if job.kind == "full":
        latent = latent / np.float32(VAE_SCALE)
    picture = np.round((networks.decode(latent)[0] / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    ended = time.perf_counter()
    figures = {"picture": ended - start, "decode": ended - decoding} | clock.step_seconds()
    return figures, picture.transpose(1, 2, 0)


def _sample(networks: Networks, noise: Array, context: Array, clock: StepClock) -> Array:
    steps = len(noise)
    times = [
        (_TRAINED_STEPS - step * _TRAINED_STEPS // steps) * _TIMES // _TRAINED_STEPS - 1
        for step in range(steps)
    ]
    spreads = noise_spreads()[times]
    latent: Array = noise[:1] * spreads[0]
    for step, (moment, spread) in enumerate(zip(times, spreads, strict=True), 1):
        scaled = latent / np.sqrt(1 + spread**2)
        latent = latent - spread * networks.predict(scaled, moment, context)
        if step < steps:
            latent = latent + spreads[step] * noise[step : step + 1]
        clock.step_ended()
    return latent


def noise_spreads() -> Array:
    """How much noise there is at each time step, relative to the picture (Stable Diffusion 1)."""
    noise_added = np.linspace(0.00085**0.5, 0.012**0.5, _TIMES) ** 2
    kept = np.cumprod(1 - noise_added)
    spreads: Array = np.sqrt((1 - kept) / kept).astype(np.float32)
    return spreads


def _warm_up(networks: Networks, latent: Array) -> None:
    """Once through each network at the picture's size: peers compile for a size."""
    context = networks.encode(np.array([TOKENS]))
    networks.predict(latent, 999, context)
    networks.decode(latent)


def _save(picture: Picture, path: str) -> None:
    from PIL import Image

    Image.fromarray(picture).save(path)
