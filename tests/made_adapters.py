"""Small LoRAs and embeddings for the demo model whose effect can be told from a picture."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from sdcpu.demo.checkpoint import read_change, read_checkpoint
from sdcpu.demo.network import TOKEN_EMBEDDING, Layer, text_encoder_layers, unet_layers
from sdcpu.demo.widen import copies_of, repeat_columns, spread_columns
from tests.reference_network import Array, ReferenceNetwork
from training.vocabulary import encode

Spelling = Literal["kohya", "diffusers", "peft", "loha", "lokr"]
_PREFIX = "model.diffusion_model."
_DIFFUSERS_BLOCKS = {
    "input_blocks.1.": "down_blocks.0.attentions.0.",
    "input_blocks.4.": "down_blocks.1.attentions.0.",
    "input_blocks.7.": "down_blocks.2.attentions.0.",
    "output_blocks.0.": "up_blocks.0.attentions.0.",
    "output_blocks.1.": "up_blocks.0.attentions.1.",
    "output_blocks.3.": "up_blocks.1.attentions.0.",
    "output_blocks.4.": "up_blocks.1.attentions.1.",
    "output_blocks.6.": "up_blocks.2.attentions.0.",
    "output_blocks.7.": "up_blocks.2.attentions.1.",
}


def write_recolouring_lora(
    path: Path,
    *,
    before: str = "red",
    after: str = "green",
    spelling: Spelling = "kohya",
    foreign: int = 0,
) -> None:
    """Write a LoRA that lets the demo model take one colour's word for another's.

    `foreign` tensors more belong to no layer of the model.

    What attention reads of the text is W c. The change W A makes that of `before` into that of
    `after`, where A is the smallest matrix that turns the one's encoded words into the other's.
    """
    parameters, _ = read_checkpoint(change="lcm")
    layers = {layer.name: layer for layer in unet_layers()}
    encoder = ReferenceNetwork(parameters, text_encoder_layers(), narrow=True)
    prompts = [f"a {{}} {shape} on a {ground} background" for shape, ground in _SEEN]
    seen, wanted = (
        np.concatenate([encoder.encode_text(np.array(encode(p.format(word)))) for p in prompts])
        for word in (before, after)
    )
    change = np.linalg.lstsq(seen, wanted - seen, rcond=1e-4)[0].T
    left, sizes, right = np.linalg.svd(change)
    rank = int((sizes > sizes[0] * 1e-3).sum())
    tensors: dict[str, Array] = {}
    for name, layer in layers.items():
        if name.endswith(("attn2.to_k", "attn2.to_v")):
            up = parameters[f"{name}.weight"] @ (left[:, :rank] * sizes[:rank])
            tensors |= _factors(layer, up, right[:rank], spelling)
    for number in range(foreign):
        tensors[f"lora_unet_nowhere_{number}.lora_up.weight"] = np.zeros((4, 4), np.float32)
    write_safetensors(path, tensors)


_SEEN = (("circle", "white"), ("square", "white"), ("star", "black"), ("heart", "blue"))


def write_lora_of_every_layer(path: Path, separator: str) -> None:
    """Write a LoRA of zeros for each layer of text encoder and U-Net, named as the engine does.

    With "_" between the words kohya's scripts write such names, with "." some other programs.
    """
    unet, text = {"_": ("lora_unet_", "lora_te_"), ".": ("diffusion_model.", "te.")}[separator]
    tensors: dict[str, Array] = {}
    for layer in (*text_encoder_layers(), *unet_layers()):
        if layer.kind in ("linear", "convolution"):
            name = layer.name.removeprefix("cond_stage_model.transformer.").removeprefix(_PREFIX)
            stem = (unet if layer.name.startswith(_PREFIX) else text) + name.replace(".", separator)
            outputs, inputs, *kernel = layer.parameters()[f"{layer.name}.weight"]
            ones = (1,) * len(kernel)
            tensors[f"{stem}.lora_down.weight"] = np.zeros((1, inputs, *kernel), np.float32)
            tensors[f"{stem}.lora_up.weight"] = np.zeros((outputs, 1, *ones), np.float32)
    write_safetensors(path, tensors, kind="f2")


def write_lcm_lora(path: Path) -> None:
    """Write the change that lets demo-base draw in 4 steps, which makes it the model demo."""
    layers = {layer.name: layer for layer in unet_layers()}
    tensors: dict[str, Array] = {}
    for name, change in read_change("lcm").items():
        layer = layers[name.removesuffix(".weight")]
        up, down = change.scaled()
        kernel = (layer.kernel, layer.kernel) if layer.kind == "convolution" else ()
        tensors |= _factors(layer, up, down.reshape(len(down), -1, *kernel), "kohya")
    write_safetensors(path, tensors)


def write_embedding(path: Path, word: str, *, kind: str = "f4", rows: int = 1) -> None:
    """Write a textual inversion that means to the demo model what a word of its own means."""
    parameters, _ = read_checkpoint()
    embedding = next(layer for layer in text_encoder_layers() if layer.name == TOKEN_EMBEDDING)
    row = encode(word)[1]
    table = parameters[f"{TOKEN_EMBEDDING}.weight"][[row] * rows]
    write_safetensors(path, {"emb_params": repeat_columns(table, embedding.outputs)}, kind=kind)


def write_safetensors(path: Path, tensors: Mapping[str, Array], *, kind: str = "f4") -> None:
    """Write tensors as f32 ("f4") or f16 ("f2")."""
    header, parts, end = {}, [], 0
    for name, values in tensors.items():
        data = values.astype(f"<{kind}").tobytes()
        header[name] = {
            "dtype": {"f4": "F32", "f2": "F16"}[kind],
            "shape": values.shape,
            "data_offsets": [end, end + len(data)],
        }
        end += len(data)
        parts.append(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def _factors(layer: Layer, up: Array, down: Array, spelling: Spelling) -> dict[str, Array]:
    """Both factors for the full network, widened as `sdcpu.demo.widen` widens their product."""
    ones = (1, 1) if layer.kind == "convolution" else ()
    wide_up = np.repeat(up * np.float32(layer.factor), copies_of(layer.outputs), axis=0)
    wide_up = wide_up.reshape(*wide_up.shape[:2], *ones)
    wide_down = spread_columns(down, layer.inputs)
    names = _names(layer.name.removeprefix(_PREFIX), spelling)
    others = {"loha": _loha, "lokr": _lokr}
    if spelling in others:
        stem = names[0].partition(".")[0]
        parts = others[spelling](wide_up, wide_down)
        return {f"{stem}.{part}": values for part, values in parts.items()}
    return {names[0]: wide_down, names[1]: wide_up}


def _loha(up: Array, down: Array) -> dict[str, Array]:
    """The same change as a product, value by value, with ones."""
    return {
        "hada_w1_a": up,
        "hada_w1_b": down,
        "hada_w2_a": np.ones((len(up), 1), np.float32),
        "hada_w2_b": np.ones((1, down.shape[1]), np.float32),
    }


def _lokr(up: Array, down: Array) -> dict[str, Array]:
    """The same change as a Kronecker product with one number."""
    return {"lokr_w1": np.ones((1, 1), np.float32), "lokr_w2": up @ down}


def _names(layer: str, spelling: Spelling) -> tuple[str, str]:
    if spelling == "diffusers":
        block = next(block for block in _DIFFUSERS_BLOCKS if layer.startswith(block))
        inner = layer.removeprefix(block).removeprefix("1.")
        stem = f"unet.{_DIFFUSERS_BLOCKS[block]}{inner}"
        return f"{stem}.lora.down.weight", f"{stem}.lora.up.weight"
    if spelling == "peft":
        return (f"diffusion_model.{layer}.lora_A.weight", f"diffusion_model.{layer}.lora_B.weight")
    stem = f"lora_unet_{layer.replace('.', '_')}"
    return f"{stem}.lora_down.weight", f"{stem}.lora_up.weight"
