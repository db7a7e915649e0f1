"""What a weights file is: its role, its family, and the parts it lacks.

Names and shapes of tensors decide, never the file's name. The rules are the engine's own
(`ModelLoader::get_sd_version`, stable-diffusion.cpp's model.cpp), so that a file is recognised as
what the engine will take it for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sdcpu.errors import ModelFileError
from sdcpu.families import FAMILIES, PART_FAMILIES, FileRole
from sdcpu.weights import WeightsHeader

_LORA_MARKS = (
    *(".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".lora.down.", ".lora.up."),
    *("_lora.down.", "_lora.up.", "_lora1.down.", ".hada_w1_a.", ".lokr_w1."),
)
_WHOLE_PREFIXES = ("model.diffusion_model.", "unet.")
"""Before the diffusion model's names in a whole checkpoint; `unet.` in a diffusers folder."""
_PART_PREFIXES = {
    FileRole.CLIP_L: (
        *("cond_stage_model.transformer.", "cond_stage_model.model.", "conditioner.embedders.0."),
        *("te.text_model.", "text_encoders.clip_l."),
    ),
    FileRole.CLIP_G: (
        *("cond_stage_model.1.", "conditioner.embedders.1.", "te.1.", "text_encoders.clip_g."),
    ),
    FileRole.T5XXL: ("text_encoders.t5xxl.",),
    FileRole.LLM: ("text_encoders.llm.",),
    FileRole.VAE: ("first_stage_model.", "vae."),
    FileRole.TINY_DECODER: ("tae.", "first_stage_model.", "vae."),
}
"""Before the names of the other parts in a whole checkpoint."""
_UNSUPPORTED = {
    "nerf_final_layer_conv.": "Chroma Radiance",
    "llm_adapter.blocks.0.cross_attn.q_proj.weight": "Anima",
    "double_blocks.0.img_mlp.gate_proj.weight": "Ovis-Image",
    "layers.0.adaLN_sa_ln.weight": "ERNIE-Image",
    "input_blocks.8.0.time_mixer.mix_factor": "Stable Video Diffusion",
    "controlnet_cond_embedding.conv_in.weight": "ControlNet in diffusers form",
    "single_transformer_blocks.": "FLUX in diffusers form",
    "transformer_blocks.0.norm1_context.": "Stable Diffusion 3 in diffusers form",
    "condition_embedder.text_embedder.linear_1.weight": "Wan in diffusers form",
}
"""What can be recognised and not used, by a name (or its beginning) inside the diffusion model."""
_ANOTHER_SCHEDULE = "edm_mean"
"""Beside the diffusion model of Playground v2.5, whose noise the engine cannot draw from (EDM with
a data deviation of 0.5); it would take the file for SDXL and draw mud."""


