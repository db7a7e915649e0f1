"""The networks of the demo model as data: every layer, and how its channels widen.

The model was trained narrow. The engine knows one small shape only, Stable Diffusion 1.x with a
"tiny" U-Net, which is up to ten times wider. So every narrow channel stands for a number of equal
channels of the full network, and the layers below say how many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple


class Segment(NamedTuple):
    """Neighbouring channels that widen alike."""

    channels: int
    """How many the narrow network has."""
    copies: int
    """How many equal channels of the full network each of them stands for."""


Segments = tuple[Segment, ...]


def full_width(segments: Segments) -> int:
    """Count the channels of the full network.

    >>> full_width((Segment(64, 10), Segment(64, 5)))
    960
    """
    return sum(segment.channels * segment.copies for segment in segments)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One layer with its weight and, mostly, a bias."""

    name: str
    """As the engine spells it, without ".weight"."""
    kind: Literal["linear", "convolution", "norm", "embedding"]
    inputs: Segments = ()
    """Empty for norms; for embeddings one segment: the number of rows."""
    outputs: Segments
    kernel: int = 1
    """Width and height of a convolution's kernel."""
    bias: bool = True
    factor: float = 1.0
    """Multiplies weight and bias of the full network: see `attention_factor`."""
    trained: bool = True
    """False for a layer that the narrow network lacks: its output is zero, or a norm is plain."""

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the full network's parameters, the slowest axis first."""
        outputs, inputs = full_width(self.outputs), full_width(self.inputs)
        shape: dict[str, tuple[int, ...]] = {
            "linear": (outputs, inputs),
            "convolution": (outputs, inputs, self.kernel, self.kernel),
            "norm": (outputs,),
            "embedding": (inputs, outputs),
        }
        weight = {f"{self.name}.weight": shape[self.kind]}
        return {**weight, f"{self.name}.bias": (outputs,)} if self.bias else weight


def attention_factor(copies: int) -> float:
    """What queries are multiplied by so that attention stays the same.

    A product of a query and a key with every channel repeated r times is r times as large, and the
    engine divides it by the square root of the wider head: what is left over is sqrt(r). Division
    and square root are exact to the last bit on every machine; a power is not.
    """
    return 1.0 / math.sqrt(copies)


TEXT_PREFIX = "cond_stage_model.transformer.text_model."
UNET_PREFIX = "model.diffusion_model."
TOKEN_EMBEDDING = f"{TEXT_PREFIX}embeddings.token_embedding"

CLIP_TOKENS = 49_408
_TEXT_POSITIONS = 77
_TEXT_LAYERS, _TRAINED_TEXT_LAYERS = 12, 2

