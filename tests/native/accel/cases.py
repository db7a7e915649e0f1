"""Operations as the engine's graphs hold them, with values of every kind and what is right.

A case is drawn: by hypothesis in the tests, at random in `scripts/bench errors`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from tests.native.accel.engine_graphs import Graph, Handle, strides_of
from tests.native.accel.graphs import Array, quantised_bytes
from tests.native.accel.references import attend, convolve, softmax

T = TypeVar("T")

BLOCKS = {"f32": 1, "f16": 1, "bf16": 1, "q8_0": 32, "q4_0": 32, "q4_1": 32, "q5_0": 32}
BLOCKS |= {"q5_1": 32, "q4_k": 256, "q5_k": 256, "q6_k": 256}
VALUES = ("plain", "channels", "one", "shifted", "zeros", "tiny")
POISONS = (math.nan, math.inf, -math.inf)
EPSILON = 1e-5


class Draw(Protocol):
    """Where a case takes its sizes from."""

    def integer(self, low: int, high: int) -> int:
        """An integer between both, both included."""

    def choice(self, options: Sequence[T]) -> T:
        """One of these."""

    def generator(self) -> np.random.Generator:
        """Where its values come from."""

    def poisons(self) -> bool:
        """Whether a value among those of each operand is not finite."""


@dataclass(frozen=True)
class Case:
    """An operation in a graph, and its result in double precision."""

    output: Handle
    wanted: Array
    size: Array
    """How large each value is without cancellation: what its error is compared with."""
    axis: int
    """Along this axis lie the values of a vector, such as a token or a pixel."""
    sensitivity: float = 1.0
    """By how much the operation makes errors of its operands larger."""
    rounding: Array | None = None
    """How far each value is off, as a standard deviation, when its operands have 8 bits."""

    @property
    def rounding_errors(self) -> Array:
        """What rounding to 8 bits does to each vector, as a part of its length."""
        assert self.rounding is not None
        return self._of_length(np.sqrt((self.rounding**2).sum(self.axis)))

    def errors(self, got: Array) -> Array:
        """The error of each vector as a part of its length; infinite where it is not finite."""
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.sqrt(((got.astype(np.float64) - self.wanted) ** 2).sum(self.axis))
        return np.where(np.isfinite(error).ravel(), self._of_length(error), np.inf)

    def _of_length(self, error: Array) -> Array:
        length = np.sqrt((self.size**2).sum(self.axis))
        parts: Array = (error / np.maximum(length, 1e-30)).ravel()
        return parts


def draw_values(draw: Draw, shape: tuple[int, ...], *, channel_axis: int) -> Array:
    """Values as networks have them, and as they have them at worst; f32."""
    generator = draw.generator()
    kind = draw.choice(VALUES)
    values = generator.standard_normal(shape)
    if kind == "channels":
        factors = np.ones(shape[channel_axis])
        several = generator.random(factors.shape) < 0.05
        several[generator.integers(len(factors))] = True
        factors[several] = 10 ** generator.uniform(1, 3, int(several.sum()))
        sizes = [1] * len(shape)
        sizes[channel_axis] = -1
        values *= factors.reshape(sizes)
    elif kind == "one":
        values.flat[generator.integers(values.size)] *= 10 ** generator.uniform(2, 4)
    elif kind == "shifted":
        values += generator.choice([-30.0, 30.0])
    elif kind == "zeros":
        values *= generator.random(shape) < 0.3
    elif kind == "tiny":
        values *= 1e-30
    if draw.poisons():
        values.flat[generator.integers(values.size)] = draw.choice(POISONS)
    return values.astype(np.float32)


def _weights(draw: Draw, shape: tuple[int, ...]) -> Array:
    """Weights as they are, and at both ends of what halves can hold."""
    strength = draw.choice((0.2, 0.2, 1e-6, 1e4))
    return np.asarray(strength * draw.generator().standard_normal(shape))


def dense(draw: Draw, graph: Graph, values: Array, kind: str = "f32") -> Handle:
    """A leaf, or a part of a larger one, or one whose rows lie in another order."""
    way = draw.choice(("whole", "part", "permuted")) if values.ndim == 4 else "whole"
    if way == "whole":
        return graph.leaf(values, kind)
    if way == "permuted":
        leaf = graph.leaf(np.ascontiguousarray(values.transpose(0, 2, 1, 3)), kind)
        return graph.do("permute", leaf, 0, 2, 1, 3)
    room = np.pad(values, [(0, 0), (0, 1), (1, 0), (0, 3)])
    leaf = graph.leaf(room, kind)
    strides = strides_of(leaf)
    sizes = values.shape[::-1]
    return graph.do("view_4d", leaf, *sizes, *strides[1:], strides[1])


def _finished(draw: Draw, graph: Graph, case: Case, channels: int, dimension: int) -> Case:
    """The case with a bias, with a residual, or with both or none."""
    output, wanted = case.output, case.wanted
    generator = draw.generator()
    if draw.choice((True, False)):
        bias = generator.standard_normal(channels).astype(np.float32)
        sizes = [1, 1, 1, 1]
        sizes[3 - dimension] = channels
        values = bias.reshape(sizes)
        output, wanted = graph.do("add", output, graph.leaf(values)), wanted + values
    if draw.choice((True, False)):
        residual = generator.standard_normal(wanted.shape).astype(np.float32)
        output, wanted = graph.do("add", output, graph.leaf(residual)), wanted + residual
    size = np.hypot(case.size, wanted - case.wanted)
    return Case(output, wanted, size, case.axis, case.sensitivity, case.rounding)


def product(kind: str) -> Callable[[Graph, Draw], Case]:
    """A linear layer with weights of this type, or a batch of products."""

    def make(graph: Graph, draw: Draw) -> Case:
        plain = BLOCKS[kind] == 1
        depth = draw.integer(1, 200) if plain else BLOCKS[kind] * draw.integer(1, 4)
        lanes, rows = draw.integer(1, 90 if BLOCKS[kind] < 256 else 20), draw.integer(4, 40)
        outer, inner, share = draw.choice(((1, 1, 1), (2, 1, 1), (2, 1, 3), (1, 2, 2), (2, 2, 1)))
        inputs = draw_values(draw, (outer, inner * share, rows, depth), channel_axis=3)
        weights = _weights(draw, (1, inner, lanes, depth))
        _, exact = quantised_bytes(weights, kind)
        weight_leaf = dense(draw, graph, weights, kind) if plain else graph.leaf(weights, kind)
        output = graph.do("mul_mat", weight_leaf, dense(draw, graph, inputs))
        exact = exact.repeat(share, 1).swapaxes(-1, -2)
        values = inputs.astype(np.float64)
        rounding = np.sqrt(_rounding(values) ** 2 @ exact**2)
        case = Case(output, values @ exact, np.sqrt(values**2 @ exact**2), 3, 1.0, rounding)
        return _finished(draw, graph, case, lanes, 0)

    return make


def _rounding(values: Array) -> Array:
    """The standard deviation of values in 8 bits: a step is 1/127 of the largest of 32."""
    padded = np.pad(np.abs(values), [*[(0, 0)] * 3, (0, -values.shape[-1] % 32)])
    largest = padded.reshape(*values.shape[:-1], -1, 32).max(-1).repeat(32, -1)
    deviation: Array = largest[..., : values.shape[-1]] / 127 / math.sqrt(12)
    return deviation


def convolution(graph: Graph, draw: Draw) -> Case:
    """A convolution of any shape."""
    sizes = draw.integer(3, 18), draw.integer(3, 18)
    channels, outputs, count = draw.integer(1, 40), draw.integer(1, 40), draw.integer(1, 2)
    kernel = draw.integer(1, 3), draw.integer(1, 3)
    stride = draw.integer(1, 2), draw.integer(1, 2)
    pad = draw.integer(0, 2), draw.integer(0, 2)
    return _convolution(draw, graph, (count, channels, *sizes), outputs, kernel, stride, pad)


def winograd(graph: Graph, draw: Draw) -> Case:
    """A 3x3 convolution of the shapes for which Winograd's transform is used."""
    sizes = draw.choice(((16, 16), (32, 32), (8, 64), (20, 32), (6, 96)))
    channels, outputs = 2 * draw.integer(16, 24), draw.integer(32, 50)
    shape = (draw.integer(1, 2), channels, *sizes)
    return _convolution(draw, graph, shape, outputs, (3, 3), (1, 1), (1, 1))


