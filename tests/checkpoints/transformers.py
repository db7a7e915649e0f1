"""Shapes of the diffusion transformers: SD 3.5, FLUX, Chroma, Z-Image, Qwen-Image, Wan."""

from collections.abc import Iterator

from tests.checkpoints.stable_diffusion import convolution, linear
from tests.checkpoints.video import wan_picture_embedding
from tests.checkpoints.writer import Shape, repeat

Parts = Iterator[tuple[str, Shape]]


def sd35_medium() -> Parts:
    """Stable Diffusion 3.5 medium: 24 blocks, of which 13 have a second attention."""
    width, blocks, doubled = 1536, 24, 13
    yield "pos_embed", (1, 384 * 384, width)
    yield from convolution("x_embedder.proj", 16, width, 2)
    for name, inputs in (("t_embedder", 256), ("y_embedder", 2048)):
        yield from linear(f"{name}.mlp.0", inputs, width)
        yield from linear(f"{name}.mlp.2", width, width)
    yield from linear("context_embedder", 4096, width)
    for number in range(blocks):
        last = number == blocks - 1
        block = f"joint_blocks.{number}"
        yield from _sd3_half(f"{block}.context_block", width, attention_only=last)
        yield from _sd3_half(f"{block}.x_block", width, second_attention=number < doubled)
    yield from linear("final_layer.linear", width, 64)
    yield from linear("final_layer.adaLN_modulation.1", width, 2 * width)


def _sd3_half(
    name: str, width: int, *, attention_only: bool = False, second_attention: bool = False
) -> Parts:
    """The text's half or the picture's half of a joint block."""
    yield from _sd3_attention(f"{name}.attn", width, projection=not attention_only)
    if second_attention:
        yield from _sd3_attention(f"{name}.attn2", width, projection=True)
    if not attention_only:
        yield from linear(f"{name}.mlp.fc1", width, 4 * width)
        yield from linear(f"{name}.mlp.fc2", 4 * width, width)
    modulations = 2 if attention_only else 9 if second_attention else 6
    yield from linear(f"{name}.adaLN_modulation.1", width, modulations * width)


def _sd3_attention(name: str, width: int, *, projection: bool) -> Parts:
    yield from linear(f"{name}.qkv", width, 3 * width)
    if projection:
        yield from linear(f"{name}.proj", width, width)
    yield f"{name}.ln_q.weight", (64,)
    yield f"{name}.ln_k.weight", (64,)


def flux(
    double_blocks: int = 19, single_blocks: int = 38, *, guidance: bool = False, inputs: int = 64
) -> Parts:
    """FLUX.1: schnell without, dev with the guidance input; the engine counts the blocks.

    `inputs`: of a patch; 384 for Fill, which sees the picture and the mask.
    """
    width = 3072
    yield from linear("img_in", inputs, width)
    yield from linear("txt_in", 4096, width)
    for name, inputs in (("time_in", 256), ("vector_in", 768), ("guidance_in", 256)):
        if name != "guidance_in" or guidance:
            yield from linear(f"{name}.in_layer", inputs, width)
            yield from linear(f"{name}.out_layer", width, width)
    yield from repeat("double_blocks", double_blocks, _flux_double_block(width))
    yield from repeat("single_blocks", single_blocks, _flux_single_block(width))
    yield from linear("final_layer.linear", width, 64)
    yield from linear("final_layer.adaLN_modulation.1", width, 2 * width)


def _flux_double_block(width: int) -> Parts:
    for half in ("img", "txt"):
        yield from linear(f"{half}_mod.lin", width, 6 * width)
        yield from linear(f"{half}_attn.qkv", width, 3 * width)
        yield f"{half}_attn.norm.query_norm.scale", (128,)
        yield f"{half}_attn.norm.key_norm.scale", (128,)
        yield from linear(f"{half}_attn.proj", width, width)
        yield from linear(f"{half}_mlp.0", width, 4 * width)
        yield from linear(f"{half}_mlp.2", 4 * width, width)


