"""The style that ships with the package, as trainers for Stable Diffusion 1.x write a LoRA.

Stored are narrow factors of 8-bit numbers; widened they change the full network as the narrow ones
change the narrow network.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sdcpu.demo.checkpoint import Floats, read_change
from sdcpu.demo.network import UNET_PREFIX, Layer, unet_layers
from sdcpu.demo.widen import Writable, copies_of, spread_columns, write_safetensors

OUTLINE = Path(__file__).with_name("outline.safetensors")

_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)")
_RESIDUAL = {
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_BLOCKS_ON_A_LEVEL = 3
"""Counting one that changes the size; on the tiny U-Net's way down one number is left out."""


def write_lora(file: Writable, style: Path = OUTLINE) -> None:
    """Write a LoRA of 4 MB in f16 whose alpha is its rank, so that 1 is its whole weight."""
    changes = read_change("style", style)
    tensors: dict[str, Floats] = {}
    for layer in unet_layers():
        if change := changes.get(f"{layer.name}.weight"):
            name = kohya_name(layer.name)
            up, down = change.scaled()
            tensors[f"{name}.lora_up.weight"] = _wide_up(up, layer)
            tensors[f"{name}.lora_down.weight"] = _wide_down(down, layer)
            tensors[f"{name}.alpha"] = np.array(len(down), np.float32)
    notes = {"ss_base_model_version": "sd_v1", "ss_network_module": "networks.lora"}
    half = {name: values.astype("<f2") for name, values in tensors.items()}
    write_safetensors(file, half, notes)


def kohya_name(layer: str) -> str:
    """The name that kohya-ss/sd-scripts gives a layer of the U-Net's blocks.

    The engine does not find the first and the last convolution by theirs, so a style has neither.

    >>> kohya_name("model.diffusion_model.output_blocks.6.1.transformer_blocks.0.attn1.to_q")
    'lora_unet_up_blocks_2_attentions_0_transformer_blocks_0_attn1_to_q'
    >>> kohya_name("model.diffusion_model.input_blocks.3.0.op")
    'lora_unet_down_blocks_0_downsamplers_0_conv'
    """
    matched = _BLOCK.fullmatch(layer.removeprefix(UNET_PREFIX))
    if matched is None:
        raise ValueError(f"{layer} is in no block")
    side, number, place, rest = matched.groups()
    way, first = ("down", 1) if side == "input" else ("up", 0)
    level, block = divmod(int(number) - first, _BLOCKS_ON_A_LEVEL)
    if rest in ("op", "conv"):
        part = f"{way}samplers_0_conv"
    elif place == "0":
        part = f"resnets_{block}_{_RESIDUAL[rest]}"
    else:
        part = f"attentions_{block}_{rest.replace('.', '_')}"
    return f"lora_unet_{way}_blocks_{level}_{part}"


def _wide_up(up: Floats, layer: Layer) -> Floats:
    """Rows for the copies of each output; a convolution's ends in a kernel of one pixel."""
    rows = np.repeat(up * np.float32(layer.factor), copies_of(layer.outputs), axis=0)
    return rows[..., None, None] if layer.kind == "convolution" else rows


def _wide_down(down: Floats, layer: Layer) -> Floats:
    """Columns for the copies of each input, which divide its part among them."""
    kernel = (layer.kernel, layer.kernel) if layer.kind == "convolution" else ()
    return spread_columns(down.reshape(len(down), -1, *kernel), layer.inputs)
