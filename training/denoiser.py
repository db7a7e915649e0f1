"""Second stage: the U-Net and its text encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from training.autoencoder import NAME as AUTOENCODER
from training.data import LatentPool
from training.evaluation import glance
from training.networks import Autoencoder, Denoiser
from training.sampling import Schedule
from training.stage import Stage, load_done

NAME = "denoiser"
DROPPED = 0.1
"""Share of captions left out: what guidance compares with."""


def train_denoiser(folder: Path, device: torch.device, seconds: float, batch: int) -> None:
    """Teach it to tell noise from picture, at every strength of noise."""
    model = Denoiser().to(device, memory_format=torch.channels_last)
    autoencoder = trained_autoencoder(folder, device)
    pool = LatentPool(autoencoder, device, batch)
    stage = Stage(NAME, model, folder, seconds, rate=1.5e-3)
    schedule = Schedule(device)
    tested = stage.used
    while stage.running():
        _, latents, rows = pool.sample(DROPPED)
        stage.update(noise_loss(model, schedule, latents, rows), len(latents))
        if stage.used > tested + 75:
            tested = stage.used
            with stage.averaged():
                stage.note(**glance(model, autoencoder))
    stage.finish()


def noise_loss(model: Denoiser, schedule: Schedule, latents: Tensor, rows: Tensor) -> Tensor:
    """How wrong the predicted noise is, weighted so that no strength of noise rules (min-SNR).

    A few latents are nothing but noise at the last time step: that is what a sampler begins with.
    """
    count, device = len(latents), latents.device
    steps = (torch.arange(count, device=device) + torch.rand(count, device=device)) / count
    time_steps = (steps * 1000).long().clamp(max=999)
    pure = torch.rand(count, device=device) < 0.06
    time_steps = torch.where(pure, 999, time_steps)
    noise = torch.randn_like(latents)
    alpha, sigma = (v[time_steps].view(-1, 1, 1, 1) for v in (schedule.alpha, schedule.sigma))
    noisy = torch.where(pure.view(-1, 1, 1, 1), noise, alpha * latents + sigma * noise)
    with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
        predicted = model(noisy, time_steps, rows)
    error = (predicted.float() - (noisy - alpha * latents) / sigma).square().mean((1, 2, 3))
    ratio = schedule.ratio[time_steps]
    return (ratio.clamp(0.06, 5) / ratio * error).mean()


def load_base(model: Denoiser, folder: Path) -> None:
    """Wait for the denoiser and load it into a model that may have changes besides."""
    plain = Denoiser()
    load_done(plain, folder, NAME)
    model.load_state_dict(rounded(plain.state_dict()), strict=False)


def rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round as the shipped file is rounded: rows of 8-bit numbers, the rest f16."""
    result = {}
    for name, values in state.items():
        if is_stored_in_int8(values):
            axes = tuple(range(1, values.ndim))
            scale = (values.abs().amax(axes, keepdim=True) / 127).clamp(min=1e-12)
            result[name] = (values / scale).round() * scale
        else:
            result[name] = values.half().float()
    return result


def is_stored_in_int8(values: Tensor) -> bool:
    """Say whether a parameter is large enough to be worth it."""
    return values.ndim > 1 and values.numel() > 4096


def trained_autoencoder(folder: Path, device: torch.device) -> Autoencoder:
    """Wait for the first stage; what it left, rounded as it is shipped, on the device."""
    autoencoder = Autoencoder().to(device, memory_format=torch.channels_last)
    load_done(autoencoder, folder, AUTOENCODER)
    autoencoder.load_state_dict(rounded(autoencoder.state_dict()))
    return autoencoder.requires_grad_(False)