_FILL_INPUTS = 384
"""Of FLUX.1 Fill, for a patch of 2x2 latent pixels: 64 values of what is drawn, 64 of the picture
without what is masked, and the 16x16 pixels of the mask."""
_WIDE_KLEIN = 4096
"""Width of FLUX.2 klein 9B, which reads texts with Qwen3 8B; 4B is 3072 wide and takes Qwen3 4B."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identified:
    """What a weights file is."""

    role: FileRole
    family: str
    """A name of `sdcpu.families.FAMILIES` or `PART_FAMILIES`."""
    missing: tuple[FileRole, ...] = ()
    """The parts that must come from other files before it can draw."""
    description: str
    """For people: "Stable Diffusion 1.x, q8_0"."""
    latent_channels: int | None = None
    """Of decoders: what they take; a decoder fits a family with the same number."""


def identify(header: WeightsHeader) -> Identified:
    """Say what a file is by the names and shapes of its tensors.

    Raises:
        ModelFileError: it is no kind of file that sdcpu can use.

    >>> found = identify(read_header(Path("flux1-schnell-q4_0.gguf")))  # doctest: +SKIP
    >>> found.role.value, found.family, missing_parts(found.missing)  # doctest: +SKIP
    ('diffusion_model', 'flux', 'CLIP-L, T5-XXL and VAE')
    """
    tensors = _Tensors({tensor.name: tensor.shape for tensor in header.tensors})
    for rule in (_adapter, _diffusion_model, _text_encoder, _decoder):
        found = rule(tensors, header)
        if found is not None:
            return found
    raise ModelFileError(
        f"{header.path} is no model that sdcpu knows: {len(header.tensors)} tensors such as "
        f"{header.tensors[0].name[:80]!r}.",
        hint="Give the model's diffusion file or a whole checkpoint.",
        details={"path": str(header.path)},
    )


@dataclass(frozen=True, slots=True)
class _Tensors:
    """Shapes by name, with the questions the rules ask."""

    shapes: dict[str, tuple[int, ...]]

    def below(self, prefix: str) -> _Tensors:
        cut = len(prefix)
        return _Tensors({n[cut:]: s for n, s in self.shapes.items() if n.startswith(prefix)})

    def any_begins(self, prefixes: str | tuple[str, ...]) -> bool:
        return any(name.startswith(prefixes) for name in self.shapes)

    def any_ends(self, *endings: str) -> bool:
        return any(name.endswith(endings) for name in self.shapes)

    def size(self, dimension: int, *endings: str) -> int | None:
        """How large a dimension of the first tensor is whose name ends so; None without one."""
        for name, shape in self.shapes.items():
            if name.endswith(endings) and -len(shape) <= dimension < len(shape):
                return shape[dimension]
        return None


def _part(
    header: WeightsHeader, role: FileRole, family: str, what: str = "", channels: int | None = None
) -> Identified:
    title = what or PART_FAMILIES[family]
    return Identified(
        role=role,
        family=family,
        description=f"{title}, {_main_type(header)}",
        latent_channels=channels,
    )


def _main_type(header: WeightsHeader) -> str:
    """The tensor type that most of the bytes have."""
    sizes: Counter[str] = Counter()
    for tensor in header.tensors:
        sizes[tensor.type] += tensor.size
    return sizes.most_common(1)[0][0]


def _adapter(tensors: _Tensors, header: WeightsHeader) -> Identified | None:
    """LoRA, ControlNet, upscaler: small networks beside a model."""
    if any(mark in f"{name}." for name in tensors.shapes for mark in _LORA_MARKS):
        return _part(header, FileRole.LORA, "lora")
    if tensors.any_ends("input_hint_block.0.weight"):
        return _part(header, FileRole.CONTROL_NET, "control_net")
    if {"conv_first.weight", "body.0.rdb1.conv1.weight"} <= tensors.shapes.keys() or (
        {"model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"} <= tensors.shapes.keys()
    ):
        if tensors.size(1, "conv_first.weight", "model.0.weight") != 3:
            raise _unsupported(header, "an ESRGAN upscaler that does not take 3 colours")
        return _part(header, FileRole.UPSCALER, "esrgan")
    return None


def _diffusion_model(tensors: _Tensors, header: WeightsHeader) -> Identified | None:
    """A diffusion model, with or without the parts around it."""
    prefix = next((p for p in _WHOLE_PREFIXES if tensors.any_begins(p)), "")
    inside = tensors.below(prefix) if prefix else tensors
    for mark, what in _UNSUPPORTED.items():
        if inside.any_begins(mark):
            raise _unsupported(header, what)
    if _ANOTHER_SCHEDULE in tensors.shapes:
        raise _unsupported(header, "Playground v2.5, whose noise schedule the engine lacks")
    found = _transformer(inside, header) or _unet(inside, tensors, header)
    if found is None:
        return None
    family, needed = found
    here = {
        role for role, begins in _PART_PREFIXES.items() if prefix and tensors.any_begins(begins)
    }
    inputs = inside.size(1, "input_blocks.0.0.weight") or inside.size(1, "conv_in.weight")
    use = {9: " for inpainting", 8: " for edits by instruction"}.get(inputs or 0, "")
    alone = "" if prefix else ", diffusion model only"
    return Identified(
        role=FileRole.MODEL if prefix else FileRole.DIFFUSION_MODEL,
        family=family,
        missing=tuple(role for role in needed if role not in here),
        description=f"{FAMILIES[family].title}{use}{alone}, {_main_type(header)}",
    )


def _transformer(
    inside: _Tensors, header: WeightsHeader
) -> tuple[str, tuple[FileRole, ...]] | None:
    """The family of a diffusion transformer, in the engine's order of questions."""
    family = None
    if inside.any_begins("joint_blocks."):
        family = "sd3"
    elif inside.any_begins("transformer_blocks.0.img_mod.1.weight"):
        family = "qwen_image"
    elif inside.any_begins("double_stream_modulation_img.lin.weight"):
        wide = inside.size(0, "txt_in.weight") == _WIDE_KLEIN
        family = "flux2_klein_9b" if wide else "flux2_klein"
        if inside.any_begins("single_blocks.47."):
            family = "flux2"
    elif inside.any_begins("double_blocks."):
        family = "chroma" if inside.any_begins("distilled_guidance_layer.") else "flux"
        inputs = inside.size(-1, "img_in.weight")
        if inputs == _FILL_INPUTS:
            family = "flux_fill"
        elif inputs not in (None, 64):
            raise _unsupported(header, "a FLUX model that follows a control picture")
    elif inside.size(0, "cap_embedder.0.weight") == 2560:  # the width of Qwen3-4B; Lumina: 2304
        family = "z_image"
    elif inside.any_begins("blocks.0.cross_attn.norm_k.weight"):
        family = _wan(inside)
    return (family, FAMILIES[family].parts) if family else None


def _wan(inside: _Tensors) -> str:
    """Which Wan: by its patch embedding, five-dimensional or with the first two folded into one.

    Either half of Wan 2.2 T2V A14B cannot be told from Wan 2.1 T2V 14B, and makes videos alone.
    """
    shape = inside.shapes.get("patch_embedding.weight", (0,))
    channels = math.prod(shape[:-3]) if len(shape) > 3 else 0
    looks_at_pictures = inside.any_begins("img_emb.")
    if channels == 3072 * 48 and not looks_at_pictures:
        return "wan22_ti2v"
    if channels == 5120 * 36 and not looks_at_pictures:
        return "wan22_i2v"
    return "wan21_i2v" if looks_at_pictures else "wan21"


