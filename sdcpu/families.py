"""The families of models: what all models of one architecture have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    EMBEDDING = "embedding"
    """A textual inversion: vectors for a word of the prompt."""
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
    FileRole.EMBEDDING: "embedding",
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
    steps: int = 20
    """What suits a model of the family that was not made for few steps."""
    cfg_scale: float = 7.0
    guidance: float = 3.5
    """Distilled guidance; without effect outside FLUX."""
    sampler: str = "euler_a"
    """A name of `sdcpu.sampling.SAMPLERS`."""
    flow_shift: float | None = None
    """Shift of flow-matching models; None: the engine's own."""
    video: bool = False
    frames: int = 33
    """Of a video, where nothing else is asked for."""
    fps: float = 16.0
    """Frames in a second that the family was trained with."""
    starts_from_picture: bool = False
    """Whether it needs a picture to start from: a video's first frame, or what is to be filled."""
    may_start_from_picture: bool = False
    """Whether a video's first frame may be given although it is not needed."""
    may_end_with_picture: bool = False
    """Whether a video's last frame may be given."""
    high_noise_until: float = 0.875
    """Noise, from 1 to 0, down to which the model for strong noise draws, where there are two."""
    needs_mask: bool = False
    """Whether it needs a mask of what is to be filled."""
    loads_in_parts: bool = True
    """Whether the engine takes a diffusion model and its text encoders from separate files."""
    tiny_decoder: str | None = None
    """The registry's entry with the tiny decoder for this family's latents."""
    edits: bool = False
    """Whether it takes reference pictures."""
    guide: str
    """The document in stable-diffusion.cpp's docs folder that says where its files are."""


_CLIP_L, _CLIP_G, _T5, _LLM = FileRole.CLIP_L, FileRole.CLIP_G, FileRole.T5XXL, FileRole.LLM
_VAE = FileRole.VAE


_UNET = Family(
    name="a family with a UNet, which the engine knows only by the text encoder in the same file",
    title="",
    parts=(_CLIP_L, _VAE),
    latent_channels=4,
    loads_in_parts=False,
    tiny_decoder="taesd",
    guide="sd.md",
)
_TRANSFORMER = Family(
    name="a family with a diffusion transformer, whose patches are 2 latent pixels wide",
    title="",
    parts=(),
    latent_channels=16,
    size_multiple=16,
    width=1024,
    height=1024,
    cfg_scale=1.0,
    sampler="euler",
    guide="flux.md",
)
_FLUX1 = replace(_TRANSFORMER, parts=(_CLIP_L, _T5, _VAE), tiny_decoder="taef1")
_FLUX2 = replace(
    _TRANSFORMER,
    parts=(_LLM, _VAE),
    latent_channels=128,
    latent_scale=16,
    tiny_decoder="taef2",
    edits=True,
    guide="flux2.md",
)
_WAN = replace(
    _TRANSFORMER,
    parts=(_T5, _VAE),
    width=832,
    height=480,
    cfg_scale=6.0,
    flow_shift=3.0,
    video=True,
    tiny_decoder="taew2_1",
    guide="wan.md",
)
_WAN_A14B = replace(
    _WAN,
    parts=(FileRole.HIGH_NOISE_DIFFUSION_MODEL, _T5, _VAE),
    cfg_scale=3.5,
)
"""Two models of 14 thousand million values each: one for the first, noisy steps, one for later."""

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        replace(_UNET, name="sd1", title="Stable Diffusion 1.x"),
        replace(
            _UNET,
            name="sd1_tiny",
            title="Stable Diffusion 1.x with a tiny UNet",
            guide="distilled_sd.md",
        ),
        replace(_UNET, name="sd2", title="Stable Diffusion 2.x"),
        replace(
            _UNET,
            name="sdxs",
            title="SDXS",
            parts=(_CLIP_L, FileRole.TINY_DECODER),
            steps=1,
            cfg_scale=1.0,
            sampler="euler",
            tiny_decoder=None,
            guide="distilled_sd.md",
        ),
        replace(
            _UNET,
            name="sdxl",
            title="Stable Diffusion XL",
            parts=(_CLIP_L, _CLIP_G, _VAE),
            width=1024,
            height=1024,
            cfg_scale=6.0,
            tiny_decoder="taesdxl",
        ),
        replace(
            _TRANSFORMER,
            name="sd3",
            title="Stable Diffusion 3",
            parts=(_CLIP_L, _CLIP_G, _T5, _VAE),
            steps=25,
            cfg_scale=4.5,
            flow_shift=3.0,
            tiny_decoder="taesd3",
            guide="sd3.md",
        ),
        replace(_FLUX1, name="flux", title="FLUX.1", edits=True),
        replace(
            _FLUX1,
            name="flux_fill",
            title="FLUX.1 Fill",
            guidance=30.0,
            starts_from_picture=True,
            needs_mask=True,
        ),
        replace(_FLUX2, name="flux2", title="FLUX.2"),
        replace(_FLUX2, name="flux2_klein", title="FLUX.2 klein 4B", steps=4),
        replace(_FLUX2, name="flux2_klein_9b", title="FLUX.2 klein 9B", steps=4),
        replace(
            _TRANSFORMER,
            name="chroma",
            title="Chroma",
            parts=(_T5, _VAE),
            cfg_scale=4.0,
            tiny_decoder="taef1",
            guide="chroma.md",
        ),
        replace(
            _TRANSFORMER,
            name="z_image",
            title="Z-Image",
            parts=(_LLM, _VAE),
            steps=8,
            tiny_decoder="taef1",
            guide="z_image.md",
        ),
        replace(
            _TRANSFORMER,
            name="qwen_image",
            title="Qwen-Image",
            parts=(_LLM, _VAE),
            cfg_scale=2.5,
            flow_shift=3.0,
            tiny_decoder="taew2_1",
            edits=True,
            guide="qwen_image.md",
        ),
        replace(_WAN, name="wan21", title="Wan 2.1"),
        replace(
            _WAN,
            name="wan21_i2v",
            title="Wan 2.1 I2V",
            parts=(_T5, FileRole.CLIP_VISION, _VAE),
            starts_from_picture=True,
            may_end_with_picture=True,
        ),
        replace(_WAN_A14B, name="wan22_t2v", title="Wan 2.2 T2V A14B"),
        replace(
            _WAN_A14B,
            name="wan22_i2v",
            title="Wan 2.2 I2V A14B",
            starts_from_picture=True,
            may_end_with_picture=True,
            high_noise_until=0.9,
        ),
        replace(
            _WAN,
            name="wan22_ti2v",
            title="Wan 2.2 TI2V",
            latent_channels=48,
            latent_scale=16,
            fps=24.0,
            may_start_from_picture=True,
            size_multiple=32,
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
