"""Write the small checkpoint that ships with the package."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.autoencoder import NAME as AUTOENCODER
from training.denoiser import NAME as DENOISER
from training.denoiser import is_stored_in_int8
from training.distillation import NAME as LCM
from training.layers import int8_scale
from training.stage import done_file
from training.vocabulary import SYNONYMS, WORDS, clip_tokens

UNET, TEXT = "model.diffusion_model.", "cond_stage_model.transformer.text_model."


def export(folder: Path, file: Path) -> int:
    """Collect what the stages left, as 8-bit numbers with scales; returns the bytes written.

    A stage that is not done gives its running average. The style is left out: it is not good yet.
    """
    tensors: dict[str, Tensor] = {}
    for name, values in _left_by(folder, AUTOENCODER).items():
        tensors |= _stored(f"tae.{name}", values)
    for name, values in _left_by(folder, DENOISER).items():
        part, rest = name.split(".", 1)
        tensors |= _stored({"unet": UNET, "text": TEXT}[part] + rest, values)
    for name, values in _left_by(folder, LCM).items():
        tensors |= _change(f"{LCM}.{UNET}{name.replace('/', '.')}", values)
    rows, synonyms = clip_tokens()
    notes = {
        "clip_ids": rows,
        "synonyms": synonyms,
        "words": WORDS,
        "synonym_words": SYNONYMS,
    }
    metadata = {key: json.dumps(value) for key, value in notes.items()}
    save_file({name: values.contiguous() for name, values in tensors.items()}, file, metadata)
    return file.stat().st_size


def _average_file(folder: Path, stage: str) -> Path:
    return folder / f"{stage}-average.pt"


def _left_by(folder: Path, stage: str) -> dict[str, Tensor]:
    file = done_file(folder, stage)
    file = file if file.exists() else _average_file(folder, stage)
    state: dict[str, Tensor] = torch.load(file, map_location="cpu")
    return {name: values.float() for name, values in state.items()}


def _stored(name: str, values: Tensor) -> dict[str, Tensor]:
    """Large weights in 8 bits with one scale for each row, the rest in f16."""
    if not is_stored_in_int8(values):
        return {name: values.half()}
    axes = tuple(range(1, values.ndim))
    scale = (values.abs().amax(axes, keepdim=True) / 127).clamp(min=1e-12)
    return {name: (values / scale).round().to(torch.int8), f"{name}#scale": scale.flatten()}


def _change(name: str, values: Tensor) -> dict[str, Tensor]:
    """One factor of a change in 8 bits with one scale: products of such factors are exact."""
    scale = int8_scale(values)
    return {name: (values / scale).round().to(torch.int8), f"{name}#scale": scale.reshape(1)}
