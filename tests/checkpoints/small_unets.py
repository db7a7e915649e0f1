"""Shapes of the distilled U-Nets: SSD-1B, Segmind Vega, tiny ones for SD 1 and 2, SDXS."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.checkpoints.stable_diffusion import (
    AUTOENCODER,
    SECOND_TEXT,
    TEXT,
    UNET,
    UNet,
    autoencoder,
    clip_text,
    convolution,
    linear,
    norm,
    residual,
    tiny_autoencoder,
    transformer,
)
from tests.checkpoints.writer import Shape, under

Parts = Iterator[tuple[str, Shape]]

_XL = UNet(widths=(320, 640, 1280), context=2048, linear_projection=True, size_conditions=2816)
_SD1 = UNet(widths=(320, 640, 1280))
_SD2 = UNet(widths=(320, 640, 1280), context=1024, linear_projection=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """Transformer blocks at each place, on the way down and up; 0: no attention there."""

    down: tuple[int, ...]
    up: tuple[int, ...]


_SSD_1B = Blocks(down=(0, 0, 2, 2, 4, 4), up=(4, 4, 10, 2, 1, 1, 0, 0, 0))
_VEGA = Blocks(down=(0, 0, 1, 1, 2, 2), up=(2, 2, 2, 1, 1, 1, 0, 0, 0))
_TINY = Blocks(down=(1, 1, 1), up=(1, 1, 1, 1, 1, 1))
_SDXS_512 = Blocks(down=(0, 1, 1), up=(1, 1, 1, 1, 0, 0))


def _unet(kind: UNet, blocks: Blocks, *, tiny: bool = False) -> Parts:
    """A U-Net of three levels; a tiny one has one block on each less, and numbers left out."""
    yield from linear("time_embed.0", 320, 1280)
    yield from linear("time_embed.2", 1280, 1280)
    if kind.size_conditions:
        yield from linear("label_emb.0.0", kind.size_conditions, 1280)
        yield from linear("label_emb.0.2", 1280, 1280)
    yield from convolution("input_blocks.0.0", 4, 320)
    on_level = len(blocks.down) // 3
    width, number, kept = 320, 0, [320]
    for place, depth in enumerate(blocks.down):
        level, block = divmod(place, on_level)
        number += 1
        yield from residual(f"input_blocks.{number}.0", width, kind.widths[level])
        width = kind.widths[level]
        yield from transformer(f"input_blocks.{number}.1", width, depth, kind)
        kept.append(width)
        number += tiny
        if level < 2 and block == on_level - 1:
            number += 1
            yield from convolution(f"input_blocks.{number}.0.op", width, width)
            kept.append(width)
    if not tiny:
        yield from residual("middle_block.0", width, width)
    number = 0
    for place, depth in enumerate(blocks.up):
        level, block = divmod(place, on_level + 1)
        wide = kind.widths[2 - level]
        yield from residual(f"output_blocks.{number}.0", width + kept.pop(), wide)
        yield from transformer(f"output_blocks.{number}.1", wide, depth, kind)
        width = wide
        if level < 2 and block == on_level:
            number += tiny
            where = 1 if (number == 2 and tiny) or not depth else 2
            yield from convolution(f"output_blocks.{number}.{where}.conv", width, width)
        number += 1
    yield from norm("out.0", width)
    yield from convolution("out.2", width, 4)


def _sdxl_with(blocks: Blocks) -> Parts:
    yield from under(UNET, _unet(_XL, blocks))
    yield from under(TEXT, clip_text(768, 12))
    yield from under(SECOND_TEXT, clip_text(1280, 32, projection=True))
    yield from under(AUTOENCODER, autoencoder())


def ssd_1b() -> Parts:
    """SSD-1B: 1330 million values in the U-Net."""
    yield from _sdxl_with(_SSD_1B)


def vega() -> Parts:
    """Segmind Vega: 745 million values in the U-Net."""
    yield from _sdxl_with(_VEGA)


def sd1_tiny() -> Parts:
    """Stable Diffusion 1 with the tiny U-Net of BK-SDM and Tiny-SD: 323 million values."""
    yield from under(UNET, _unet(_SD1, _TINY, tiny=True))
    yield from under(TEXT, clip_text(768, 12))
    yield from under(AUTOENCODER, autoencoder())


def sd2_tiny() -> Parts:
    """Stable Diffusion 2 with such a U-Net: 327 million values."""
    yield from under(UNET, _unet(_SD2, _TINY, tiny=True))
    yield from under(TEXT, clip_text(1024, 23))
    yield from under(AUTOENCODER, autoencoder())


def sdxs_512() -> Parts:
    """SDXS-512-DreamShaper: no attention on the first level, a tiny decoder in the file."""
    yield from under(UNET, _unet(_SD1, _SDXS_512, tiny=True))
    yield from under(TEXT, clip_text(768, 12))
    yield from under(AUTOENCODER, tiny_autoencoder())


def sdxs_09() -> Parts:
    """SDXS-512-0.9: on the first level even the picture's own attention looks at the text."""
    text = ("attn1.to_k.weight", "attn1.to_v.weight")
    for name, shape in _unet(_SD2, _TINY, tiny=True):
        looks_at_text = name.endswith(text) and shape == (320, 320)
        yield UNET + name, (320, 1024) if looks_at_text else shape
    yield from under(TEXT, clip_text(1024, 23))
    yield from under(AUTOENCODER, tiny_autoencoder())
