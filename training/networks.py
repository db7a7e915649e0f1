"""The narrow networks, named as the engine names those they stand for."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from training import layers
from training.layers import (
    Convolution,
    GroupNorm,
    LayerNorm,
    Linear,
    Segments,
    narrow,
    wide,
)
from training.vocabulary import LENGTH, ROWS

LEVELS: tuple[Segments, ...] = (((160, 2),), ((128, 5),), ((128, 10),))
"""Channels at a picture's eighth, sixteenth and thirty-second part."""
LEVEL_INNER = (320, 256, 512)
"""Width of the feed-forward layers."""
TIME: Segments = ((128, 10),)
TEXT: Segments = ((192, 4),)
TEXT_INNER, TEXT_LAYERS = 384, 2
ENCODER, DECODER = (16, 32, 32, 64), (64, 64, 32, 16)
"""Channels of the autoencoder's stages, in the order they are run."""
_FREQUENCIES: Segments = ((320, 1),)
_LATENT: Segments = ((4, 1),)
_HEADS, _TEXT_HEADS = 8, 12

Layers = nn.ModuleDict


class Residual(nn.Module):
    """Two convolutions beside a short cut, told the time step between them."""

    def __init__(self, inputs: Segments, outputs: Segments) -> None:
        super().__init__()
        first = Convolution(inputs, outputs)
        second = Convolution(outputs, outputs)
        self.in_layers = Layers({"0": GroupNorm(inputs, activated=True), "2": first})
        self.emb_layers = Layers({"1": Linear(TIME, outputs)})
        self.out_layers = Layers({"0": GroupNorm(outputs, activated=True), "3": second})
        same = wide(inputs) == wide(outputs)
        self.skip_connection = None if same else Convolution(inputs, outputs, kernel=1)
        nn.init.zeros_(self.out_layers["3"].weight)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Pictures' channels and the time's 128 values."""
        inner = self.in_layers["2"](self.in_layers["0"](x))
        inner = inner + self.emb_layers["1"](time)[..., None, None]
        inner = self.out_layers["3"](self.out_layers["0"](inner))
        return inner + (x if self.skip_connection is None else self.skip_connection(x))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Shape (pictures, tokens, channels) to (pictures, heads, tokens, channels of a head)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Attention(nn.Module):
    """Every place looks at the picture, or at the prompt."""

    def __init__(self, channels: Segments, context: Segments) -> None:
        super().__init__()
        self.to_q = Linear(channels, channels, bias=False)
        self.to_k = Linear(context, channels, bias=False)
        self.to_v = Linear(context, channels, bias=False)
        self.to_out = Layers({"0": Linear(channels, channels)})

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Shape (pictures, tokens, channels)."""
        query, key, value = self.to_q(x), self.to_k(context), self.to_v(context)
        query, key, value = (split_heads(each, _HEADS) for each in (query, key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.to_out["0"](mixed.transpose(1, 2).flatten(2))


class Gated(nn.Module):
    """Values times the activation of their gates."""

    def __init__(self, channels: Segments, inner: Segments) -> None:
        super().__init__()
        self.proj = Linear(channels, inner + inner)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (…, channels) to (…, inner)."""
        return layers.gate(self.proj(x))


class FeedForward(nn.Module):
    """Two matrices with a gate between them."""

    def __init__(self, channels: Segments, inner: int) -> None:
        super().__init__()
        between: Segments = ((inner, 4 * wide(channels) // inner),)
        self.net = Layers({"0": Gated(channels, between), "2": Linear(between, channels)})

    def forward(self, x: Tensor) -> Tensor:
        """Shape (…, channels)."""
        return self.net["2"](self.net["0"](x))


class Block(nn.Module):
    """Looks at the picture, at the prompt, then thinks."""

    def __init__(self, channels: Segments, inner: int) -> None:
        super().__init__()
        self.norm1, self.attn1 = LayerNorm(channels), Attention(channels, channels)
        self.norm2, self.attn2 = LayerNorm(channels), Attention(channels, TEXT)
        self.norm3, self.ff = LayerNorm(channels), FeedForward(channels, inner)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Shape (pictures, tokens, channels)."""
        inner = self.norm1(x)
        x = x + self.attn1(inner, inner)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    """A block over all places of a picture."""

    def __init__(self, channels: Segments, inner: int) -> None:
        super().__init__()
        self.norm = GroupNorm(channels)
        self.proj_in = Convolution(channels, channels, kernel=1)
        self.proj_out = Convolution(channels, channels, kernel=1)
        self.transformer_blocks = Layers({"0": Block(channels, inner)})
        with torch.no_grad():
            self.proj_out.weight.mul_(0.2)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Shape (pictures, channels, height, width)."""
        inner = self.proj_in(self.norm(x))
        tokens = self.transformer_blocks["0"](inner.flatten(2).transpose(1, 2), context)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))


class Smaller(nn.Module):
    """Half the size."""

    def __init__(self, channels: Segments) -> None:
        super().__init__()
        self.op = Convolution(channels, channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (pictures, channels, height, width)."""
        return self.op(x)


class Larger(nn.Module):
    """Twice the size."""

    def __init__(self, channels: Segments) -> None:
        super().__init__()
        self.conv = Convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (pictures, channels, height, width)."""
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):
    """The engine's "tiny" U-Net: three levels, one block down and two up on each, no middle."""

    def __init__(self) -> None:
        super().__init__()
        high, middle, low = LEVELS

        def block(inputs: Segments, level: int) -> nn.ModuleDict:
            transformer = Transformer(LEVELS[level], LEVEL_INNER[level])
            return Layers({"0": Residual(inputs, LEVELS[level]), "1": transformer})

        self.time_embed = Layers({"0": Linear(_FREQUENCIES, TIME), "2": Linear(TIME, TIME)})
        self.input_blocks = Layers(
            {
                "0": Layers({"0": Convolution(_LATENT, high)}),
                "1": block(high, 0),
                "3": Layers({"0": Smaller(high)}),
                "4": block(high, 1),
                "6": Layers({"0": Smaller(middle)}),
                "7": block(middle, 2),
            }
        )
        self.output_blocks = Layers(
            {
                "0": block(low + low, 2),
                "1": block(low + middle, 2),
                "2": Layers({"1": Larger(low)}),
                "3": block(low + middle, 1),
                "4": block(middle + high, 1),
                "5": Layers({"2": Larger(middle)}),
                "6": block(middle + high, 0),
                "7": block(high + high, 0),
            }
        )
        self.out = Layers({"0": GroupNorm(high, activated=True), "2": Convolution(high, _LATENT)})
        self._start()

    def _start(self) -> None:
        """Begin with little noise predicted, and with constants of both signs in every group.

        The constants keep a group's variance steady, so that group norm does not wipe out how
        strong the noise is.
        """
        nn.init.normal_(self.out["2"].weight, std=0.01)
        last = self.output_blocks["7"]["0"].skip_connection  # type: ignore[index]
        for layer, size in ((self.input_blocks["0"]["0"], 1.5), (last, 2.0)):  # type: ignore[index]
            signs = 1 - 2 * (torch.arange(narrow(LEVELS[0])) % 2)
            with torch.no_grad():
                layer.bias.copy_(size * signs)

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """Predict the noise: latents (n, 4, h, w), time steps (n,), text (n, 77, 192)."""
        frequencies = torch.exp(torch.arange(160, device=x.device) * (-math.log(10000) / 160))
        angles = time.float()[:, None] * frequencies
        waves = torch.cat([angles.cos(), angles.sin()], -1)
        embedded = self.time_embed["2"](functional.silu(self.time_embed["0"](waves)))
        embedded = functional.silu(embedded)
        down, up = self.input_blocks, self.output_blocks

        def run(blocks: nn.Module, inner: Tensor) -> Tensor:
            return blocks["1"](blocks["0"](inner, embedded), context)  # type: ignore[index]

        inner = down["0"]["0"](x)
        passed = [inner]
        for smaller, name in (("", "1"), ("3", "4"), ("6", "7")):
            if smaller:
                inner = down[smaller]["0"](inner)
                passed.append(inner)
            inner = run(down[name], inner)
            passed.append(inner)
        for name, larger in (("0", ""), ("1", "2"), ("3", ""), ("4", "5"), ("6", ""), ("7", "")):
            inner = run(up[name], torch.cat([inner, passed.pop()], 1))
            if larger:
                (enlarge,) = up[larger].values()
                inner = enlarge(inner)
        inner = self.out["0"](inner)
        with torch.autocast(x.device.type, enabled=False):  # eight bits are too few for noise
            return self.out["2"](inner.float())


class TextLayer(nn.Module):
    """One layer of the text encoder; words see those before them."""

    def __init__(self) -> None:
        super().__init__()
        inner: Segments = ((TEXT_INNER, 4 * wide(TEXT) // TEXT_INNER),)
        names = ("q_proj", "k_proj", "v_proj", "out_proj")
        self.self_attn = Layers({name: Linear(TEXT, TEXT) for name in names})
        self.layer_norm1, self.layer_norm2 = LayerNorm(TEXT), LayerNorm(TEXT)
        self.mlp = Layers({"fc1": Linear(TEXT, inner), "fc2": Linear(inner, TEXT)})

    def forward(self, x: Tensor) -> Tensor:
        """Shape (prompts, 77, 192)."""
        inner = self.layer_norm1(x)
        query, key, value = (
            split_heads(self.self_attn[name](inner), _TEXT_HEADS)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.self_attn["out_proj"](mixed.transpose(1, 2).flatten(2))
        inner = self.mlp["fc1"](self.layer_norm2(x))
        return x + self.mlp["fc2"](inner * torch.sigmoid(1.702 * inner))


class TextEncoder(nn.Module):
    """The first layers of CLIP-L's text encoder; the others pass on what they get."""

    def __init__(self) -> None:
        super().__init__()
        width = narrow(TEXT)
        self.embeddings = Layers(
            {
                "token_embedding": nn.Embedding(ROWS, width),
                "position_embedding": nn.Embedding(LENGTH, width),
            }
        )
        stack = Layers({str(number): TextLayer() for number in range(TEXT_LAYERS)})
        self.encoder = Layers({"layers": stack})
        self.final_layer_norm = LayerNorm(TEXT)
        nn.init.normal_(self.embeddings["position_embedding"].weight, std=0.3)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of the token table, shape (prompts, 77), to (prompts, 77, 192)."""
        x = self.embeddings["token_embedding"](rows)
        x = x + self.embeddings["position_embedding"].weight
        for layer in self.encoder["layers"].values():  # type: ignore[operator, union-attr]
            x = layer(x)
        return self.final_layer_norm(x)


class Denoiser(nn.Module):
    """U-Net and text encoder together."""

    def __init__(self) -> None:
        super().__init__()
        self.unet, self.text = UNet(), TextEncoder()

    def forward(self, x: Tensor, time: Tensor, rows: Tensor) -> Tensor:
        """Predict the noise in latents from their time steps and prompts."""
        return self.unet(x, time, self.text(rows))


class AutoencoderBlock(nn.Module):
    """Three convolutions beside a short cut, no norms."""

    def __init__(self, channels: Segments) -> None:
        super().__init__()
        self.conv = Layers({part: Convolution(channels, channels) for part in ("0", "2", "4")})

    def forward(self, x: Tensor) -> Tensor:
        """Shape (pictures, channels, height, width)."""
        inner = functional.relu(self.conv["0"](x))
        inner = functional.relu(self.conv["2"](inner))
        return functional.relu(self.conv["4"](inner) + x)


class Autoencoder(nn.Module):
    """TAESD's layout: pictures in [0, 1] to latents an eighth as large, and back."""

    def __init__(self) -> None:
        super().__init__()
        colours: Segments = ((3, 1),)
        self.encoder = Layers({"layers": nn.Sequential(*_encoder(colours))})
        self.decoder = Layers({"layers": nn.Sequential(*_decoder(colours))})

    def encode(self, pictures: Tensor) -> Tensor:
        """Shape (n, 3, height, width) to (n, 4, height / 8, width / 8)."""
        return self.encoder["layers"](pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """Shape (n, 4, height, width) to (n, 3, 8 height, 8 width)."""
        return self.decoder["layers"](torch.tanh(latents / 3) * 3)


def _stage(width: int) -> Segments:
    return ((width, 64 // width),)


def _encoder(colours: Segments) -> Iterator[nn.Module]:
    first, *others = map(_stage, ENCODER)
    yield Convolution(colours, first)
    yield AutoencoderBlock(first)
    before = first
    for channels in others:
        yield Convolution(before, channels, stride=2, bias=False)
        yield from (AutoencoderBlock(channels) for _ in range(3))
        before = channels
    yield Convolution(before, _LATENT)


def _decoder(colours: Segments) -> Iterator[nn.Module]:
    first, *others = map(_stage, DECODER)
    yield Convolution(_LATENT, first)
    yield nn.ReLU()
    before = first
    for channels in others:
        yield from (AutoencoderBlock(before) for _ in range(3))
        yield nn.Upsample(scale_factor=2, mode="nearest")
        yield Convolution(before, channels, bias=False)
        before = channels
    yield AutoencoderBlock(before)
    yield Convolution(before, colours)
