"""Third stage: four steps in place of twenty (latent consistency, https://arxiv.org/abs/2310.04378)."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor

from training.data import LatentPool, empty_prompt
from training.denoiser import load_base, trained_autoencoder
from training.evaluation import glance
from training.layers import adaptable_layers, add_adapters
from training.networks import Denoiser
from training.sampling import Schedule
from training.stage import Stage, load_done

NAME, RANK = "lcm", 12
GUIDANCE = 3.5
"""How strongly the teacher follows the prompt: the student needs no guidance."""
_FIRST_STEPS = (50, 38, 25, 13)
"""Of the 50 time steps those that four steps begin at; half of the training is spent on them."""
_SIZES = {(256, 256): 0.8, (128, 128): 0.2}


def train_distilled(folder: Path, device: torch.device, seconds: float, batch: int) -> None:
    """Teach a changed U-Net to say at once where the guided one arrives."""
    teacher = Denoiser().to(device, memory_format=torch.channels_last).requires_grad_(False)
    student = copy.deepcopy(teacher)
    changes = add_distilled(student)
    follower = copy.deepcopy(student).requires_grad_(False)  # the student's running average
    autoencoder = trained_autoencoder(folder, device)
    pool = LatentPool(autoencoder, device, batch, sizes=_SIZES)
    for model in (teacher, student, follower):
        load_base(model, folder)
    stage = Stage(NAME, changes, folder, seconds, rate=1e-3, kept=0.98)
    following = [p for name, p in follower.named_parameters() if ".adapter." in name]
    schedule = Schedule(device)
    tested = stage.used
    while stage.running():
        _, latents, rows = pool.sample(0.0)
        torch._foreach_copy_(following, stage.average)
        with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
            loss = _consistency_loss(teacher, student, follower, schedule, latents, rows)
        stage.update(loss, len(latents))
        if stage.used > tested + 45:
            tested = stage.used
            with stage.averaged():
                stage.note(**glance(student, autoencoder, lcm=True))
    stage.finish()


def add_distilled(model: Denoiser) -> torch.nn.ModuleDict:
    """Changes to every matrix of the U-Net but those of the time step."""
    return add_adapters(model.unet, lambda name: 0 if "time_embed" in name else RANK)


def load_distilled(model: Denoiser, folder: Path) -> None:
    """Wait for this stage; the whole model of four steps, its change made a part of the weights."""
    changes = add_distilled(model)
    load_base(model, folder)
    load_done(changes, folder, NAME)
    for _, layer in adaptable_layers(model):
        layer.keep_change()


def _consistency_loss(
    teacher: Denoiser,
    student: Denoiser,
    follower: Denoiser,
    schedule: Schedule,
    latents: Tensor,
    rows: Tensor,
) -> Tensor:
    """How far the student's guess is from the follower's one teacher's step further on."""
    count, device = len(latents), latents.device
    first = torch.tensor(_FIRST_STEPS, device=device)[torch.randint(4, (count,), device=device)]
    other = torch.randint(1, 51, (count,), device=device)
    number = torch.where(torch.rand(count, device=device) < 0.5, first, other)
    start = 20 * number - 1
    end = start - 100
    last = (end < 0).view(-1, 1, 1, 1)
    end = end.clamp(min=0)

    def at(values: Tensor, steps: Tensor) -> Tensor:
        return values[steps].view(-1, 1, 1, 1)

    noise = torch.randn_like(latents)
    noisy = at(schedule.alpha, start) * latents + at(schedule.sigma, start) * noise
    noisy = torch.where((number == 50).view(-1, 1, 1, 1), noise, noisy)
    with torch.no_grad():
        given = teacher.text(torch.cat([rows, empty_prompt(device).expand(count, -1)]))
        both = teacher.unet(noisy.repeat(2, 1, 1, 1), start.repeat(2), given)
        guided, without = both.float().chunk(2)
        guided = without + GUIDANCE * (guided - without)
        whole = (noisy - at(schedule.sigma, start) * guided) / at(schedule.alpha, start)
        later = at(schedule.alpha, end) * whole + at(schedule.sigma, end) * guided
        context = given[:count]
        told = follower.unet(later, end, context).float()
        goal = (later - at(schedule.sigma, end) * told) / at(schedule.alpha, end)
        goal = torch.where(last, whole, goal)
    told = student.unet(noisy, start, context).float()
    guess = (noisy - at(schedule.sigma, start) * told) / at(schedule.alpha, start)
    error = ((guess - goal).square() + 1e-4).sqrt().mean((1, 2, 3))
    weight = schedule.ratio[start].clamp(0.06, 4).sqrt()
    return (weight * error).mean()
