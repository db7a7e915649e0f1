"""Which family of models a LoRA was made for, read off its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sdcpu.families import FAMILIES
from sdcpu.loras.layers import lora_tensor
from sdcpu.weights import WeightsHeader


@dataclass(frozen=True, slots=True)
class Origin:
    """What a LoRA was made for."""

    title: str = ""
    """For people; "" where its tensors do not tell."""
    families: tuple[str, ...] = ()
    """Names of `sdcpu.families.FAMILIES` that it may fit; empty where its tensors do not tell."""


_SD1 = ("sd1", "sd1_tiny", "sdxs")
_FAMILIES = {
    "sd1": _SD1,
    "sd2": ("sd2", "sdxs"),
    "flux": ("flux", "chroma", "flux2", "flux2_klein"),
    "wan21": ("wan21", "wan22_ti2v"),
}
_OF_TEXT_WIDTH = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""The family of a U-Net by the width of the text it attends to."""
_OF_NAMES = (
    (r"single_(transformer_)?blocks?[._]\d+|double_blocks[._]\d+", "flux"),
    (r"joint_blocks[._]\d+", "sd3"),
    (r"(^|[._])(noise_refiner|context_refiner)[._]\d+", "z_image"),
    (r"(^|[._])blocks[._]\d+[._](cross_attn|self_attn)", "wan21"),
    (r"transformer_blocks[._]\d+[._](img_mod|txt_mod|img_mlp|txt_mlp)", "qwen_image"),
    (
        r"lora_te2_|text_encoder_2\.|input_blocks[._][78][._]1[._]transformer_blocks[._][2-9]",
        "sdxl",
    ),
)
"""Names that only one architecture has."""
_ATTENDS_TO_TEXT = re.compile(r"attn2[._](?:processor[._])?to_[kv]([._]|$)")


def origin_of(lora: WeightsHeader) -> Origin | None:
    """Tell what a LoRA was made for; None where it is no LoRA at all.

    >>> origin_of(read_header(Path("style.safetensors"))).title  # doctest: +SKIP
    'Stable Diffusion 1.x'
    """
    if not any(_is_of_lora(tensor.name) for tensor in lora.tensors):
        return None
    family = _by_width(lora) or _by_names(tensor.name for tensor in lora.tensors)
    if family is None:
        return Origin()
    return Origin(FAMILIES[family].title, _FAMILIES.get(family, (family,)))


_MARKS = (".lora_", "_lora.", ".lora.", ".hada_", ".lokr_", ".diff")


def _is_of_lora(name: str) -> bool:
    read = lora_tensor(f"unet.{name}", "flux")
    return read is not None and any(mark in name for mark in _MARKS)


def _by_width(lora: WeightsHeader) -> str | None:
    """The family of a U-Net, by what its attention to the text takes in."""
    for tensor in lora.tensors:
        read = lora_tensor(f"unet.{tensor.name}", "flux")
        if read is not None and read.part == "down" and _ATTENDS_TO_TEXT.search(tensor.name):
            return _OF_TEXT_WIDTH.get(tensor.shape[1] if len(tensor.shape) > 1 else 0)
    return None


def _by_names(names: Iterable[str]) -> str | None:
    everything = "\n".join(names)
    for pattern, family in _OF_NAMES:
        if re.search(pattern, everything, re.MULTILINE):
            return family
    return None
