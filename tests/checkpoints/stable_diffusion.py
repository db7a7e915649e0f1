"""Shapes of the Stable Diffusion family: U-Nets, CLIP text encoders, autoencoders, ControlNet."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.checkpoints.writer import Shape, repeat, under

Parts = Iterator[tuple[str, Shape]]

UNET = "model.diffusion_model."
TEXT = "cond_stage_model.transformer.text_model."
SECOND_TEXT = "cond_stage_model.1.transformer.text_model."
AUTOENCODER = "first_stage_model."
_TIME = 1280


@dataclass(frozen=True, kw_only=True, slots=True)
class UNet:
    """What tells the U-Nets apart."""

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    depths: tuple[int, ...] = (1, 1, 1, 0)
    """Transformer blocks on each level; 0: no attention there."""
    middle_depth: int = 1
    context: int = 768
    linear_projection: bool = False
    """Whether tokens are projected by linear layers in place of 1x1 convolutions."""
    size_conditions: int = 0
    """Values that describe the wanted size (SDXL)."""


SD15_UNET = UNet()
SD2_UNET = UNet(context=1024, linear_projection=True)
SDXL_UNET = UNet(
    widths=(320, 640, 1280),
    depths=(0, 2, 10),
    middle_depth=10,
    context=2048,
    linear_projection=True,
    size_conditions=2816,
)


def linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Parts:
    """A linear layer."""
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def convolution(
    name: str, inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True
) -> Parts:
    """A two-dimensional convolution."""
    yield f"{name}.weight", (outputs, inputs, kernel, kernel)
    if bias:
        yield f"{name}.bias", (outputs,)


def norm(name: str, channels: int) -> Parts:
    """A group norm or layer norm."""
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def unet(kind: UNet) -> Parts:
    """A U-Net with two residual blocks on each level down and three up."""
    yield from _unet_conditions(kind)
    kept = yield from _unet_down(kind)
    width = kind.widths[-1]
    yield from residual("middle_block.0", width, width)
    yield from transformer("middle_block.1", width, kind.middle_depth, kind)
    yield from residual("middle_block.2", width, width)
    number = 0
    for level in reversed(range(len(kind.widths))):
        for block in range(3):
            yield from residual(f"output_blocks.{number}.0", width + kept.pop(), kind.widths[level])
            width = kind.widths[level]
            yield from transformer(f"output_blocks.{number}.1", width, kind.depths[level], kind)
            if level and block == 2:
                place = 2 if kind.depths[level] else 1
                yield from convolution(f"output_blocks.{number}.{place}.conv", width, width)
            number += 1
    yield from norm("out.0", width)
    yield from convolution("out.2", width, 4)


def _unet_conditions(kind: UNet) -> Parts:
    yield from linear("time_embed.0", 320, _TIME)
    yield from linear("time_embed.2", _TIME, _TIME)
    if kind.size_conditions:
        yield from linear("label_emb.0.0", kind.size_conditions, _TIME)
        yield from linear("label_emb.0.2", _TIME, _TIME)


def _unet_down(kind: UNet) -> Generator[tuple[str, Shape], None, list[int]]:
    """The way down; returns the widths that the way up takes again."""
    yield from convolution("input_blocks.0.0", 4, kind.widths[0])
    width = kind.widths[0]
    kept = [width]
    number = 1
    for level, (wide, depth) in enumerate(zip(kind.widths, kind.depths, strict=True)):
        for _ in range(2):
            yield from residual(f"input_blocks.{number}.0", width, wide)
            yield from transformer(f"input_blocks.{number}.1", wide, depth, kind)
            width = wide
            kept.append(width)
            number += 1
        if level < len(kind.widths) - 1:
            yield from convolution(f"input_blocks.{number}.0.op", width, width)
            kept.append(width)
            number += 1
    return kept


def residual(name: str, inputs: int, outputs: int) -> Parts:
    """A residual block that is told the time step."""
    yield from norm(f"{name}.in_layers.0", inputs)
    yield from convolution(f"{name}.in_layers.2", inputs, outputs)
    yield from linear(f"{name}.emb_layers.1", _TIME, outputs)
    yield from norm(f"{name}.out_layers.0", outputs)
    yield from convolution(f"{name}.out_layers.3", outputs, outputs)
    if inputs != outputs:
        yield from convolution(f"{name}.skip_connection", inputs, outputs, 1)


def transformer(name: str, width: int, depth: int, kind: UNet) -> Parts:
    """Transformer blocks over the tokens of a picture; nothing where the depth is 0."""
    if not depth:
        return
    yield from norm(f"{name}.norm", width)
    for place in ("proj_in", "proj_out"):
        if kind.linear_projection:
            yield from linear(f"{name}.{place}", width, width)
        else:
            yield from convolution(f"{name}.{place}", width, width, 1)
    yield from repeat(f"{name}.transformer_blocks", depth, transformer_block(width, kind.context))


def transformer_block(width: int, context: int) -> Parts:
    """Attention within the picture, attention to the text, two layers for each token."""
    for attention, keys in (("attn1", width), ("attn2", context)):
        yield from linear(f"{attention}.to_q", width, width, bias=False)
        yield from linear(f"{attention}.to_k", keys, width, bias=False)
        yield from linear(f"{attention}.to_v", keys, width, bias=False)
        yield from linear(f"{attention}.to_out.0", width, width)
    yield from linear("ff.net.0.proj", width, 8 * width)
    yield from linear("ff.net.2", 4 * width, width)
    for number in (1, 2, 3):
        yield from norm(f"norm{number}", width)


def clip_text(width: int, layers: int, *, projection: bool = False) -> Parts:
    """A CLIP text encoder: 768 wide is CLIP-L, 1024 OpenCLIP-H, 1280 OpenCLIP-bigG."""
    yield "embeddings.token_embedding.weight", (49408, width)
    yield "embeddings.position_embedding.weight", (77, width)
    yield from repeat("encoder.layers", layers, clip_layer(width))
    yield from norm("final_layer_norm", width)
    if projection:
        yield "text_projection", (width, width)


def clip_layer(width: int) -> Parts:
    """A layer of a CLIP encoder, of texts or of pictures."""
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        yield from linear(f"self_attn.{part}", width, width)
    yield from norm("layer_norm1", width)
    yield from norm("layer_norm2", width)
    yield from linear("mlp.fc1", width, 4 * width)
    yield from linear("mlp.fc2", 4 * width, width)


def autoencoder(latent: int = 4, *, quant_conv: bool = True) -> Parts:
    """The 83-million-value autoencoder: 8 times smaller, `latent` channels."""
    widths = (128, 256, 512, 512)
    yield from convolution("encoder.conv_in", 3, widths[0])
    inputs = widths[0]
    for level, width in enumerate(widths):
        for block in range(2):
            yield from _plain_residual(f"encoder.down.{level}.block.{block}", inputs, width)
            inputs = width
        if level < 3:
            yield from convolution(f"encoder.down.{level}.downsample.conv", width, width)
    yield from _autoencoder_middle("encoder", inputs)
    yield from norm("encoder.norm_out", inputs)
    yield from convolution("encoder.conv_out", inputs, 2 * latent)
    if quant_conv:
        yield from convolution("quant_conv", 2 * latent, 2 * latent, 1)
        yield from convolution("post_quant_conv", latent, latent, 1)
    yield from convolution("decoder.conv_in", latent, inputs)
    yield from _autoencoder_middle("decoder", inputs)
    for level in reversed(range(4)):
        for block in range(3):
            yield from _plain_residual(f"decoder.up.{level}.block.{block}", inputs, widths[level])
            inputs = widths[level]
        if level:
            yield from convolution(f"decoder.up.{level}.upsample.conv", inputs, inputs)
    yield from norm("decoder.norm_out", inputs)
    yield from convolution("decoder.conv_out", inputs, 3)


def _plain_residual(name: str, inputs: int, outputs: int) -> Parts:
    yield from norm(f"{name}.norm1", inputs)
    yield from convolution(f"{name}.conv1", inputs, outputs)
    yield from norm(f"{name}.norm2", outputs)
    yield from convolution(f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        yield from convolution(f"{name}.nin_shortcut", inputs, outputs, 1)


def _autoencoder_middle(name: str, width: int) -> Parts:
    yield from _plain_residual(f"{name}.mid.block_1", width, width)
    yield from norm(f"{name}.mid.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from convolution(f"{name}.mid.attn_1.{part}", width, width, 1)
    yield from _plain_residual(f"{name}.mid.block_2", width, width)


def tiny_autoencoder(latent: int = 4, *, pools: bool = False) -> Parts:
    """TAESD: 4 latent channels for SD 1, 2 and XL, 16 for SD 3 and FLUX.1, 32 for FLUX.2.

    `pools`: blocks next to the latent look at the whole picture, as in TAEF2.
    """
    yield from _tiny_half("encoder.layers", 3, latent, blocks=(1, 3, 3, 3), gap=0)
    yield from _tiny_half("decoder.layers", latent, 3, blocks=(3, 3, 3, 1), gap=1)
    for name in (
        *(f"encoder.layers.{n}" for n in (11, 12, 13)),
        *(f"decoder.layers.{n}" for n in (2, 3, 4)),
    ):
        if pools:
            yield from convolution(f"{name}.pool.0", 64, 256, 1, bias=False)
            yield from norm(f"{name}.pool.1", 256)
            yield from convolution(f"{name}.pool.3", 256, 64, 1, bias=False)


def _tiny_half(name: str, inputs: int, outputs: int, *, blocks: tuple[int, ...], gap: int) -> Parts:
    """`gap` counts the layers without weights before a change of size and after the first layer."""
    yield from convolution(f"{name}.0", inputs, 64)
    number = 1 + gap
    for stage, count in enumerate(blocks):
        for _ in range(count):
            for part in (0, 2, 4):
                yield from convolution(f"{name}.{number}.conv.{part}", 64, 64)
            number += 1
        if stage < 3:
            yield from convolution(f"{name}.{number + gap}", 64, 64, bias=False)
            number += 1 + gap
    yield from convolution(f"{name}.{number}", 64, outputs)


def control_net() -> Parts:
    """A ControlNet for Stable Diffusion 1.5."""
    yield from under("control_model.", _control_model(SD15_UNET))


def _control_model(kind: UNet) -> Parts:
    """The U-Net's way down once more, what reads the picture, and a way out of each block."""
    yield from _unet_conditions(kind)
    kept = yield from _unet_down(kind)
    hint = (3, 16, 16, 32, 32, 96, 96, 256, kind.widths[0])
    for number, (inputs, outputs) in enumerate(pairwise(hint)):
        yield from convolution(f"input_hint_block.{2 * number}", inputs, outputs)
    for number, width in enumerate(kept):
        yield from convolution(f"zero_convs.{number}.0", width, width, 1)
    width = kind.widths[-1]
    yield from residual("middle_block.0", width, width)
    yield from transformer("middle_block.1", width, kind.middle_depth, kind)
    yield from residual("middle_block.2", width, width)
    yield from convolution("middle_block_out.0", width, width, 1)


