"""Write the small checkpoint that ships with the package, and the style."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.autoencoder import NAME as AUTOENCODER
from training.denoiser import NAME as DENOISER
from training.denoiser import is_stored_in_int8
from training.distillation import NAME as LCM
from training.layers import int8_scale
from training.stage import done_file
from training.style import NAME as STYLE
from training.vocabulary import SYNONYMS, WORDS, clip_tokens

UNET, TEXT = "model.diffusion_model.", "cond_stage_model.transformer.text_model."


def export(folder: Path, file: Path) -> int:
    """Collect what the stages left, as 8-bit numbers with scales; returns the bytes written.

    A stage that is not done gives its running average.
    """
    tensors: dict[str, Tensor] = {}
    for name, values in _left_by(folder, AUTOENCODER).items():
        tensors |= _stored(f"tae.{name}", values)
    for name, values in _left_by(folder, DENOISER).items():
        part, rest = name.split(".", 1)
        tensors |= _stored({"unet": UNET, "text": TEXT}[part] + rest, values)
    tensors |= _changes(folder, LCM)
    rows, synonyms = clip_tokens()
    notes = {
        "clip_ids": rows,
        "synonyms": synonyms,
        "words": WORDS,
        "synonym_words": SYNONYMS,
    }
    return _save(tensors, notes, file)


def export_style(folder: Path, file: Path) -> int:
    """Write the change that the style is; returns the bytes written."""
    return _save(_changes(folder, STYLE), {}, file)


def _save(tensors: dict[str, Tensor], notes: dict[str, Any], file: Path) -> int:
    metadata = {key: json.dumps(value) for key, value in notes.items()}
    save_file({name: values.contiguous() for name, values in tensors.items()}, file, metadata)
    return file.stat().st_size


def _changes(folder: Path, stage: str) -> dict[str, Tensor]:
    """Both factors of what a stage changes at each layer of the U-Net."""
    tensors: dict[str, Tensor] = {}
    for name, values in _left_by(folder, stage).items():
        tensors |= _change(f"{stage}.{UNET}{name.replace('/', '.')}", values)
    return tensors


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
