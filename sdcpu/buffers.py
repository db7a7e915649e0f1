"""The engine's compute buffers: how many bytes each kind of graph needs for a picture's size.

Each grows in a way that follows from the shapes in the graph; the numbers were read off the buffers
that the engine logs ("compute buffer size"), over 20 sizes from 64 to 1280 pixels for each family.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

MIB = 1024 * 1024

FLASH_BLOCK = 256
"""Flash attention takes keys in blocks of this many; when they do not fill the last one, the engine
adds a mask of queries times keys (ggml_ext_attention_ext in ggml_extend.hpp)."""
_SCORE_BYTES = 4
_MASK_BYTES = 8
"""The mask while it is put together: what is there and the whole, each as f32."""

Decoder = Literal["tiny", "full"]

VIDEO_DECODER_FAMILIES = (
    *("qwen_image", "wan21", "wan21_i2v", "wan22_t2v", "wan22_i2v", "wan22_ti2v"),
)
"""Families whose decoders, the tiny one too, were made for videos."""


def diffusion_buffer(family: str) -> DiffusionBuffer:
    """The buffer of a family's diffusion model; an unknown one is taken for a large one."""
    if family in _WIDER_THAN_KLEIN:
        return _KLEIN.wider(_WIDER_THAN_KLEIN[family])
    return _DIFFUSION_BUFFERS.get(family, _FLUX)


def decoder_bytes(
    family: str, decoder: Decoder, *, conv_direct: bool, own_file: bool, latent_frames: int = 1
) -> int:
    """Bytes for each pixel that is decoded in one piece.

    `own_file` says that the decoder comes from a file of its own, not from the model's. Of a video,
    the pixels of one frame count.
    """
    if family in VIDEO_DECODER_FAMILIES:
        if decoder == "full" and (latent_frames > 1 or family == "wan22_ti2v"):
            together = _FRAMES_TOGETHER_22 if family == "wan22_ti2v" else _FRAMES_TOGETHER
            return together[min(latent_frames, len(together)) - 1]
        return _VIDEO_DECODERS[decoder, conv_direct] * latent_frames
    scaled = family == "sdxl" and decoder == "full" and not own_file
    return _DECODERS[decoder, conv_direct] + (_SCALED_CONVOLUTIONS if scaled else 0)


def encoder_bytes(family: str, decoder: Decoder, *, conv_direct: bool, own_file: bool) -> int:
    """Bytes for each pixel that is encoded at once; where not measured, what decoding takes."""
    if (decoder, conv_direct) == ("full", True) and family != "qwen_image":
        return _FULL_ENCODER
    return decoder_bytes(family, decoder, conv_direct=conv_direct, own_file=own_file)


@dataclass(frozen=True, slots=True)
class Line:
    """Bytes that grow with the picture: `slope` per latent pixel of 8x8 pixels, and `fixed`."""

    slope: float
    fixed: float = 0.0

    def at(self, latent_pixels: float) -> float:
        """Bytes for so many latent pixels."""
        return self.slope * latent_pixels + self.fixed

    def times(self, factor: float) -> Line:
        """So many times as many bytes for every picture."""
        return Line(self.slope * factor, self.fixed * factor)


