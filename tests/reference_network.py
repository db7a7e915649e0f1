"""The demo model's networks in numpy, narrow or full size: slow, plain, and all in one place.

The same code computes both. Only two things depend on the width: a group norm must know how many
channels of the full network a narrow one stands for, and where the groups' borders are.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from sdcpu.demo.network import TEXT_PREFIX, UNET_PREFIX, Layer
from sdcpu.demo.widen import copies_of

Array = npt.NDArray[np.float32]

_GROUPS = 32
_UNET_HEADS, _TEXT_HEADS = 8, 12


class ReferenceNetwork:
    """Computes with parameters by name; `narrow` tells whether each channel stands for several."""

    def __init__(
        self, parameters: Mapping[str, Array], layers: Iterable[Layer], *, narrow: bool
    ) -> None:
        self._parameters = parameters
        self._copies = {layer.name: copies_of(layer.outputs) for layer in layers}
        self._narrow = narrow

    def encode_text(self, rows: npt.NDArray[np.intp]) -> Array:
        """[tokens] rows of the token table -> [tokens, channels]."""
        embeddings = f"{TEXT_PREFIX}embeddings."
        x = self._parameters[f"{embeddings}token_embedding.weight"][rows]
        x = x + self._parameters[f"{embeddings}position_embedding.weight"][: len(rows)]
        number = 0
        while self._has(f"{TEXT_PREFIX}encoder.layers.{number}.mlp.fc1"):
            x = self._text_layer(f"{TEXT_PREFIX}encoder.layers.{number}", x)
            number += 1
        return self._layer_norm(f"{TEXT_PREFIX}final_layer_norm", x)

    def predict_noise(self, latent: Array, time: float, context: Array) -> Array:
        """[4, height, width], 0 to 999, [tokens, channels] -> the noise in the latent."""
        moments = self._time_embedding(time)
        x = self.convolution(f"{UNET_PREFIX}input_blocks.0.0", latent)
        kept = [x]
        for block, down in ((1, None), (4, 3), (7, 6)):
            if down is not None:
                x = self.convolution(f"{UNET_PREFIX}input_blocks.{down}.0.op", x, stride=2)
                kept.append(x)
            x = self._unet_block(f"{UNET_PREFIX}input_blocks.{block}", x, moments, context)
            kept.append(x)
        for block, up in ((0, ""), (1, "2.1"), (3, ""), (4, "5.2"), (6, ""), (7, "")):
            x = np.concatenate([x, kept.pop()])
            x = self._unet_block(f"{UNET_PREFIX}output_blocks.{block}", x, moments, context)
            if up:
                x = self.convolution(f"{UNET_PREFIX}output_blocks.{up}.conv", _double(x))
        x = _silu(self.group_norm(f"{UNET_PREFIX}out.0", x))
        return self.convolution(f"{UNET_PREFIX}out.2", x)

    def encode_picture(self, picture: Array) -> Array:
        """[3, height, width] from 0 to 1 -> a latent, 8 times smaller."""
        x = self.convolution("encoder.layers.0", picture)
        for number in range(1, 14):
            name = f"encoder.layers.{number}"
            is_block = self._has(f"{name}.conv.0")
            x = self._tiny_block(name, x) if is_block else self.convolution(name, x, stride=2)
        return self.convolution("encoder.layers.14", x)

    def decode_latent(self, latent: Array) -> Array:
        """The picture of a latent."""
        x = _relu(self.convolution("decoder.layers.0", np.tanh(latent / 3) * 3))
        for number in range(2, 18):
            name = f"decoder.layers.{number}"
            if self._has(f"{name}.conv.0"):
                x = self._tiny_block(name, x)
            elif self._has(name):
                x = self.convolution(name, _double(x))
        return self.convolution("decoder.layers.18", x)

    def _has(self, name: str) -> bool:
        return f"{name}.weight" in self._parameters

    def linear(self, name: str, x: Array) -> Array:
        y = x @ self._parameters[f"{name}.weight"].T
        return self._biased(name, y)

    def _biased(self, name: str, y: Array) -> Array:
        bias = f"{name}.bias"
        return y + self._parameters[bias] if bias in self._parameters else y

    def convolution(self, name: str, x: Array, stride: int = 1) -> Array:
        weight = self._parameters[f"{name}.weight"]
        size = weight.shape[-1]
        edge = size // 2
        padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
        windows = windows[:, ::stride, ::stride]
        y = np.tensordot(windows, weight, axes=((0, 3, 4), (1, 2, 3)))
        return np.moveaxis(self._biased(name, y), -1, 0)

    def _layer_norm(self, name: str, x: Array) -> Array:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        normal = (x - mean) / np.sqrt(variance + np.float32(1e-5))
        return self._biased(name, normal * self._parameters[f"{name}.weight"])

    def group_norm(self, name: str, x: Array) -> Array:
        """Norm over 32 groups of the full network's channels; a narrow channel counts as many."""
        copies = self._copies[name] if self._narrow else np.ones(len(x), np.intp)
        first_full_channel = np.cumsum(copies) - copies
        group = first_full_channel * _GROUPS // copies.sum()

        def group_mean(of_channels: Array) -> Array:
            sums = np.bincount(group, of_channels * copies, _GROUPS).astype(np.float32)
            means: Array = sums * np.float32(_GROUPS / copies.sum())
            return means[group, None, None]

        mean = group_mean(x.mean((1, 2)))
        variance = group_mean(((x - mean) ** 2).mean((1, 2)))
        normal: Array = (x - mean) / np.sqrt(variance + np.float32(1e-6))
        weight, bias = (self._parameters[f"{name}.{part}"] for part in ("weight", "bias"))
        return normal * weight[:, None, None] + bias[:, None, None]

    def attention(self, names: tuple[str, str, str, str], x: Array, context: Array) -> Array:
        query, key, value, output = names
        heads = _TEXT_HEADS if output.startswith(TEXT_PREFIX) else _UNET_HEADS

        def split(y: Array) -> Array:
            return y.reshape(len(y), heads, -1).swapaxes(0, 1)

        q = split(self.linear(query, x))
        k, v = (split(self.linear(name, context)) for name in (key, value))
        logits = q @ k.swapaxes(1, 2) / np.float32(math.sqrt(q.shape[-1]))
        if heads == _TEXT_HEADS:  # a token sees itself and those before it
            logits = logits + np.triu(np.full(logits.shape[1:], -np.inf, np.float32), 1)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        mixed = weights / weights.sum(-1, keepdims=True) @ v
        return self.linear(output, mixed.swapaxes(0, 1).reshape(len(x), -1))

    def _text_layer(self, name: str, x: Array) -> Array:
        parts = ("q_proj", "k_proj", "v_proj", "out_proj")
        q, k, v, out = (f"{name}.self_attn.{part}" for part in parts)
        y = self._layer_norm(f"{name}.layer_norm1", x)
        x = x + self.attention((q, k, v, out), y, y)
        y = self.linear(f"{name}.mlp.fc1", self._layer_norm(f"{name}.layer_norm2", x))
        return x + self.linear(f"{name}.mlp.fc2", y / (1 + np.exp(np.float32(-1.702) * y)))

    def _time_embedding(self, time: float) -> Array:
        frequencies = np.exp(-math.log(10_000) * np.arange(160) / 160)
        angles = time * frequencies
        x = np.concatenate([np.cos(angles), np.sin(angles)]).astype(np.float32)
        x = _silu(self.linear(f"{UNET_PREFIX}time_embed.0", x))
        return _silu(self.linear(f"{UNET_PREFIX}time_embed.2", x))

    def _unet_block(self, name: str, x: Array, moments: Array, context: Array) -> Array:
        return self._transformer(f"{name}.1", self._residual(f"{name}.0", x, moments), context)

    def _residual(self, name: str, x: Array, moments: Array) -> Array:
        y = self.convolution(
            f"{name}.in_layers.2", _silu(self.group_norm(f"{name}.in_layers.0", x))
        )
        y = y + self.linear(f"{name}.emb_layers.1", moments)[:, None, None]
        y = self.convolution(
            f"{name}.out_layers.3", _silu(self.group_norm(f"{name}.out_layers.0", y))
        )
        skip = f"{name}.skip_connection"
        return y + (self.convolution(skip, x) if self._has(skip) else x)

    def _transformer(self, name: str, x: Array, context: Array) -> Array:
        block = f"{name}.transformer_blocks.0"
        projected = self.convolution(f"{name}.proj_in", self.group_norm(f"{name}.norm", x))
        tokens = projected.reshape(len(projected), -1).T
        for attention, norm in (("attn1", "norm1"), ("attn2", "norm2")):
            parts = ("to_q", "to_k", "to_v", "to_out.0")
            q, k, v, out = (f"{block}.{attention}.{part}" for part in parts)
            if self._has(q):  # the narrow network leaves out what was not trained
                y = self._layer_norm(f"{block}.{norm}", tokens)
                seen = y if attention == "attn1" else context
                tokens = tokens + self.attention((q, k, v, out), y, seen)
        y = self.linear(f"{block}.ff.net.0.proj", self._layer_norm(f"{block}.norm3", tokens))
        values, gates = np.split(y, 2, axis=-1)
        tokens = tokens + self.linear(f"{block}.ff.net.2", values * _gelu(gates))
        return x + self.convolution(f"{name}.proj_out", tokens.T.reshape(projected.shape))

    def _tiny_block(self, name: str, x: Array) -> Array:
        y = _relu(self.convolution(f"{name}.conv.0", x))
        y = _relu(self.convolution(f"{name}.conv.2", y))
        return _relu(self.convolution(f"{name}.conv.4", y) + x)


def _silu(x: Array) -> Array:
    y: Array = x / (1 + np.exp(-x))
    return y


def _relu(x: Array) -> Array:
    return np.maximum(x, np.float32(0))


def _gelu(x: Array) -> Array:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
    y: Array = np.float32(0.5) * x * (1 + np.tanh(inner))
    return y


def _double(x: Array) -> Array:
    """Twice as high and wide, every pixel four times."""
    return x.repeat(2, axis=1).repeat(2, axis=2)
