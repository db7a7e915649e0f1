"""Cases of everything but products: norms, activations, sums, and what only moves values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.native.accel.cases import (
    EPSILON,
    Case,
    Draw,
    attention,
    convolution,
    dense,
    draw_values,
    product,
    scores,
    winograd,
)
from tests.native.accel.engine_graphs import Graph, Handle
from tests.native.accel.graphs import TYPES, Array
from tests.native.accel.references import FUNCTIONS, softmax, standardise


def _shape(draw: Draw) -> tuple[int, int, int, int]:
    return draw.integer(1, 2), draw.integer(1, 40), draw.integer(1, 20), draw.integer(1, 90)


def _normed(output: Handle, values: Array, axes: tuple[int, ...], shape: tuple[int, ...]) -> Case:
    """Mean 0 and variance 1; a value near the mean is the difference of two larger ones."""
    wanted = standardise(values, axes, EPSILON)
    exact = values.astype(np.float64)
    factor = 1 / np.sqrt(exact.var(axes, keepdims=True) + EPSILON)
    size = np.abs(wanted) + np.abs(exact.mean(axes, keepdims=True)) * factor
    return Case(output, wanted.reshape(shape), size.reshape(shape), 3)


def group_norm(graph: Graph, draw: Draw) -> Case:
    """Group norm with all that follows it: scale, shift, silu."""
    groups, count = draw.integer(1, 8), draw.integer(1, 2)
    channels = groups * draw.integer(1, 5)
    values = draw_values(
        draw, (count, channels, draw.integer(1, 20), draw.integer(2, 40)), channel_axis=1
    )
    grouped = values.reshape(count, groups, -1)
    output = graph.do("group_norm", graph.leaf(values), groups, EPSILON)
    case = _normed(output, grouped, (2,), values.shape)
    return _scaled(draw, graph, case, channels, 2, silu=True)


def layer_norm(graph: Graph, draw: Draw) -> Case:
    """Layer norm with scale and shift."""
    shape = _shape(draw)
    values = draw_values(draw, shape, channel_axis=3)
    output = graph.do("norm", dense(draw, graph, values), EPSILON)
    case = _normed(output, values, (3,), shape)
    return _scaled(draw, graph, case, shape[3], 0, silu=False)


def rms_norm(graph: Graph, draw: Draw) -> Case:
    """RMS norm with scale."""
    shape = _shape(draw)
    values = draw_values(draw, shape, channel_axis=3)
    square = (values.astype(np.float64) ** 2).mean(3, keepdims=True)
    wanted = values / np.sqrt(square + EPSILON)
    output = graph.do("rms_norm", dense(draw, graph, values), EPSILON)
    return _scaled(draw, graph, Case(output, wanted, wanted, 3), shape[3], 0, silu=False)


def _scaled(
    draw: Draw, graph: Graph, case: Case, channels: int, dimension: int, *, silu: bool
) -> Case:
    """The case, scaled, shifted and activated, or only some of this."""
    output, wanted, size = case.output, case.wanted, case.size
    sizes = [1, 1, 1, 1]
    sizes[3 - dimension] = channels
    steps = draw.integer(0, 2 + silu)
    if steps > 0:
        scale = draw.generator().standard_normal(sizes).astype(np.float32)
        output, wanted = graph.do("mul", output, graph.leaf(scale)), wanted * scale
        size = size * scale
    if steps > 1:
        shift = draw.generator().standard_normal(sizes).astype(np.float32)
        output, wanted = graph.do("add", output, graph.leaf(shift)), wanted + shift
        size = np.abs(size) + np.abs(shift)
    if steps > 2:
        output, wanted = graph.do("silu", output), FUNCTIONS["silu"](wanted)
        size = np.abs(wanted)
        # silu of large negative values is near 0, and its error that of its operand
        size = np.maximum(size, 0.1)
    return Case(output, wanted, size, case.axis, case.sensitivity)


def soft_max(graph: Graph, draw: Draw) -> Case:
    """Softmax of scaled scores."""
    values = np.clip(draw_values(draw, _shape(draw), channel_axis=3), -1e4, 1e4)
    before, scale = draw.choice((1.0, 0.5)), draw.choice((1.0, 0.125))
    scores = graph.leaf(values)
    if before != 1:
        scores = graph.do("scale", scores, before)
    output = graph.do("soft_max_ext", scores, None, scale, 0.0)
    wanted = softmax(values.astype(np.float64) * before * scale)
    return Case(output, wanted, wanted, 3, 1 + float(np.abs(values).max()))


def activation(name: str) -> Callable[[Graph, Draw], Case]:
    """An activation, in place or not."""

    def make(graph: Graph, draw: Draw) -> Case:
        values = draw_values(draw, _shape(draw), channel_axis=1)
        function = draw.choice((name, f"{name}_inplace"))
        output = graph.do(function, graph.leaf(values))
        wanted = FUNCTIONS[name](values.astype(np.float64))
        # The engine's gelu looks values up in a table of halves: small ones are all alike.
        return Case(output, wanted, np.maximum(np.abs(wanted), 1e-3), 3)

    return make


def gated_gelu(graph: Graph, draw: Draw) -> Case:
    """x * gelu(gate), both halves of one tensor."""
    rows, columns = draw.integer(1, 40), draw.integer(1, 90)
    values = draw_values(draw, (1, 1, rows, 2 * columns), channel_axis=3)
    both = graph.do("scale", graph.leaf(values), 0.5)
    sizes = (columns, rows, 1, 1, 8 * columns, 8 * columns * rows, 8 * columns * rows)
    x = graph.do("view_4d", both, *sizes, 0)
    gate = graph.do("cont", graph.do("view_4d", both, *sizes, 4 * columns))
    output = graph.do("mul", x, graph.do("gelu_inplace", gate))
    halves = 0.5 * values.astype(np.float64)
    activated = FUNCTIONS["gelu"](halves[..., columns:])
    wanted = halves[..., :columns] * activated
    size = np.abs(halves[..., :columns]) * np.maximum(np.abs(activated), 1e-3)
    return Case(output, wanted, size, 3)


def broadcast(name: str) -> Callable[[Graph, Draw], Case]:
    """A sum or a product with an operand that is repeated along some dimensions."""

    def make(graph: Graph, draw: Draw) -> Case:
        shape = _shape(draw)
        other_shape = tuple(draw.choice((size, 1)) for size in shape)
        a = draw_values(draw, shape, channel_axis=1)
        b = draw_values(draw, other_shape, channel_axis=1)
        output = graph.do(name, dense(draw, graph, a), graph.leaf(b))
        x, y = a.astype(np.float64), b.astype(np.float64)
        wanted = x + y if name == "add" else x * y
        return Case(output, wanted, np.hypot(x, y) if name == "add" else wanted, 3)

    return make


def scale(graph: Graph, draw: Draw) -> Case:
    """A factor and an offset."""
    values = draw_values(draw, _shape(draw), channel_axis=1)
    factor, offset = draw.choice((0.0, 0.18215, -3.0)), draw.choice((0.0, 0.5))
    output = graph.do("scale_bias", graph.leaf(values), factor, offset)
    factor, offset = float(np.float32(factor)), float(np.float32(offset))
    wanted = values.astype(np.float64) * factor + offset
    return Case(output, wanted, np.hypot(values.astype(np.float64) * factor, offset), 3)


ORDERS = ((0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3), (2, 0, 1, 3), (1, 2, 0, 3), (2, 1, 0, 3))
"""Where the engine's permute() puts dimensions 0, 1, 2 and 3."""