@dataclass(frozen=True, slots=True)
class DiffusionBuffer:
    """The compute buffer of a diffusion model: the largest of the moments of one evaluation."""

    heads: int
    tokens: float
    """Tokens for each latent pixel of 8x8 pixels, in the largest self-attention."""
    text_tokens: int
    """Tokens of the prompt that join the picture's in it."""
    wide: Line
    """The moment of the widest layers: im2col of the largest convolution, or the MLP."""
    scores: Line
    """What is held beside the scores of the largest self-attention."""
    flash_wide: Line
    """As `wide`, with flash attention."""
    flash_mask: Line
    """What is held beside the mask that flash attention needs when keys do not fill the blocks."""
    direct: Line | None = None
    """As `wide`, with direct convolutions, which need no im2col; None: it has no convolutions."""
    text: float = 2 * MIB
    """The buffer of the text encoder."""

    def coarser(self, times: float) -> DiffusionBuffer:
        """The buffer of a network that sees so many pixels in one, for as many pixels."""
        return replace(
            self,
            tokens=self.tokens / times,
            wide=self.wide.times(1 / times),
            scores=self.scores.times(1 / times),
            flash_wide=self.flash_wide.times(1 / times),
            flash_mask=self.flash_mask.times(1 / times),
        )

    def size(self, latent: float, *, flash_attention: bool, conv_direct: bool) -> float:
        """Bytes for so many latent pixels of 8x8 pixels."""
        keys = latent * self.tokens + self.text_tokens
        wide = self.flash_wide if flash_attention else self.wide
        if conv_direct and self.direct:
            wide = self.direct
        if not flash_attention:
            attention = _SCORE_BYTES * self.heads * keys * keys + self.scores.at(latent)
        else:
            padded = math.ceil(keys / FLASH_BLOCK) * FLASH_BLOCK
            mask = _MASK_BYTES * keys * padded + self.flash_mask.at(latent)
            attention = 0.0 if padded == keys else mask
        return max(wide.at(latent), attention)

    def wider(self, times: float) -> DiffusionBuffer:
        """The buffer of the same network with so many times the channels and heads."""
        return replace(
            self,
            heads=round(self.heads * times),
            wide=self.wide.times(times),
            scores=self.scores.times(times),
            flash_wide=self.flash_wide.times(times),
            flash_mask=self.flash_mask.times(times),
        )


# A SD 1.5 step at 512x512: 4096 tokens, 8 heads, 4 * 8 * 4096² bytes of scores = 512 MiB of 560.
_SD1 = DiffusionBuffer(
    heads=8,
    tokens=1,
    text_tokens=0,
    wide=Line(31_448, 0.3e6),
    scores=Line(10_340, 7.9e6),
    flash_wide=Line(31_448, 0.3e6),
    flash_mask=Line(8_920, 0.4e6),
    direct=Line(26_896, 0.3e6),
)
_SD3 = DiffusionBuffer(
    heads=24,
    tokens=1 / 4,
    text_tokens=154,
    wide=Line(28_922, 15e6),
    scores=Line(12_788, 2.2e6),
    flash_wide=Line(22_000, 12e6),
    flash_mask=Line(10_356, 21.3e6),
    text=12 * MIB,
)
_FLUX = DiffusionBuffer(
    heads=24,
    tokens=1 / 4,
    text_tokens=256,
    wide=Line(74_851, 28.2e6),
    scores=Line(37_974, 44.8e6),
    flash_wide=Line(49_310, 40.1e6),
    flash_mask=Line(41_880, 55.4e6),
    text=69 * MIB,
)
_KLEIN = DiffusionBuffer(
    heads=24,
    tokens=1 / 4,
    text_tokens=512,
    wide=Line(99_915, 95.4e6),
    scores=Line(46_922, 95.9e6),
    flash_wide=Line(58_993, 111e6),
    flash_mask=Line(55_948, 124e6),
    text=78 * MIB,
)
_WIDER_THAN_KLEIN = {"flux2": 2.0, "flux2_klein_9b": 4 / 3}
"""Width in that of FLUX.2 klein 4B."""

# Latent frames count like so many pictures. 832x480 pixels and 81 frames make 32,760 keys: they do
# not fill the blocks, and the mask takes 8.6 GB.
_WAN = DiffusionBuffer(
    heads=12,
    tokens=1 / 4,
    text_tokens=0,
    wide=Line(12_400, 4e6),
    scores=Line(8_000, 4.2e6),
    flash_wide=Line(12_400, 4e6),
    flash_mask=Line(5_720, 1e6),
    text=234 * MIB,
)