def _convolution(
    draw: Draw,
    graph: Graph,
    shape: tuple[int, int, int, int],
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
) -> Case:
    inputs = draw_values(draw, shape, channel_axis=1)
    weights = _weights(draw, (outputs, shape[1], kernel[1], kernel[0]))
    kind = draw.choice(("f16", "f32"))
    _, exact = quantised_bytes(weights, kind)
    leaves = graph.leaf(weights, kind), dense(draw, graph, inputs)
    output = graph.do("conv_2d_direct", *leaves, *stride, *pad, 1, 1)
    wanted = convolve(inputs, exact, stride, pad)
    size = np.sqrt(convolve(inputs.astype(np.float64) ** 2, exact**2, stride, pad))
    return _finished(draw, graph, Case(output, wanted, size, 1), outputs, 2)


def attention(graph: Graph, draw: Draw) -> Case:
    """Attention in one operation: heads that share keys, masks, scores up to the hundreds."""
    count, key_heads, share = draw.integer(1, 2), draw.integer(1, 2), draw.integer(1, 2)
    # A single key of score -infinity would have no weight: neither right nor wrong is defined.
    queries, keys = draw.integer(1, 40), draw.integer(1 + draw.poisons(), 600)
    size = draw.choice((8, 40, 64, 72, 128))
    kind = draw.choice(("f16", "f32"))
    generator = draw.generator()
    query = generator.standard_normal((count, key_heads * share, queries, size))
    query = (query * draw.choice((1.0, 3.0, 100.0))).astype(np.float32)
    key = draw_values(draw, (count, key_heads, keys, size), channel_axis=3)
    value = generator.standard_normal(key.shape)
    is_masked = draw.choice((True, False)) and not draw.poisons()  # what is hidden may be anything
    mask = _mask(draw, queries, keys) if is_masked else None
    _, exact_key = quantised_bytes(key, kind)
    _, exact_value = quantised_bytes(value, kind)
    scale = 1 / math.sqrt(size)
    wanted = attend(query, exact_key, exact_value, mask, scale).transpose(0, 2, 1, 3)
    operands = dense(draw, graph, query), dense(draw, graph, key, kind), graph.leaf(value, kind)
    mask_leaf = None if mask is None else graph.leaf(mask, "f16")
    output = graph.do("flash_attn_ext", *operands, mask_leaf, scale, 0.0, 0.0)
    squares = query.astype(np.float64) ** 2 @ (exact_key.repeat(share, 1).swapaxes(-1, -2) ** 2)
    # A weight is off by what its score is off by; values are not averaged where one weight is 1.
    sensitivity = 1 + scale * math.sqrt(float(squares.max()))
    return Case(output, wanted, np.maximum(np.abs(wanted), 0.05), 3, sensitivity)


