"""What a weights file is to the engine: its role, its family of models, and what it lacks.

The rules are the engine's own (`ModelLoader::get_sd_version`, stable-diffusion.cpp's model.cpp):
names and shapes of tensors decide, never the file's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FileRole(StrEnum):
    """What a file is to the engine."""

    MODEL = "model"
    """A whole checkpoint: diffusion model with text encoder, decoder or both in one file."""
    DIFFUSION_MODEL = "diffusion_model"
    HIGH_NOISE_DIFFUSION_MODEL = "high_noise_diffusion_model"
    CLIP_L = "clip_l"
    CLIP_G = "clip_g"
    CLIP_VISION = "clip_vision"
    T5XXL = "t5xxl"
    LLM = "llm"
    LLM_VISION = "llm_vision"
    VAE = "vae"
    TINY_DECODER = "tiny_decoder"
    CONTROL_NET = "control_net"
    LORA = "lora"
    UPSCALER = "upscaler"

    @property
    def label(self) -> str:
        """What people call it: "CLIP-L", "T5-XXL", "VAE"."""
        return _ROLE_LABELS[self]


_ROLE_LABELS = {
    FileRole.MODEL: "whole model",
    FileRole.DIFFUSION_MODEL: "diffusion model",
    FileRole.HIGH_NOISE_DIFFUSION_MODEL: "high-noise diffusion model",
    FileRole.CLIP_L: "CLIP-L",
    FileRole.CLIP_G: "CLIP-G",
    FileRole.CLIP_VISION: "CLIP vision",
    FileRole.T5XXL: "T5-XXL",
    FileRole.LLM: "language model",
    FileRole.LLM_VISION: "language model's vision part",
    FileRole.VAE: "VAE",
    FileRole.TINY_DECODER: "tiny decoder",
    FileRole.CONTROL_NET: "ControlNet",
    FileRole.LORA: "LoRA",
    FileRole.UPSCALER: "upscaler",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What all models of one architecture have in common."""

    name: str
    title: str
    parts: tuple[FileRole, ...]
    """What a file with only the diffusion model needs beside it."""
    latent_channels: int
    latent_scale: int = 8
    """Pixels of the picture per latent pixel, along a side."""
    size_multiple: int = 64
    """Pixels; the engine rounds width and height up to it (get_diffusion_model_down_factor)."""
    width: int = 512
    """Pixels; the size the family was trained for."""
    height: int = 512
    video: bool = False
    loads_in_parts: bool = True
    """Whether the engine takes a diffusion model and its text encoders from separate files."""
    tiny_decoder: str | None = None
    """The registry's entry with the tiny decoder for this family's latents."""
    edits: bool = False
    """Whether it takes reference pictures."""


_CLIP_L, _CLIP_G, _T5, _LLM = FileRole.CLIP_L, FileRole.CLIP_G, FileRole.T5XXL, FileRole.LLM
_VAE = FileRole.VAE

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        # A UNet is recognised by the text encoder beside it, so the engine needs both in one file.
        Family(
            name="sd1",
            title="Stable Diffusion 1.x",
            parts=(_CLIP_L, _VAE),
            latent_channels=4,
            loads_in_parts=False,
            tiny_decoder="taesd",
        ),
        Family(
            name="sd1_tiny",
            title="Stable Diffusion 1.x with a tiny UNet",
            parts=(_CLIP_L, _VAE),
            latent_channels=4,
            loads_in_parts=False,
            tiny_decoder="taesd",
        ),
        Family(
            name="sdxs",
            title="SDXS (one step)",
            parts=(_CLIP_L, FileRole.TINY_DECODER),
            latent_channels=4,
            loads_in_parts=False,
        ),
        Family(
            name="sd2",
            title="Stable Diffusion 2.x",
            parts=(_CLIP_L, _VAE),
            latent_channels=4,
            loads_in_parts=False,
            tiny_decoder="taesd",
        ),
        Family(
            name="sdxl",
            title="Stable Diffusion XL",
            parts=(_CLIP_L, _CLIP_G, _VAE),
            latent_channels=4,
            width=1024,
            height=1024,
            loads_in_parts=False,
            tiny_decoder="taesdxl",
        ),
        Family(
            name="sd3",
            title="Stable Diffusion 3",
            parts=(_CLIP_L, _CLIP_G, _T5, _VAE),
            latent_channels=16,
            size_multiple=16,
            width=1024,
            height=1024,
            tiny_decoder="taesd3",
        ),
        Family(
            name="flux",
            title="FLUX.1",
            parts=(_CLIP_L, _T5, _VAE),
            latent_channels=16,
            size_multiple=16,
            width=1024,
            height=1024,
            tiny_decoder="taef1",
            edits=True,
        ),
        Family(
            name="flux2",
            title="FLUX.2",
            parts=(_LLM, _VAE),
            latent_channels=128,
            latent_scale=16,
            size_multiple=16,
            width=1024,
            height=1024,
            edits=True,
        ),
        Family(
            name="flux2_klein",
            title="FLUX.2 klein",
            parts=(_LLM, _VAE),
            latent_channels=128,
            latent_scale=16,
            size_multiple=16,
            width=1024,
            height=1024,
            edits=True,
        ),
        Family(
            name="chroma",
            title="Chroma",
            parts=(_T5, _VAE),
            latent_channels=16,
            size_multiple=16,
            width=1024,
            height=1024,
            tiny_decoder="taef1",
        ),
        Family(
            name="z_image",
            title="Z-Image",
            parts=(_LLM, _VAE),
            latent_channels=16,
            size_multiple=16,
            width=1024,
            height=1024,
            tiny_decoder="taef1",
        ),
        Family(
            name="qwen_image",
            title="Qwen-Image",
            parts=(_LLM, _VAE),
            latent_channels=16,
            size_multiple=16,
            width=1024,
            height=1024,
            tiny_decoder="taew2_1",
            edits=True,
        ),
        Family(
            name="wan21",
            title="Wan 2.1",
            parts=(_T5, _VAE),
            latent_channels=16,
            size_multiple=16,
            width=832,
            height=480,
            video=True,
            tiny_decoder="taew2_1",
        ),
        Family(
            name="wan22_ti2v",
            title="Wan 2.2 TI2V",
            parts=(_T5, _VAE),
            latent_channels=48,
            latent_scale=16,
            size_multiple=32,
            width=832,
            height=480,
            video=True,
            tiny_decoder="taew2_2",
        ),
    )
}
"""The families that make pictures, by name."""

PART_FAMILIES: dict[str, str] = {
    "text_encoder": "text encoder",
    "vae": "VAE",
    "tiny_decoder": "tiny decoder",
    "control_net": "ControlNet",
    "lora": "LoRA",
    "esrgan": "ESRGAN upscaler",
}
"""The families of files that only help another model, by name, and what people call them."""
