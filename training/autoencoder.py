"""First stage: the tiny autoencoder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from training.data import SIZES, drawn_pictures, pictures_at, stream
from training.networks import Autoencoder
from training.stage import Stage

NAME = "autoencoder"


def train_autoencoder(folder: Path, device: torch.device, seconds: float, batch: int) -> None:
    """Teach it to give back pictures from latents with a little noise on them.

    The noise makes the decoder forgiving; latents are kept near mean 0 and variance 1, which the
    noise schedule expects. Outline drawings are among the pictures, for the style.
    """
    model = Autoencoder().to(device, memory_format=torch.channels_last)
    stage = Stage(NAME, model, folder, seconds, rate=1.5e-3)
    batches = _batches(device, batch)
    tested = 0.0
    while stage.running():
        pictures = next(batches)
        with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
            latents = model.encode(pictures).float()
            strength = torch.rand(len(latents), 1, 1, 1, device=device) * 0.15
            decoded = model.decode(latents + torch.randn_like(latents) * strength).float()
        stage.update(_difference(decoded, pictures) + 0.05 * _imbalance(latents), len(pictures))
        if stage.used > tested + 20:
            tested = stage.used
            with stage.averaged():
                stage.note(decibels=_decibels(model, pictures))
    with stage.averaged():
        pictures = next(batches)
        latents = model.encode(pictures)
        stage.note(
            decibels=_decibels(model, pictures),
            mean=latents.mean().item(),
            deviation=latents.std().item(),
        )
    stage.finish()


def _batches(device: torch.device, batch: int) -> Iterator[Tensor]:
    """Batches of pictures without end; on a CUDA machine many are drawn at once."""
    sizes = {size: SIZES[size] for size in ((256, 256), (128, 128))}
    pictures_of = stream(512 if device.type == "cuda" else batch, device, sizes)
    for number in itertools.count():
        drawn = next(pictures_of)
        pictures = drawn_pictures(drawn, device, outlines=number % 8 == 7)
        order = torch.randperm(len(pictures), device=device)
        yield from (pictures[chosen] for chosen in order.split(pictures_at(drawn.size, batch)))


def _difference(decoded: Tensor, pictures: Tensor) -> Tensor:
    error = decoded - pictures
    edges = (error[..., 1:] - error[..., :-1]).abs().mean()
    edges = edges + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 4 * error.square().mean() + 0.5 * edges


def _imbalance(latents: Tensor) -> Tensor:
    """How far the latents' channels are from mean 0 and variance 1."""
    mean, variance = latents.mean((0, 2, 3)), latents.var((0, 2, 3))
    return mean.square().mean() + (variance - 1).square().mean()


@torch.no_grad()
def _decibels(model: Autoencoder, pictures: Tensor) -> float:
    """Peak signal to noise ratio of what comes back, the mean over pictures."""
    error = (model.decode(model.encode(pictures)).clamp(0, 1) - pictures).square().mean((1, 2, 3))
    return float((-10 * error.clamp(min=1e-9).log10()).mean())
