"""Fourth stage: a style, the same pictures as black outlines on white paper."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.data import Size, pictures_at
from training.denoiser import load_base, noise_loss, trained_autoencoder
from training.distillation import load_distilled
from training.layers import add_adapters, share_adapters
from training.networks import Autoencoder, Denoiser
from training.pictures import caption, random_picture
from training.sampling import Schedule, decode, prompt_rows, sample
from training.stage import Stage

NAME = "style"
RANKS = {"high": 12, "low": 4}
"""Of the changes at a picture's eighth, where lines are drawn, and at the levels below."""
_HIGH = ("input_blocks.1.", "output_blocks.6.", "output_blocks.7.")
SIZES: dict[Size, float] = {(256, 256): 0.4, (128, 128): 0.6}
_PAIRS = {(256, 256): 320, (128, 128): 1024}
"""How many pictures of a size are drawn to learn from."""
_STEPS = ((999, 0.35), (759, 0.15), (499, 0.15), (259, 0.1))
"""Time steps that four steps begin at, and how often each is trained; the rest goes anywhere."""
_UNCAPTIONED = 0.1


class Pairs(NamedTuple):
    """What the model of four steps draws from a noise and a prompt, traced."""

    noise: Tensor
    traced: Tensor
    """Latents of the outlines."""
    rows: Tensor
    """Prompts as rows of the token table."""


def train_style(folder: Path, device: torch.device, seconds: float, batch: int) -> None:
    """Teach both models, by one change to them, to draw what they drew as outlines.

    From the same noise the model of four steps shall draw the tracing of what it drew before: so
    lines are learnt sharp at once, where an average over all drawings would be grey.
    """
    autoencoder = trained_autoencoder(folder, device)
    base = Denoiser().to(device, memory_format=torch.channels_last).requires_grad_(False)
    distilled = Denoiser().to(device, memory_format=torch.channels_last).requires_grad_(False)
    load_base(base, folder)
    load_distilled(distilled, folder)
    pairs = _load_pairs(distilled, autoencoder, folder / f"{NAME}-pairs.pt")
    changes = add_style(distilled)
    share_adapters(base.unet, changes)
    stage = Stage(NAME, changes, folder, seconds, rate=2e-3, warm_up=50, kept=0.99)
    schedule = Schedule(device)
    while stage.running():
        (size,) = random.choices(list(SIZES), list(SIZES.values()))
        count = pictures_at(size, batch)
        chosen = torch.randperm(len(pairs[size].noise), device=device)[:count]
        picked = Pairs(*(part[chosen] for part in pairs[size]))
        half = count // 2
        loss = _tracing_loss(distilled, schedule, Pairs(*(part[:half] for part in picked)))
        rows = picked.rows[half:].clone()
        dropped = torch.rand(len(rows), device=device) < _UNCAPTIONED
        rows[dropped] = prompt_rows([""], device)
        loss = loss + noise_loss(base, schedule, picked.traced[half:], rows)
        stage.update(loss, count)
    stage.finish()


def add_style(model: Denoiser) -> torch.nn.ModuleDict:
    """Changes to all matrices between the U-Net's first and last that are not the time step's.

    The engine finds no others in a LoRA.
    """

    def rank(name: str) -> int:
        if "emb" in name or name in ("input_blocks.0.0", "out.2"):
            return 0
        return RANKS["high" if name.startswith(_HIGH) else "low"]

    return add_adapters(model.unet, rank)


def trace(pictures: Tensor) -> Tensor:
    """Black lines on white where neighbouring colours differ, shape (n, 3, height, width).

    Roots of the colours are compared, so that what is dark at night is seen too.
    """
    roots = (pictures.clamp(0, 1) + 0.03).sqrt()
    brightest = functional.max_pool2d(roots, 5, 1, 2)
    darkest = -functional.max_pool2d(-roots, 5, 1, 2)
    contrast = (brightest - darkest).amax(1, keepdim=True)
    thinner = -functional.max_pool2d(-contrast, 3, 1, 1)
    lines = ((thinner - 0.08) / 0.07).clamp(0, 1)
    return (1 - lines).expand_as(pictures)


def _load_pairs(model: Denoiser, autoencoder: Autoencoder, file: Path) -> dict[Size, Pairs]:
    """What was drawn to learn from; drawn now if it is not there yet."""
    device = next(model.parameters()).device
    if not file.exists():
        torch.save({size: tuple(_draw_pairs(model, autoencoder, size)) for size in SIZES}, file)
    stored = torch.load(file, map_location=device)
    return {size: Pairs(*parts) for size, parts in stored.items()}


@torch.no_grad()
def _draw_pairs(model: Denoiser, autoencoder: Autoencoder, size: Size) -> Pairs:
    """At a small size no scenes: their lines lie closer than the autoencoder can tell apart."""
    rng, device = random.Random(1), next(model.parameters()).device
    thought_up = (random_picture(rng) for _ in itertools.count())
    pictures = (each for each in thought_up if min(size) > 128 or not each.scene)
    at_once = pictures_at(size, 16)
    parts = []
    for seed in range(-(-_PAIRS[size] // at_once)):
        prompts = [caption(next(pictures), rng) for _ in range(at_once)]
        shape = (at_once, 4, size[0] // 8, size[1] // 8)
        noise = torch.randn(
            shape, device=device, generator=torch.Generator(device).manual_seed(seed)
        )
        drawn = sample(model, prompts, steps=3, guidance=1.0, lcm=True, size=size, seed=seed)
        traced = autoencoder.encode(trace(decode(autoencoder, drawn)))
        parts.append(Pairs(noise, traced, prompt_rows(prompts, device)))
    return Pairs(*(torch.cat(same) for same in zip(*parts, strict=True)))


def _tracing_loss(model: Denoiser, schedule: Schedule, pairs: Pairs) -> Tensor:
    """How far the model's guess at several strengths of noise is from the tracing."""
    count, device = len(pairs.noise), pairs.noise.device
    steps = [step for step, _ in _STEPS]
    shares = [share for _, share in _STEPS]
    named = random.choices([*steps, -1], [*shares, 1 - sum(shares)], k=count)
    step = torch.tensor([random.randrange(1000) if t < 0 else t for t in named], device=device)
    alpha, sigma = (v[step].view(-1, 1, 1, 1) for v in (schedule.alpha, schedule.sigma))
    noisy = alpha * pairs.traced + sigma * torch.randn_like(pairs.noise)
    noisy = torch.where((step == 999).view(-1, 1, 1, 1), pairs.noise, noisy)
    with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
        told = model(noisy, step, pairs.rows)
    guess = (noisy - sigma * told.float()) / alpha
    error = ((guess - pairs.traced).square() + 1e-4).sqrt().mean((1, 2, 3))
    return (schedule.ratio[step].clamp(0.06, 4).sqrt() * error).mean()
