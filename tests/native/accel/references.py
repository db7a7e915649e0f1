"""Operations in double precision: what is right."""

from collections.abc import Callable

import numpy as np

from tests.native.accel.graphs import Array


def convolve(
    pictures: Array,
    kernel: Array,
    stride: tuple[int, int] = (1, 1),
    pad: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Array:
    """The convolution of pictures [picture][channel][y][x]; pairs are (x, y), as in ggml."""
    padded = np.pad(
        pictures.astype(np.float64), [(0, 0), (0, 0), (pad[1], pad[1]), (pad[0], pad[0])]
    )
    height = (padded.shape[2] - dilation[1] * (kernel.shape[2] - 1) - 1) // stride[1] + 1
    width = (padded.shape[3] - dilation[0] * (kernel.shape[3] - 1) - 1) // stride[0] + 1
    out = np.zeros((pictures.shape[0], kernel.shape[0], height, width))
    for ky in range(kernel.shape[2]):
        for kx in range(kernel.shape[3]):
            y, x = ky * dilation[1], kx * dilation[0]
            part = padded[
                :,
                :,
                y : y + stride[1] * (height - 1) + 1 : stride[1],
                x : x + stride[0] * (width - 1) + 1 : stride[0],
            ]
            weights = kernel[:, :, ky, kx].astype(np.float64)
            out += np.moveaxis(np.tensordot(weights, part, ([1], [1])), 0, 1)
    return out


def attend(query: Array, key: Array, value: Array, mask: Array | None, scale: float) -> Array:
    """Softmax attention; [picture][head][row][element]."""
    share = query.shape[1] // key.shape[1]
    key, value = np.repeat(key, share, 1), np.repeat(value, share, 1)
    scores = scale * query.astype(np.float64) @ key.astype(np.float64).swapaxes(-1, -2)
    if mask is not None:
        scores = scores + mask.astype(np.float64)
    return softmax(scores) @ value.astype(np.float64)


def attended_lengths(query: Array, key: Array, value: Array, scale: float) -> Array:
    """How large the sums of attention would be if its terms did not cancel out."""
    share = query.shape[1] // key.shape[1]
    key, value = np.repeat(key, share, 1), np.repeat(value, share, 1)
    weights = softmax(scale * query.astype(np.float64) @ key.astype(np.float64).swapaxes(-1, -2))
    return np.asarray(np.sqrt(weights**2 @ value.astype(np.float64) ** 2))


def softmax(scores: Array) -> Array:
    """Along the last axis."""
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def standardise(values: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """Mean 0 and variance 1 over the axes."""
    values = values.astype(np.float64)
    variance = values.var(axes, keepdims=True)
    return np.asarray((values - values.mean(axes, keepdims=True)) / np.sqrt(variance + epsilon))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.where(x > 0, x, 0.0),  # of what is not a number too, as in the engine
    "gelu_quick": lambda x: x * sigmoid(1.702 * x),
}
"""The activations; `gelu` is its tanh form, as in the engine."""
