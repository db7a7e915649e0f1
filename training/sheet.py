"""Contact sheets: what the model draws, at a glance."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

PROMPTS = (
    "a red circle on a blue background",
    "a yellow star on a black background",
    "a green triangle on a white background",
    "a pink heart on a purple background",
    "a white ring on a red background",
    "an orange hexagon on a green background",
    "a small blue diamond at the top left on a yellow background",
    "a large black cross on an orange background",
    "a purple crescent on the left on a white background",
    "a brown square on the right on a turquoise background",
    "a red circle left of a blue square on a white background",
    "a yellow star above a green heart on a black background",
    "three pink hearts on a gray background",
    "two white stars on a blue background",
    "a green circle on a red and white striped background",
    "a lighthouse by the sea",
    "a lighthouse by the sea at night",
    "mountains at sunset",
    "a blue house with a tree",
    "a city skyline at night",
    "a boat on the sea at sunset",
    "a desert with a cactus",
    "a field with yellow flowers",
    "a castle on a hill at night",
)


def save_sheet(pictures: Tensor, file: Path, *, columns: int = 6) -> None:
    """Save pictures in [0, 1], shape (n, 3, height, width), as rows of one picture."""
    missing = -len(pictures) % columns
    padded = torch.cat([pictures, pictures.new_zeros(missing, *pictures.shape[1:])])
    rows = [torch.cat(list(row), 2) for row in padded.split(columns)]
    pixels = (torch.cat(rows, 1).clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(pixels.cpu().numpy()).save(file)