def scores(graph: Graph, draw: Draw) -> Case:
    """Attention in several operations: scores, softmax, weighted values."""
    heads, queries, keys = draw.integer(1, 4), draw.integer(4, 40), draw.integer(1, 80)
    size, strength = draw.choice((8, 40, 64)), draw.choice((1.0, 30.0))
    generator = draw.generator()
    query = (strength * generator.standard_normal((1, heads, queries, size))).astype(np.float32)
    key = draw_values(draw, (1, heads, keys, size), channel_axis=3)
    product_of_both = graph.do("mul_mat", dense(draw, graph, key), dense(draw, graph, query))
    graph.ask_for_precision(product_of_both)
    output = graph.do("soft_max_ext", product_of_both, None, 0.125, 0.0)
    exact = query.astype(np.float64), key.astype(np.float64).swapaxes(-1, -2)
    wanted = softmax(0.125 * exact[0] @ exact[1])
    largest = 0.125 * math.sqrt(float((exact[0] ** 2 @ exact[1] ** 2).max()))
    return Case(output, wanted, wanted, 3, 1 + largest)


def _mask(draw: Draw, queries: int, keys: int) -> Array:
    """0 for the keys that a query sees, -infinity for the others; all see the first."""
    if draw.choice((True, False)):
        hidden = np.arange(keys) > np.arange(queries)[:, None] + keys // 2
    else:
        hidden = draw.generator().random((queries, keys)) < draw.choice((0.1, 0.9))
    hidden[:, 0] = False
    return np.where(hidden, -np.inf, 0).astype(np.float16)
