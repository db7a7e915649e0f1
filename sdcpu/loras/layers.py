"""What the tensors of a LoRA file are, and which layers of a model they are for.

Training programs name a layer in many ways: as the model does, as diffusers does, with dots or (as
kohya's scripts do) with underscores only. Here every layer has one name: `unet` or a text encoder,
then the model's own spelling with underscores. What the engine takes is told by
`convert_tensor_name` of its name_conversion.cpp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PARTS = {
    "down": (
        *(".lora_down.weight", ".lora.down.weight", "_lora.down.weight"),
        *(".lora_A.weight", ".lora_A.default.weight"),
    ),
    "up": (
        *(".lora_up.weight", ".lora.up.weight", "_lora.up.weight"),
        *(".lora_B.weight", ".lora_B.default.weight"),
    ),
    "mid": (".lora_mid.weight", ".lora.mid.weight", "_lora.mid.weight"),
    "alpha": (".alpha",),
    "scale": (".scale",),
    "diff": (".diff",),
    "diff_b": (".diff_b",),
    **{
        name: (f".{name}",)
        for name in (
            *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
            *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b"),
        )
    },
}
"""How names of tensors end, by what the tensor is to its layer."""
_ENDINGS = tuple((ending, part) for part, endings in _PARTS.items() for ending in endings)

_STARTS = ("lora.", "lora_", "lycoris_", "lycoris.")
_PLACES = {
    "unet": ("unet_", "unet.", "diffusion_model.", "transformer.", "model.diffusion_model."),
    "text": ("te_", "te1_", "te.", "te1.", "text_encoder.", "cond_stage_model.transformer."),
    "text2": ("te2_", "te2.", "cond_stage_model.1.transformer.", "conditioner.embedders.1."),
    "t5": ("te3_", "te3."),
}
"""Which network a layer belongs to, by how its name begins; `unet` is any diffusion model."""
_NOT_WITH_UNETS = ("text_encoder.", "conditioner.", "cond_stage_model.1.")
"""Spellings that the engine loses for models with a U-Net, where it makes dots of underscores."""
UNET_FAMILIES = ("sd1", "sd1_tiny", "sd2", "sdxl", "sdxs")


@dataclass(frozen=True, slots=True)
class LoraTensor:
    """One tensor of a LoRA."""

    layer: str
    """The layer's name: `unet`, `text`, `text2` or `t5`, a colon, and its name with underscores."""
    part: str
    """What it is to the layer: `down`, `up`, `mid`, `alpha`, `diff`, `hada_w1_a`, …"""
    place: int = 0
    """Which part of a layer that the model holds as one, such as query, key and value."""


def lora_tensor(name: str, family: str) -> LoraTensor | None:
    """Read a tensor's name as the engine does for a model of a family; None: it takes no notice.

    >>> lora_tensor("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "sd1")
    LoraTensor(layer='unet:middle_block_1_proj_in', part='down', place=0)
    """
    ending, part = next((found for found in _ENDINGS if name.endswith(found[0])), ("", ""))
    if not ending:
        return None
    layer = name.removesuffix(ending).replace(".processor", "")
    layer = next((layer.removeprefix(start) for start in _STARTS if layer.startswith(start)), layer)
    if layer.startswith(("transformer_blocks", "single_transformer_blocks")):
        layer = f"transformer.{layer}"
    for network, beginnings in _PLACES.items():
        for beginning in beginnings:
            if layer.startswith(beginning):
                inside = layer.removeprefix(beginning)
                if family in UNET_FAMILIES and _is_lost(inside, beginning):
                    return None
                inner, place = layer_name(inside, network, family)
                return LoraTensor(f"{network}:{inner}", part, place)
    return None


def _is_lost(name: str, beginning: str) -> bool:
    """Whether the engine fails to find this layer for a model with a U-Net.

    It knows diffusers' names for the layers outside of the blocks only as whole names of tensors.
    """
    return beginning in _NOT_WITH_UNETS or name.replace(".", "_") in _OUTER


def layer_name(name: str, network: str, family: str) -> tuple[str, int]:
    """Spell a layer as the model does, with underscores; and which part of it is meant.

    >>> layer_name("transformer_blocks.3.attn.to_k", "unet", "flux")
    ('double_blocks_3_img_attn_qkv', 1)
    """
    flat = name.replace(".", "_")
    if network == "unet" and family in UNET_FAMILIES:
        return _unet_layer(flat, sdxl=family == "sdxl"), 0
    if network == "unet":
        return _transformer_layer(flat, family)
    return _text_layer(flat, network)


_OF_RESNETS = {
    "norm1": "in_layers_0",
    "conv1": "in_layers_2",
    "time_emb_proj": "emb_layers_1",
    "norm2": "out_layers_0",
    "conv2": "out_layers_3",
    "conv_shortcut": "skip_connection",
}
_OUTER = {
    "conv_in": "input_blocks_0_0",
    "conv_norm_out": "out_0",
    "conv_out": "out_2",
    "time_embedding_linear_1": "time_embed_0",
    "time_embedding_linear_2": "time_embed_2",
}
_IN_DIFFUSERS_BLOCK = re.compile(
    r"(down|up|mid)_blocks?(?:_(\d+))?_(resnets|attentions|downsamplers|upsamplers)_(\d+)_(.+)"
)


