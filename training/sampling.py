"""Noise schedule of Stable Diffusion 1.x, and the engine's samplers for the narrow networks."""

from __future__ import annotations

import torch
from torch import Tensor

from training.data import empty_prompt
from training.networks import Autoencoder, Denoiser
from training.vocabulary import encode


class Schedule:
    """How much of picture and noise each of 1000 time steps has."""

    def __init__(self, device: torch.device) -> None:
        first, last = 0.00085**0.5, 0.012**0.5
        beta = torch.linspace(first, last, 1000, dtype=torch.float64, device=device) ** 2
        kept = torch.cumprod(1 - beta, 0)
        self.alpha, self.sigma = kept.sqrt().float(), (1 - kept).sqrt().float()
        self.ratio = (kept / (1 - kept)).float()
        """Signal to noise."""
        self._log_sigma = (((1 - kept) / kept).sqrt().log()).float()

    def noise_levels(self, times: list[float]) -> list[float]:
        """Noise relative to the picture at time steps that may lie between two whole ones."""
        whole = torch.tensor([int(t) for t in times], device=self._log_sigma.device)
        part = torch.tensor([t - int(t) for t in times], device=whole.device)
        low, high = self._log_sigma[whole], self._log_sigma[(whole + 1).clamp(max=999)]
        return (low + (high - low) * part).exp().tolist()


def euler_times(steps: int) -> list[float]:
    """Evenly from 999 to 0, as the engine's "discrete" scheduler.

    >>> euler_times(3)
    [999.0, 499.5, 0.0]
    """
    return [999 - 999 * k / (steps - 1) for k in range(steps)]


def lcm_times(steps: int) -> list[float]:
    """Among the 50 that latent-consistency models are trained on, as the engine's "lcm" scheduler.

    >>> lcm_times(4)
    [999.0, 759.0, 499.0, 259.0]
    """
    return [float(999 - 20 * (k * 50 // steps)) for k in range(steps)]


def prompt_rows(prompts: list[str], device: torch.device) -> Tensor:
    """Prompts as rows of the token table, shape (prompts, 77)."""
    return torch.tensor([encode(prompt) for prompt in prompts], device=device)


@torch.no_grad()
def sample(
    model: Denoiser,
    prompts: list[str],
    *,
    steps: int,
    guidance: float,
    lcm: bool = False,
    size: tuple[int, int] = (256, 256),
    seed: int = 0,
    negative: str = "",
) -> Tensor:
    """Latents of one picture for each prompt."""
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)

    def noise() -> Tensor:
        shape = (len(prompts), 4, size[0] // 8, size[1] // 8)
        return torch.randn(shape, device=device, generator=generator)

    times = lcm_times(steps) if lcm else euler_times(steps)
    levels = [*Schedule(device).noise_levels(times), 0.0]
    with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
        text = model.text(prompt_rows(prompts, device))
        empty = prompt_rows([negative], device) if negative else empty_prompt(device)
        unguided = model.text(empty.expand(len(prompts), -1))
        latents = noise() * levels[0]
        for time, level, following in zip(times, levels, levels[1:], strict=False):
            given = latents / (1 + level**2) ** 0.5
            step = torch.full((len(prompts),), time, device=device)
            predicted = model.unet(given, step, text)
            if guidance != 1:
                without = model.unet(given, step, unguided)
                predicted = without + guidance * (predicted - without)
            if lcm:
                latents = latents - level * predicted + following * noise()
            else:
                latents = latents + (following - level) * predicted
    return latents


@torch.no_grad()
def decode(autoencoder: Autoencoder, latents: Tensor) -> Tensor:
    """Pictures in [0, 1], shape (n, 3, height, width)."""
    with torch.autocast(latents.device.type, torch.bfloat16, latents.is_cuda):
        parts = [autoencoder.decode(part).float() for part in latents.split(64)]
    return torch.cat(parts).clamp(0, 1)