def copy(graph: Graph, draw: Draw) -> Case:
    """A permutation made contiguous, or a conversion to halves."""
    values = draw_values(draw, _shape(draw), channel_axis=1)
    if draw.choice((True, False)):
        values = np.clip(values, -6e4, 6e4)
        output = graph.do("cast", dense(draw, graph, values), TYPES["f16"])
        return _moved(output, values.astype(np.float16))
    order = draw.choice(ORDERS)
    output = graph.do("cont", graph.do("permute", graph.leaf(values), *order))
    axes = [0, 0, 0, 0]
    for dimension, place in enumerate(order):
        axes[3 - place] = 3 - dimension
    return _moved(output, values.transpose(axes))


def concatenation(graph: Graph, draw: Draw) -> Case:
    """Two tensors behind each other."""
    shape, axis = _shape(draw), draw.integer(0, 3)
    a = draw_values(draw, shape, channel_axis=1)
    other = tuple(draw.integer(1, 9) if i == axis else size for i, size in enumerate(shape))
    b = draw_values(draw, other, channel_axis=1)
    output = graph.do("concat", dense(draw, graph, a), dense(draw, graph, b), 3 - axis)
    return _moved(output, np.concatenate([a, b], axis))


def repetition(graph: Graph, draw: Draw) -> Case:
    """A tensor several times."""
    shape = _shape(draw)
    values = draw_values(draw, tuple(draw.choice((n, 1)) for n in shape), channel_axis=1)
    whole = graph.leaf(np.zeros(shape))
    output = graph.do("repeat", graph.leaf(values), whole)
    return _moved(output, np.broadcast_to(values, shape))


def padding(graph: Graph, draw: Draw) -> Case:
    """Zeros around a tensor."""
    values = draw_values(draw, _shape(draw), channel_axis=1)
    sides = [(draw.integer(0, 2), draw.integer(0, 2)) for _ in range(4)]
    flat = [size for pair in reversed(sides) for size in pair]
    return _moved(graph.do("pad_ext", dense(draw, graph, values), *flat), np.pad(values, sides))


def upscaling(graph: Graph, draw: Draw) -> Case:
    """Each pixel several times."""
    values = draw_values(draw, _shape(draw), channel_axis=1)
    factor = draw.choice((2, 2, 3))
    output = graph.do("upscale", graph.leaf(values), factor, 0)
    return _moved(output, values.repeat(factor, 2).repeat(factor, 3))


def _moved(output: Handle, values: Array) -> Case:
    exact = values.astype(np.float64)
    return Case(output, exact, exact, 3, 0)


OPERATIONS: dict[str, Callable[[Graph, Draw], Case]] = {
    **{f"product {kind}": product(kind) for kind in TYPES},
    "convolution": convolution,
    "winograd": winograd,
    "attention": attention,
    "scores": scores,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "softmax": soft_max,
    **{name: activation(name) for name in FUNCTIONS},
    "gated_gelu": gated_gelu,
    "add": broadcast("add"),
    "mul": broadcast("mul"),
    "scale": scale,
    "copy": copy,
    "concat": concatenation,
    "repeat": repetition,
    "pad": padding,
    "upscale": upscaling,
}
"""All cases by name; what only moves values has sensitivity 0, as nothing may change."""