def _flux_single_block(width: int) -> Parts:
    yield from linear("modulation.lin", width, 3 * width)
    yield from linear("linear1", width, 7 * width)
    yield from linear("linear2", 5 * width, width)
    yield "norm.query_norm.scale", (128,)
    yield "norm.key_norm.scale", (128,)


def chroma(double_blocks: int = 19, single_blocks: int = 38) -> Parts:
    """Chroma: FLUX.1 whose modulations come from one network; the engine counts the blocks."""
    width, inner = 3072, 5120
    yield from linear("img_in", 64, width)
    yield from linear("txt_in", 4096, width)
    yield from linear("distilled_guidance_layer.in_proj", 64, inner)
    for number in range(5):
        yield f"distilled_guidance_layer.norms.{number}.scale", (inner,)
        yield from linear(f"distilled_guidance_layer.layers.{number}.in_layer", inner, inner)
        yield from linear(f"distilled_guidance_layer.layers.{number}.out_layer", inner, inner)
    yield from linear("distilled_guidance_layer.out_proj", inner, width)
    for name, count, block in (
        ("double_blocks", double_blocks, _flux_double_block(width)),
        ("single_blocks", single_blocks, _flux_single_block(width)),
    ):
        parts = [part for part in block if "_mod." not in part[0] and "modulation" not in part[0]]
        yield from repeat(name, count, parts)
    yield from linear("final_layer.linear", width, 64)


def flux2_klein(
    double_blocks: int = 5, single_blocks: int = 20, *, width: int = 3072, text: int = 7680
) -> Parts:
    """FLUX.2 klein: 3.9 thousand million values, the 9B 4096 wide; the engine counts the blocks.

    `text`: three layers of the language model, one after the other.
    """
    named = {"img_in": (128, width), "txt_in": (text, width)}
    named |= {"time_in.in_layer": (256, width), "time_in.out_layer": (width, width)}
    named |= {f"double_stream_modulation_{half}.lin": (width, 6 * width) for half in ("img", "txt")}
    named |= {"single_stream_modulation.lin": (width, 3 * width)}
    named |= {"final_layer.linear": (width, 128)}
    named |= {"final_layer.adaLN_modulation.1": (width, 2 * width)}
    for name, (inputs, outputs) in named.items():
        yield from linear(name, inputs, outputs, bias=False)
    yield from repeat("double_blocks", double_blocks, _klein_double_block(width))
    yield from repeat("single_blocks", single_blocks, _klein_single_block(width))


def _klein_double_block(width: int) -> Parts:
    for half in ("img", "txt"):
        yield from linear(f"{half}_attn.qkv", width, 3 * width, bias=False)
        yield f"{half}_attn.norm.query_norm.scale", (128,)
        yield f"{half}_attn.norm.key_norm.scale", (128,)
        yield from linear(f"{half}_attn.proj", width, width, bias=False)
        yield from linear(f"{half}_mlp.0", width, 6 * width, bias=False)
        yield from linear(f"{half}_mlp.2", 3 * width, width, bias=False)


def _klein_single_block(width: int) -> Parts:
    yield from linear("linear1", width, 9 * width, bias=False)
    yield from linear("linear2", 4 * width, width, bias=False)
    yield "norm.query_norm.scale", (128,)
    yield "norm.key_norm.scale", (128,)


def z_image() -> Parts:
    """Z-Image: 6.2 thousand million values; the engine insists on 30 layers."""
    width = 3840
    yield from linear("x_embedder", 64, width)
    yield from linear("t_embedder.mlp.0", 256, 1024)
    yield from linear("t_embedder.mlp.2", 1024, 256)
    yield "cap_embedder.0.weight", (2560,)
    yield from linear("cap_embedder.1", 2560, width)
    yield "cap_pad_token", (1, width)
    yield "x_pad_token", (1, width)
    yield from repeat("context_refiner", 2, _z_image_block(width, told_time=False))
    yield from repeat("noise_refiner", 2, _z_image_block(width))
    yield from repeat("layers", 30, _z_image_block(width))
    yield from linear("final_layer.linear", width, 64)
    yield from linear("final_layer.adaLN_modulation.1", 256, width)