_DIFFUSION_BUFFERS: Mapping[str, DiffusionBuffer] = {
    "sd1": _SD1,
    "sd1_tiny": replace(
        _SD1,
        wide=Line(30_168, 0.3e6),
        scores=Line(9_014, 4.5e6),
        flash_wide=Line(30_168, 0.3e6),
        flash_mask=Line(7_640, 0.4e6),
        direct=Line(25_616, 0.3e6),
    ),
    "sdxs": replace(
        _SD1,
        tokens=1 / 4,
        wide=Line(30_168, 1.7e6),
        scores=Line(7_128, 4e6),
        flash_wide=Line(30_168, 0.3e6),
        flash_mask=Line(6_443, 2.6e6),
        direct=Line(15_560, 3.6e6),
    ),
    "sd2": replace(_SD1, heads=5),
    "sdxl": DiffusionBuffer(
        heads=10,
        tokens=1 / 4,
        text_tokens=0,
        wide=Line(31_448, 0.7e6),
        scores=Line(8_994, 55e6),
        flash_wide=Line(31_448, 0.7e6),
        flash_mask=Line(8_356, 3.2e6),
        direct=Line(17_503, 0.6e6),
        text=3 * MIB,
    ),
    "sd3": _SD3,
    "flux": _FLUX,
    "flux_fill": _FLUX,
    "chroma": DiffusionBuffer(
        heads=24,
        tokens=1 / 4,
        text_tokens=512,
        wide=Line(88_427, 106e6),
        scores=Line(38_175, 94.2e6),
        flash_wide=Line(49_100, 96.9e6),
        flash_mask=Line(39_147, 106e6),
        text=234 * MIB,
    ),
    "flux2_klein": _KLEIN,
    "z_image": DiffusionBuffer(
        heads=30,
        tokens=1 / 4,
        text_tokens=32,
        wide=Line(45_143, 6.2e6),
        scores=Line(26_934, 8.3e6),
        flash_wide=Line(42_986, 7.1e6),
        flash_mask=Line(31_646, 9.2e6),
    ),
    "qwen_image": DiffusionBuffer(
        heads=24,
        tokens=1 / 4,
        text_tokens=40,
        wide=Line(40_400, 0.3e6),
        scores=Line(19_400, 17.6e6),
        flash_wide=Line(40_400, 3e6),
        flash_mask=Line(31_000, 9.2e6),
        text=9 * MIB,
    ),
    "wan21": _WAN,
    "wan21_i2v": _WAN.wider(10 / 3),
    "wan22_t2v": _WAN.wider(10 / 3),
    "wan22_i2v": _WAN.wider(10 / 3),
    "wan22_ti2v": _WAN.wider(2).coarser(4),
}
"""By family; the ones whose buffers were read off the engine."""

_DECODERS: Mapping[tuple[Decoder, bool], int] = {
    # Bytes for each pixel of the picture; with im2col, then with direct convolutions.
    ("full", False): 6656,  # 9 * 256 channels in f16 and two pictures of 256 channels in f32
    ("full", True): 2816,
    ("tiny", False): 1920,  # 9 * 64 channels in f16 and three pictures of 64 channels in f32
    ("tiny", True): 896,
}
_FULL_ENCODER = 1556
"""With direct convolutions: 97 MiB for 256x256 pixels and 38 MiB for 160x160."""
ENCODER_TILE = 1.30539
"""How much longer a tile's sides are when the engine encodes (VAE::encode in vae.hpp)."""
_SCALED_CONVOLUTIONS = 1024
"""More bytes for each pixel where the engine scales SDXL's own decoder to keep f16 from
overflowing: one more picture of 256 channels. A decoder from a file of its own is not scaled."""
_VIDEO_DECODERS: Mapping[tuple[Decoder, bool], int] = {
    ("full", False): 7510,
    ("full", True): 7700,
    ("tiny", False): 6913,
    ("tiny", True): 2817,
}
"""As `_DECODERS`, for Qwen-Image, whose decoders are Wan's, made for videos."""
_FRAMES_TOGETHER = (7_700, 32_330, 45_960, 50_200)
"""Bytes for each pixel of a frame when the full decoder makes 1, 2, 3, 4 or more latent frames of a
video: it goes from one to the next and keeps the last of each layer, in both ways of convolution.
The tiny decoders make all frames at once."""
_FRAMES_TOGETHER_22 = (10_190, 38_320, 50_100, 52_120)
"""The same for the decoder of Wan 2.2 TI2V."""