def lora(rank: int = 16) -> Parts:
    """A LoRA for the attention of Stable Diffusion 1.5, named as the training scripts name it."""
    down = {f"down_blocks_{level}": 2 for level in range(3)}
    up = {f"up_blocks_{level}": 3 for level in range(1, 4)}
    widths = dict(
        zip([*down, "mid_block", *up], (320, 640, 1280, 1280, 1280, 640, 320), strict=True)
    )
    for block, count in {**down, "mid_block": 1, **up}.items():
        for number in range(count):
            name = f"lora_unet_{block}_attentions_{number}_transformer_blocks_0"
            yield from _lora_attention(name, widths[block], rank)


def _lora_attention(name: str, width: int, rank: int) -> Parts:
    for attention, context in (("attn1", width), ("attn2", SD15_UNET.context)):
        for part in ("to_q", "to_k", "to_v", "to_out_0"):
            inputs = context if part in ("to_k", "to_v") else width
            layer = f"{name}_{attention}_{part}"
            yield f"{layer}.lora_down.weight", (rank, inputs)
            yield f"{layer}.lora_up.weight", (width, rank)
            yield f"{layer}.alpha", ()


def sd15() -> Parts:
    """Stable Diffusion 1.5: 859.5 million values in the U-Net."""
    yield from under(UNET, unet(SD15_UNET))
    yield from under(TEXT, clip_text(768, 12))
    yield from under(AUTOENCODER, autoencoder())


def sd2() -> Parts:
    """Stable Diffusion 2 and SD-Turbo."""
    yield from under(UNET, unet(SD2_UNET))
    yield from under(TEXT, clip_text(1024, 24))
    yield from under(AUTOENCODER, autoencoder())


def sdxl() -> Parts:
    """SDXL: 2567 million values in the U-Net, two text encoders."""
    yield from under(UNET, unet(SDXL_UNET))
    yield from under(TEXT, clip_text(768, 12))
    yield from under(SECOND_TEXT, clip_text(1280, 32, projection=True))
    yield from under(AUTOENCODER, autoencoder())