def _z_image_block(width: int, *, told_time: bool = True) -> Parts:
    inner = 10240
    yield from linear("attention.qkv", width, 3 * width, bias=False)
    yield from linear("attention.out", width, width, bias=False)
    yield "attention.q_norm.weight", (128,)
    yield "attention.k_norm.weight", (128,)
    yield from linear("feed_forward.w1", width, inner, bias=False)
    yield from linear("feed_forward.w2", inner, width, bias=False)
    yield from linear("feed_forward.w3", width, inner, bias=False)
    for name in ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"):
        yield f"{name}.weight", (width,)
    if told_time:
        yield from linear("adaLN_modulation.0", 256, 4 * width)


def qwen_image(blocks: int = 60) -> Parts:
    """Qwen-Image: 20 thousand million values in 60 blocks; the engine counts the blocks."""
    width = 3072
    yield from linear("img_in", 64, width)
    yield "txt_norm.weight", (3584,)
    yield from linear("txt_in", 3584, width)
    yield from linear("time_text_embed.timestep_embedder.linear_1", 256, width)
    yield from linear("time_text_embed.timestep_embedder.linear_2", width, width)
    yield from repeat("transformer_blocks", blocks, _qwen_image_block(width))
    yield from linear("norm_out.linear", width, 2 * width)
    yield from linear("proj_out", width, 64)


def _qwen_image_block(width: int) -> Parts:
    for half in ("img", "txt"):
        yield from linear(f"{half}_mod.1", width, 6 * width)
        yield from linear(f"{half}_mlp.net.0.proj", width, 4 * width)
        yield from linear(f"{half}_mlp.net.2", 4 * width, width)
    for part in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"):
        yield from linear(f"attn.{part}", width, width)
    yield from linear("attn.to_out.0", width, width)
    yield from linear("attn.to_add_out", width, width)
    for norm in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        yield f"attn.{norm}.weight", (128,)


def wan(
    width: int = 1536,
    inner: int = 8960,
    inputs: int = 16,
    outputs: int = 16,
    *,
    looks: bool = False,
) -> Parts:
    """Wan 2.1, text to video: 1.4 thousand million values; the engine insists on 30 blocks.

    `inputs` and `outputs` count latent channels; `looks`: it sees the first picture through CLIP.
    """
    yield "patch_embedding.weight", (width, inputs, 1, 2, 2)
    yield "patch_embedding.bias", (width,)
    for name, values in (("text_embedding", 4096), ("time_embedding", 256)):
        yield from linear(f"{name}.0", values, width)
        yield from linear(f"{name}.2", width, width)
    yield from linear("time_projection.1", width, 6 * width)
    if looks:
        yield from wan_picture_embedding(width)
    yield from repeat("blocks", 30, _wan_block(width, inner, looks=looks))
    yield from linear("head.head", width, 4 * outputs)
    yield "head.modulation", (1, 2, width)


def _wan_block(width: int, inner: int, *, looks: bool) -> Parts:
    yield "modulation", (1, 6, width)
    for attention in ("self_attn", "cross_attn"):
        for part in ("q", "k", "v", "o"):
            yield from linear(f"{attention}.{part}", width, width)
        yield f"{attention}.norm_q.weight", (width,)
        yield f"{attention}.norm_k.weight", (width,)
    if looks:
        yield from linear("cross_attn.k_img", width, width)
        yield from linear("cross_attn.v_img", width, width)
        yield "cross_attn.norm_k_img.weight", (width,)
    yield "norm3.weight", (width,)
    yield "norm3.bias", (width,)
    yield from linear("ffn.0", width, inner)
    yield from linear("ffn.2", inner, width)
