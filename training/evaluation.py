"""Measure during training what the narrow networks draw."""

from __future__ import annotations

import torch

from training.judging import held_out_pictures, pair_pictures, score_pairs, score_single
from training.networks import Autoencoder, Denoiser
from training.pictures import plain_caption
from training.sampling import decode, sample


def glance(model: Denoiser, autoencoder: Autoencoder, *, lcm: bool = False) -> dict[str, float]:
    """A short evaluation during training: 192 prompts on a CUDA machine, 3 elsewhere."""
    cuda = next(model.parameters()).is_cuda
    singles, pairs = (128, 64) if cuda else (2, 1)
    if lcm:
        return evaluate(model, autoencoder, singles, pairs, steps=4, guidance=1.0, lcm=True)
    return evaluate(model, autoencoder, singles, pairs, steps=20, guidance=4.0)


def evaluate(
    model: Denoiser,
    autoencoder: Autoencoder,
    singles: int,
    pairs: int,
    *,
    steps: int,
    guidance: float,
    lcm: bool = False,
    size: tuple[int, int] = (256, 256),
) -> dict[str, float]:
    """Draw held-out prompts with the narrow networks and measure what they show."""
    scores: dict[str, float] = {}
    for asked, score in (
        (held_out_pictures(singles), score_single),
        (pair_pictures(pairs), score_pairs),
    ):
        prompts = [plain_caption(picture) for picture in asked]
        latents = [
            sample(
                model,
                prompts[start : start + 128],
                steps=steps,
                guidance=guidance,
                lcm=lcm,
                size=size,
                seed=start,
            )
            for start in range(0, len(prompts), 128)
        ]
        if prompts:
            pictures = decode(autoencoder, torch.cat(latents))
            scores |= score(pictures.cpu().numpy(), asked)
    return scores