def _unet_layer(flat: str, *, sdxl: bool) -> str:
    """A layer of a U-Net as Stable Diffusion spelled it first; diffusers counts its blocks anew."""
    found = _IN_DIFFUSERS_BLOCK.fullmatch(flat)
    if not found:
        return _OUTER.get(flat, flat)
    way, level, kind, number = found[1], int(found[2] or 0), found[3], int(found[4])
    rest = _OF_RESNETS.get(found[5], found[5]) if kind == "resnets" else found[5]
    if kind == "downsamplers":
        return f"input_blocks_{3 * level + 3}_0_op"
    if kind == "upsamplers":
        return f"output_blocks_{3 * level + 2}_{1 if level == 0 and not sdxl else 2}_{rest}"
    attention = int(kind == "attentions")
    if way == "mid":
        return f"middle_block_{1 if attention else 2 * number}_{rest}"
    blocks, block = (
        ("input_blocks", 3 * level + number + 1)
        if way == "down"
        else ("output_blocks", 3 * level + number)
    )
    return f"{blocks}_{block}_{attention}_{rest}"


_Q_K_V = {"q": 0, "k": 1, "v": 2}
_FLUX = {
    "norm1_linear": "img_mod_lin",
    "norm1_context_linear": "txt_mod_lin",
    "attn_to_out_0": "img_attn_proj",
    "attn_to_add_out": "txt_attn_proj",
    "ff_net_0_proj": "img_mlp_0",
    "ff_net_2": "img_mlp_2",
    "ff_context_net_0_proj": "txt_mlp_0",
    "ff_context_net_2": "txt_mlp_2",
}
_SD3 = {
    "norm1_linear": "x_block_adaLN_modulation_1",
    "norm1_context_linear": "context_block_adaLN_modulation_1",
    "attn_to_out_0": "x_block_attn_proj",
    "attn_to_add_out": "context_block_attn_proj",
    "ff_net_0_proj": "x_block_mlp_fc1",
    "ff_net_2": "x_block_mlp_fc2",
    "ff_context_net_0_proj": "context_block_mlp_fc1",
    "ff_context_net_2": "context_block_mlp_fc2",
}
_IN_SINGLE_BLOCK = {
    "attn_to_q": ("linear1", 0),
    "attn_to_k": ("linear1", 1),
    "attn_to_v": ("linear1", 2),
    "proj_mlp": ("linear1", 3),
    "proj_out": ("linear2", 0),
    "norm_linear": ("modulation_lin", 0),
}
_FUSED = ("flux", "flux2", "flux2_klein", "sd3")
"""Families whose blocks are spelled anew by the engine where a LoRA has diffusers' names."""
_DIFFUSERS_BLOCK = re.compile(r"(single_)?transformer_blocks_(\d+)_(.+)")
_TO_Q_K_V = re.compile(r"attn(2?)_(?:to_([qkv])|add_([qkv])_proj)")


def _transformer_layer(flat: str, family: str) -> tuple[str, int]:
    """A layer of a diffusion transformer; diffusers parts what some models hold as one."""
    if family == "z_image":
        found = re.fullmatch(r"(.*attention)_to_([qkv])", flat)
        joined = re.sub(r"attention_to_out_0$", "attention_out", flat)
        return (f"{found[1]}_qkv", _Q_K_V[found[2]]) if found else (joined, 0)
    found = _DIFFUSERS_BLOCK.fullmatch(flat)
    if not found or family not in _FUSED:
        return flat, 0
    single, number, rest = found.groups()
    if single:
        name, place = _IN_SINGLE_BLOCK.get(rest, (rest, 0))
        return f"single_blocks_{number}_{name}", place
    name, place = _joined_attention(rest, is_sd3=family == "sd3")
    return f"{'joint' if family == 'sd3' else 'double'}_blocks_{number}_{name}", place


def _joined_attention(rest: str, *, is_sd3: bool) -> tuple[str, int]:
    """A layer of a block over picture and text, whose query, key and value are one matrix each."""
    found = _TO_Q_K_V.fullmatch(rest)
    if not found:
        return (_SD3 if is_sd3 else _FLUX).get(rest, rest), 0
    second, of_picture, of_text = found.groups()
    place = _Q_K_V[of_picture or of_text]
    if is_sd3:
        return f"{'context' if of_text else 'x'}_block_attn{second}_qkv", place
    return f"{'txt' if of_text else 'img'}_attn_qkv", place


_OPEN_CLIP = {
    "attn_out_proj": "self_attn_out_proj",
    "attn_in_proj": "self_attn_in_proj",
    "mlp_c_fc": "mlp_fc1",
    "mlp_c_proj": "mlp_fc2",
}


def _text_layer(flat: str, network: str) -> tuple[str, int]:
    """A layer of a text encoder as transformers spells it; OpenCLIP holds three matrices as one."""
    flat = flat.removeprefix("model_")
    found = re.fullmatch(r"transformer_resblocks_(\d+)_(.+)", flat)
    if found:
        layers = f"text_model_encoder_layers_{found[1]}"
        return f"{layers}_{_OPEN_CLIP.get(found[2], found[2])}", 0
    return flat.removeprefix("transformer_") if network != "t5" else flat, 0