_FREQUENCIES = (Segment(320, 1),)
_TIME = (Segment(128, 10),)
_TEXT = (Segment(192, 4),)
_TEXT_INNER = (Segment(384, 8),)
_LATENT = (Segment(4, 1),)
_COLOURS = (Segment(3, 1),)
_LEVELS = ((Segment(160, 2),), (Segment(128, 5),), (Segment(128, 10),))
_LEVEL_INNER = ((Segment(320, 4),), (Segment(256, 10),), (Segment(512, 10),))
_AUTOENCODER = {width: (Segment(width, 64 // width),) for width in (16, 32, 64)}


def text_encoder_layers() -> Iterator[Layer]:
    """CLIP-L's text encoder; the layers after the trained ones pass on what they get."""
    tokens, positions = (Segment(CLIP_TOKENS, 1),), (Segment(_TEXT_POSITIONS, 1),)
    yield _embedding(TOKEN_EMBEDDING, tokens)
    yield _embedding(f"{TEXT_PREFIX}embeddings.position_embedding", positions)
    for number in range(_TEXT_LAYERS):
        for layer in _text_layer(f"{TEXT_PREFIX}encoder.layers.{number}"):
            yield replace(layer, trained=number < _TRAINED_TEXT_LAYERS)
    yield _norm(f"{TEXT_PREFIX}final_layer_norm", _TEXT)


def unet_layers() -> Iterator[Layer]:
    """The engine's "tiny" U-Net: three levels, one block down and two up on each, no middle."""
    high, middle, low = _LEVELS
    yield _linear(f"{UNET_PREFIX}time_embed.0", _FREQUENCIES, _TIME)
    yield _linear(f"{UNET_PREFIX}time_embed.2", _TIME, _TIME)

    down = f"{UNET_PREFIX}input_blocks"
    yield _convolution(f"{down}.0.0", _LATENT, high)
    yield from _block(f"{down}.1", high, level=0)
    yield _convolution(f"{down}.3.0.op", high, high)
    yield from _block(f"{down}.4", high, level=1)
    yield _convolution(f"{down}.6.0.op", middle, middle)
    yield from _block(f"{down}.7", middle, level=2)

    up = f"{UNET_PREFIX}output_blocks"  # each takes what came from below, then what came from down
    yield from _block(f"{up}.0", low + low, level=2)
    yield from _block(f"{up}.1", low + middle, level=2)
    yield _convolution(f"{up}.2.1.conv", low, low)
    yield from _block(f"{up}.3", low + middle, level=1)
    yield from _block(f"{up}.4", middle + high, level=1)
    yield _convolution(f"{up}.5.2.conv", middle, middle)
    yield from _block(f"{up}.6", middle + high, level=0)
    yield from _block(f"{up}.7", high + high, level=0)

    yield _norm(f"{UNET_PREFIX}out.0", high)
    yield _convolution(f"{UNET_PREFIX}out.2", high, _LATENT)


def autoencoder_layers() -> Iterator[Layer]:
    """TAESD: an encoder that narrows the picture in three steps and a decoder that undoes it."""
    yield from _autoencoder_half("encoder.layers", _COLOURS, (16, 32, 32, 64), _LATENT)
    yield from _autoencoder_half("decoder.layers", _LATENT, (64, 64, 32, 16), _COLOURS)


def _linear(
    name: str, inputs: Segments, outputs: Segments, *, bias: bool = True, factor: float = 1.0
) -> Layer:
    return Layer(name=name, kind="linear", inputs=inputs, outputs=outputs, bias=bias, factor=factor)


def _convolution(
    name: str, inputs: Segments, outputs: Segments, *, kernel: int = 3, bias: bool = True
) -> Layer:
    return Layer(
        name=name, kind="convolution", inputs=inputs, outputs=outputs, kernel=kernel, bias=bias
    )


def _norm(name: str, channels: Segments) -> Layer:
    return Layer(name=name, kind="norm", outputs=channels)


def _embedding(name: str, rows: Segments) -> Layer:
    return Layer(name=name, kind="embedding", inputs=rows, outputs=_TEXT, bias=False)


def _text_layer(name: str) -> Iterator[Layer]:
    factor = attention_factor(_TEXT[0].copies)
    yield _norm(f"{name}.layer_norm1", _TEXT)
    yield _linear(f"{name}.self_attn.q_proj", _TEXT, _TEXT, factor=factor)
    yield _linear(f"{name}.self_attn.k_proj", _TEXT, _TEXT)
    yield _linear(f"{name}.self_attn.v_proj", _TEXT, _TEXT)
    yield _linear(f"{name}.self_attn.out_proj", _TEXT, _TEXT)
    yield _norm(f"{name}.layer_norm2", _TEXT)
    yield _linear(f"{name}.mlp.fc1", _TEXT, _TEXT_INNER)
    yield _linear(f"{name}.mlp.fc2", _TEXT_INNER, _TEXT)


def _block(name: str, inputs: Segments, *, level: int) -> Iterator[Layer]:
    """A residual block and the transformer after it."""
    yield from _residual(f"{name}.0", inputs, _LEVELS[level])
    yield from _transformer(f"{name}.1", level)


def _residual(name: str, inputs: Segments, outputs: Segments) -> Iterator[Layer]:
    yield _norm(f"{name}.in_layers.0", inputs)
    yield _convolution(f"{name}.in_layers.2", inputs, outputs)
    yield _linear(f"{name}.emb_layers.1", _TIME, outputs)
    yield _norm(f"{name}.out_layers.0", outputs)
    yield _convolution(f"{name}.out_layers.3", outputs, outputs)
    if full_width(inputs) != full_width(outputs):
        yield _convolution(f"{name}.skip_connection", inputs, outputs, kernel=1)


def _transformer(name: str, level: int) -> Iterator[Layer]:
    channels, inner = _LEVELS[level], _LEVEL_INNER[level]
    yield _norm(f"{name}.norm", channels)
    yield _convolution(f"{name}.proj_in", channels, channels, kernel=1)
    block = f"{name}.transformer_blocks.0"
    yield _norm(f"{block}.norm1", channels)
    yield from _attention(f"{block}.attn1", channels, channels)
    yield _norm(f"{block}.norm2", channels)
    yield from _attention(f"{block}.attn2", channels, _TEXT)
    yield _norm(f"{block}.norm3", channels)
    yield _linear(f"{block}.ff.net.0.proj", channels, inner + inner)  # values, then their gates
    yield _linear(f"{block}.ff.net.2", inner, channels)
    yield _convolution(f"{name}.proj_out", channels, channels, kernel=1)


def _attention(name: str, channels: Segments, context: Segments) -> Iterator[Layer]:
    factor = attention_factor(channels[0].copies)
    yield _linear(f"{name}.to_q", channels, channels, bias=False, factor=factor)
    yield _linear(f"{name}.to_k", context, channels, bias=False)
    yield _linear(f"{name}.to_v", context, channels, bias=False)
    yield _linear(f"{name}.to_out.0", channels, channels)


def _autoencoder_half(
    name: str, inputs: Segments, widths: tuple[int, ...], outputs: Segments
) -> Iterator[Layer]:
    """Three changes of size with three blocks at each size but the picture's own, which has one.

    Numbers count the engine's layers; the decoder's include activations and enlargements.
    """
    decoder = name.startswith("decoder")
    stages = [_AUTOENCODER[width] for width in widths]
    yield _convolution(f"{name}.0", inputs, stages[0])
    number = 2 if decoder else 1
    blocks = (3, 3, 3, 1) if decoder else (1, 3, 3, 3)
    for stage, (channels, count) in enumerate(zip(stages, blocks, strict=True)):
        for _ in range(count):
            for part in (0, 2, 4):
                yield _convolution(f"{name}.{number}.conv.{part}", channels, channels)
            number += 1
        if stage < 3:
            number += decoder
            yield _convolution(f"{name}.{number}", channels, stages[stage + 1], bias=False)
            number += 1
    yield _convolution(f"{name}.{number}", stages[-1], outputs)