def _unet(
    inside: _Tensors, whole: _Tensors, header: WeightsHeader
) -> tuple[str, tuple[FileRole, ...]] | None:
    """The family of a UNet: the width of the text it attends to, then which blocks it lacks."""
    if not inside.any_begins(("input_blocks.", "down_blocks.")):
        return None
    middle = inside.any_begins(("middle_block.1.", "mid_block.resnets.1."))
    late = inside.any_begins(("output_blocks.7.1.", "up_blocks.2.attentions.1."))
    width = inside.size(-1, "attn2.to_k.weight") or _token_width(whole)
    if width == 2048:
        family = "sdxl"
    elif width == 1024:
        late_keys = "output_blocks.7.1.transformer_blocks.0.attn1.to_k.weight"
        family = "sdxs" if not middle and inside.size(-1, late_keys) == 1024 else "sd2"
    elif width == 768:
        family = "sd1" if middle else "sd1_tiny" if late else "sdxs"
    else:
        raise _unsupported(header, f"a UNet that reads texts of width {width}")
    return family, FAMILIES[family].parts


def _token_width(tensors: _Tensors) -> int | None:
    return tensors.size(-1, "token_embedding.weight")


def _text_encoder(tensors: _Tensors, header: WeightsHeader) -> Identified | None:
    """What reads the prompt: CLIP, T5 or a language model; or looks at pictures for it."""
    if tensors.any_ends("vision_model.embeddings.patch_embedding.weight"):
        return _part(header, FileRole.CLIP_VISION, "text_encoder", "CLIP vision encoder")
    width = _token_width(tensors)
    if width is not None:
        roles = {768: FileRole.CLIP_L, 1024: FileRole.CLIP_L, 1280: FileRole.CLIP_G}
        if width not in roles:
            raise _unsupported(header, f"a CLIP text encoder of width {width}")
        name = "OpenCLIP-H" if width == 1024 else roles[width].label
        return _part(header, roles[width], "text_encoder", f"text encoder {name}")
    if tensors.any_ends("block.0.layer.0.SelfAttention.q.weight", "enc.blk.0.attn_q.weight"):
        if tensors.size(-1, "layer.0.SelfAttention.q.weight", "enc.blk.0.attn_q.weight") != 4096:
            raise _unsupported(header, "a T5 text encoder of another size than XXL")
        many_languages = (tensors.size(0, "shared.weight", "token_embd.weight") or 0) > 200_000
        name = "UMT5-XXL" if many_languages else "T5-XXL"
        return _part(header, FileRole.T5XXL, "text_encoder", f"text encoder {name}")
    if tensors.any_ends("layers.0.self_attn.q_proj.weight") or "blk.0.attn_q.weight" in (
        tensors.shapes
    ):
        width = tensors.size(-1, "embed_tokens.weight", "token_embd.weight")
        return _part(header, FileRole.LLM, "text_encoder", f"language model of width {width}")
    if tensors.any_begins(("v.blk.0.", "v.patch_embd.", "visual.blocks.0.")):
        return _part(header, FileRole.LLM_VISION, "text_encoder", "language model's vision part")
    return None


def _decoder(tensors: _Tensors, header: WeightsHeader) -> Identified | None:
    """What makes a picture of a latent: a VAE or a tiny decoder."""
    for ending in ("decoder.layers.0.weight", "decoder.1.weight"):
        channels = tensors.size(1, ending)
        if channels is None:
            continue
        if ending == "decoder.1.weight" and tensors.size(0, ending) == 64:
            raise _unsupported(header, "a TAESD file with other names than diffusers gives")
        what = f"tiny decoder for latents of {channels} channels"
        return _part(header, FileRole.TINY_DECODER, "tiny_decoder", what, channels)
    channels = tensors.size(1, "decoder.conv_in.weight", "decoder.conv1.weight")
    if channels is not None:
        what = f"VAE for latents of {channels} channels"
        return _part(header, FileRole.VAE, "vae", what, channels)
    return None


def _unsupported(header: WeightsHeader, what: str) -> ModelFileError:
    return ModelFileError(
        f"{header.path} is {what}, which sdcpu cannot use.",
        hint="`sdcpu models` lists models it can use.",
        details={"path": str(header.path)},
    )


def missing_parts(roles: Iterable[FileRole]) -> str:
    """The names of parts as people know them: "CLIP-L, T5-XXL and VAE".

    >>> missing_parts([FileRole.CLIP_L, FileRole.T5XXL, FileRole.VAE])
    'CLIP-L, T5-XXL and VAE'
    """
    *most, last = [role.label for role in roles]
    return f"{', '.join(most)} and {last}" if most else last
