"""The rows of the survey: which families, types and sizes are drawn, and with which files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.checkpoints import CHECKPOINTS, write_checkpoint, write_small_checkpoint
from tests.checkpoints.writer import TypeName

Stage = Literal["text", "sample", "decode", "upscale"]
Parts = Mapping[str, tuple[str, TypeName]]
"""Checkpoint and type for each role."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A picture or video in one step: small where the engine alone would need over a minute."""

    name: str
    parts: Parts = field(hash=False)
    stages: tuple[Stage, ...]
    """Those that are shown; others are as in another row."""
    width: int = 256
    height: int = 256
    cfg_scale: float = 1.0
    count: int = 1
    frames: int = 1
    """More than one: a video."""

    @property
    def title(self) -> str:
        """For people: name, size, and what is unusual."""
        words = [f"{self.width}x{self.height}"]
        words += [f"{self.count} pictures"] if self.count > 1 else []
        words += [f"{self.frames} frames"] if self.frames > 1 else []
        words += [f"cfg {self.cfg_scale:g}"] if self.cfg_scale != 1 else []
        return f"{self.name}, {', '.join(words)}"


_TINY: Parts = {"tiny_decoder": ("taesd", "f16")}
_TINY_16: Parts = {"tiny_decoder": ("taef1", "f16")}
_CLIP: Parts = {"clip_l": ("clip-l", "f16")}
_CLIPS: Parts = {**_CLIP, "clip_g": ("clip-g", "q8_0")}


def _sd15(name: str, kind: TypeName = "q8_0", **more: object) -> Row:
    extra: Parts = more.pop("extra", {})  # type: ignore[assignment]
    parts = {"model": ("sd15", kind), **_TINY, **extra}
    return Row(name=name, parts=parts, stages=("sample",), **more)  # type: ignore[arg-type]


def _flux(kind: TypeName, width: int = 256, height: int = 256) -> Row:
    size = "" if width == height else "-odd"
    return Row(
        name=f"flux-{kind}{size}",
        parts={"diffusion_model": ("flux-three", kind), **_CLIP, **_TINY_16},
        stages=("sample",),
        width=width,
        height=height,
    )


def _sd35(kind: TypeName, side: int = 64) -> Row:
    """With T5-XXL in the same type, which reads 77 tokens for Stable Diffusion 3."""
    parts = {"diffusion_model": ("sd35-medium", kind), **_CLIPS, "t5xxl": ("t5-xxl", kind)}
    return Row(
        name=f"sd35+t5-{kind}",
        parts={**parts, **_TINY_16},
        stages=("text", "sample", "decode"),
        width=side,
        height=side,
    )


def _qwen25(kind: TypeName) -> Row:
    """With Wan's autoencoder."""
    return Row(
        name=f"qwen-image+qwen2.5-{kind}",
        parts={
            "diffusion_model": ("qwen-image-short", kind),
            "llm": ("qwen2.5-vl-7b-short", kind),
            "vae": ("vae-wan", "f16"),
        },
        stages=("text", "sample", "decode"),
        width=128,
        height=128,
    )


ROWS = {
    row.name: row
    for row in (
        Row(
            name="sd15-f16",
            parts={"model": ("sd15", "f16")},
            stages=("text", "sample", "decode"),
        ),
        Row(
            name="sd15-q8_0",
            parts={"model": ("sd15", "q8_0"), **_TINY},
            stages=("text", "sample", "decode"),
        ),
        _sd15("sd15-q4_0", "q4_0"),
        _sd15("sd15-wide", width=576, height=320),
        _sd15("sd15-high", width=320, height=576),
        _sd15("sd15-batch", count=2, cfg_scale=7.0),
        _sd15("sd15-controlnet", extra={"control_net": ("controlnet", "f16")}),
        _sd15("sd15-lora", extra={"lora": ("lora", "f16")}),
        Row(name="sd2-q8_0", parts={"model": ("sd2", "q8_0"), **_TINY}, stages=("text", "sample")),
        Row(
            name="sdxl-q4_0",
            parts={"model": ("sdxl", "q4_0")},
            stages=("text", "sample", "decode"),
        ),
        _sd35("q8_0", 256),
        _sd35("q4_K"),
        _sd35("q5_K"),
        _sd35("q6_K"),
        _flux("q4_0"),
        _flux("q4_K"),
        _flux("q8_0"),
        _flux("q8_0", 328, 200),
        Row(
            name="z-image+qwen3-q4_K",
            parts={
                "diffusion_model": ("z-image", "q4_K"),
                "llm": ("qwen3-4b-short", "q4_K"),
                "vae": ("vae16", "f16"),
            },
            stages=("text", "sample", "decode"),
            width=128,
            height=128,
        ),
        _qwen25("q4_K"),
        _qwen25("q5_K"),
        _qwen25("q6_K"),
        _qwen25("q8_0"),
        Row(  # without a text encoder: Wan's is like T5-XXL, whose rows are above
            name="wan2.1-q8_0",
            parts={"diffusion_model": ("wan2.1", "q8_0"), "vae": ("vae-wan", "f16")},
            stages=("sample", "decode"),
            width=128,
            height=128,
            frames=5,
        ),
        Row(
            name="esrgan",
            parts={"upscaler": ("esrgan-anime", "f16")},
            stages=("upscale",),
            width=128,
            height=128,
        ),
    )
}


def files_of(row: Row, folder: Path) -> dict[str, str]:
    """The row's files by role; the missing ones are made."""
    return {role: str(_made(folder, *part)) for role, part in row.parts.items()}


def _made(folder: Path, name: str, kind: TypeName) -> Path:
    # What the engine reads in the middle of a picture must not log an error, as small files do.
    whole = name == "lora"
    path = folder / f"{name}-{kind}.{'safetensors' if whole else 'gguf'}"
    if not path.exists():
        print(f"making {path.name} …", file=sys.stderr)
        unfinished = path.with_stem(f"{path.stem}.unfinished")
        write = write_checkpoint if whole else write_small_checkpoint
        write(unfinished, CHECKPOINTS[name].shapes(), kind)
        unfinished.replace(path)
    return path
