"""A tiny autoencoder whose convolutions are computed by kernels of ours, and all else by numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.native.accel.graphs import Array, Tensor, compute, quantised, result


class TinyAutoencoder:
    """The layers of TAESD as its file numbers them: convolutions, and blocks of three."""

    def __init__(self, file: Path) -> None:
        self.weights = load_file(file)

    def encode(self, picture: Array, variant: str) -> Array:
        """Picture [1][3][y][x] from 0 to 1, to latent [1][4][y / 8][x / 8]."""
        return self._run("encoder", picture, variant)

    def decode(self, latent: Array, variant: str) -> Array:
        """Latent to picture."""
        return self._run("decoder", 3 * np.tanh(latent / 3), variant)

    def _run(self, part: str, values: Array, variant: str) -> Array:
        numbers = {int(name.split(".")[2]) for name in self.weights if name.startswith(part)}
        for number in sorted(numbers):
            layer = f"{part}.layers.{number}"
            if f"{layer}.weight" not in self.weights:
                inner = _relu(self._convolve(f"{layer}.conv.0", values, variant))
                inner = _relu(self._convolve(f"{layer}.conv.2", inner, variant))
                values = _relu(self._convolve(f"{layer}.conv.4", inner, variant) + values)
                continue
            # Where the size changes, the convolution has no bias.
            changes_size = f"{layer}.bias" not in self.weights
            if changes_size and part == "decoder":
                values = values.repeat(2, 2).repeat(2, 3)
            stride = 2 if changes_size and part == "encoder" else 1
            values = self._convolve(layer, values, variant, stride)
            if layer == "decoder.layers.0":
                values = _relu(values)
        return values

    def _convolve(self, layer: str, values: Array, variant: str, stride: int = 1) -> Array:
        kernel = self.weights[f"{layer}.weight"].astype(np.float32)
        weights, _ = quantised(kernel, "f16")
        height, width = (side // stride for side in values.shape[2:])
        out = result(1, kernel.shape[0], height, width)
        inputs = Tensor(np.ascontiguousarray(values, np.float32))
        out.operation("conv_2d", [weights, inputs], [stride, stride, 1, 1, 1, 1])
        assert compute(variant, [out], 2) == [1]
        bias = self.weights.get(f"{layer}.bias", np.zeros(kernel.shape[0])).astype(np.float32)
        return np.asarray(out.array + bias[:, None, None])


def _relu(values: Array) -> Array:
    return np.maximum(values, 0)
