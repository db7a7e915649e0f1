"""Random graphs of the engine's operations: chains that are fused, and what forbids it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tests.native.accel.engine_graphs import Graph, Handle, shape_of, strides_of

EPSILON = 1e-5
FLOAT = 4
"""Bytes."""


class Step(NamedTuple):
    """One operation, drawn: which one, and on what."""

    name: str
    pick: int
    """Which of the values that are there; 0 is the newest."""
    other: int
    """Which of those that can stand beside it."""
    choice: int
    """Bits for what else can differ."""


class RandomGraph:
    """Applies steps to values; a step that does not suit its value does nothing."""

    def __init__(self, graph: Graph, seed: int, shape: Sequence[int]) -> None:
        self._graph = graph
        self._generator = np.random.default_rng(seed)
        self._read: set[int] = set()
        self.values: list[Handle] = [
            graph.leaf(self._normal(shape), in_graph=bool(i % 2)) for i in range(2)
        ]

    def apply(self, step: Step) -> None:
        """Do a step; its result is a value for the next ones."""
        operand = self.values[-1 - step.pick % len(self.values)]
        result = STEPS[step.name](self, operand, step)
        if result is None:
            return
        self.values.append(result)
        if step.choice & 0x700 == 0x700 and not _is_leaf_or_view(result):
            self._graph.output(result)

    def finish(self) -> None:
        """Keep what nothing reads; the engine keeps no views, and what is done in place is one."""
        for value in self.values[2:]:
            if _address(value) not in self._read:
                self._graph.output(self._do("cont", value) if _is_leaf_or_view(value) else value)

    def linear(self, value: Handle, step: Step) -> Handle | None:
        columns = shape_of(value)[0]
        if strides_of(value)[0] != FLOAT or columns > 500:
            return None
        lanes = (columns, 24, 40, 2 * columns)[step.choice & 3]
        weights = self._normal((lanes, columns)) / np.sqrt(columns)
        return self._do("mul_mat", self._graph.leaf(weights), value)

    def convolution(self, value: Handle, step: Step) -> Handle | None:
        width, height, channels, _ = shape_of(value)
        if not _is_contiguous(value) or width < 3 or height < 3:
            return None
        outputs = (channels, 8, 32, 36)[step.choice & 3]
        weights = self._normal((outputs, channels, 3, 3)) / np.sqrt(9 * channels)
        return self._do("conv_2d_direct", self._graph.leaf(weights), value, 1, 1, 1, 1, 1, 1)

    def column_bias(self, value: Handle, step: Step) -> Handle | None:
        return self._with_leaf("add", value, (1, 1, 1, shape_of(value)[0]), step)

    def channel_bias(self, value: Handle, step: Step) -> Handle | None:
        return self._with_leaf("add", value, (1, shape_of(value)[2], 1, 1), step)

    def column_scale(self, value: Handle, step: Step) -> Handle | None:
        return self._with_leaf("mul", value, (1, 1, 1, shape_of(value)[0]), step)

    def channel_scale(self, value: Handle, step: Step) -> Handle | None:
        return self._with_leaf("mul", value, (1, shape_of(value)[2], 1, 1), step)

    def residual(self, value: Handle, step: Step) -> Handle | None:
        return self._with_value("add", value, step)

    def gate(self, value: Handle, step: Step) -> Handle | None:
        return self._with_value("mul", value, step)

    def group_norm(self, value: Handle, step: Step) -> Handle | None:
        channels = shape_of(value)[2]
        if not _is_contiguous(value) or channels % 4:
            return None
        return self._do("group_norm", value, 4, EPSILON)

    def layer_norm(self, value: Handle, step: Step) -> Handle | None:
        if strides_of(value)[0] != FLOAT or shape_of(value)[0] < 4:
            return None
        return self._do("rms_norm" if step.choice & 1 else "norm", value, EPSILON)

    def activation(self, value: Handle, step: Step) -> Handle | None:
        if not _is_contiguous(value):
            return None
        name = ("silu", "gelu", "gelu_quick", "silu")[step.choice & 3]
        return self._perhaps_in_place(name, value, step)

    def scaling(self, value: Handle, step: Step) -> Handle | None:
        if not _is_contiguous(value):
            return None
        factor = (0.5, 0.125, -1.0, 2.0)[step.choice & 3]
        return self._perhaps_in_place("scale", value, step, factor)

    def softmax(self, value: Handle, step: Step) -> Handle | None:
        if not _is_contiguous(value):
            return None
        return self._perhaps_in_place("soft_max", value, step)

    def copy(self, value: Handle, step: Step) -> Handle | None:
        return self._do("cont", value)

    def permutation(self, value: Handle, step: Step) -> Handle | None:
        order = ((0, 2, 1, 3), (1, 0, 2, 3), (1, 2, 0, 3), (2, 0, 1, 3))[step.choice & 3]
        return self._do("permute", value, *order)

    def reshape(self, value: Handle, step: Step) -> Handle | None:
        if not _is_contiguous(value):
            return None
        a, b, c, d = shape_of(value)
        shape = ((a * b, c, 1, d), (a, b * c, 1, d), (a, b, c * d, 1), (a, 1, b, c * d))
        return self._do("reshape_4d", value, *shape[step.choice & 3])

    def half(self, value: Handle, step: Step) -> Handle | None:
        """The first or second half of the columns, as a view."""
        columns, *others = shape_of(value)
        if columns % 2 or strides_of(value)[0] != FLOAT:
            return None
        offset = columns // 2 * FLOAT * (step.choice & 1)
        return self._do("view_4d", value, columns // 2, *others, *strides_of(value)[1:], offset)

    def gated_gelu(self, value: Handle, step: Step) -> Handle | None:
        """x * gelu(gate) as the engine writes it, or the other way round."""
        x = self.half(value, step._replace(choice=0))
        gate = self.half(value, step._replace(choice=1))
        if x is None or gate is None:
            return None
        if step.choice & 1:
            x, gate = gate, x
        activated = self._do("gelu_inplace", self._do("cont", gate))
        if step.choice & 6 == 6:  # something else reads it, first
            self.values.append(self._do("scale", activated, 0.5))
        return self._do("mul", x, activated)

    def concatenation(self, value: Handle, step: Step) -> Handle | None:
        if strides_of(value)[0] != FLOAT or int(np.prod(shape_of(value))) > 50_000:
            return None
        return self._do("concat", value, value, step.choice & 3)

    def _normal(self, shape: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return self._generator.standard_normal(tuple(shape))

    def _do(self, name: str, *arguments: object) -> Handle:
        for argument in arguments:
            if hasattr(argument, "contents"):
                self._read.add(_address(argument))
        return self._graph.do(name, *arguments)

    def _perhaps_in_place(
        self, name: str, value: Handle, step: Step, *others: object
    ) -> Handle | None:
        """In place only where nothing else reads the value before or after."""
        is_free = not _is_leaf_or_view(value) and _address(value) not in self._read
        if step.choice & 8 and is_free and value not in self._graph.outputs:
            self.values.remove(value)
            name = f"{name}_inplace"
        return self._do(name, value, *others)

    def _with_leaf(
        self, name: str, value: Handle, shape: Sequence[int], step: Step
    ) -> Handle | None:
        if strides_of(value)[0] != FLOAT:
            return None
        leaf = self._graph.leaf(self._normal(shape), in_graph=bool(step.choice & 16))
        return self._perhaps_in_place(name, value, step, leaf)

    def _with_value(self, name: str, value: Handle, step: Step) -> Handle | None:
        if strides_of(value)[0] != FLOAT:
            return None
        others = [
            other
            for other in self.values
            if shape_of(other) == shape_of(value) and strides_of(other)[0] == FLOAT
        ]
        other = others[-1 - step.other % len(others)]
        if step.choice & 1:
            value, other = other, value
        if _address(value) == _address(other):
            return self._do(name, value, other)
        return self._perhaps_in_place(name, value, step, other)


def _address(value: Handle) -> int:
    return ctypes.addressof(value.contents)


def _is_leaf_or_view(value: Handle) -> bool:
    return not value.contents.op or bool(value.contents.view_src)


def _is_contiguous(value: Handle) -> bool:
    expected = FLOAT
    for size, stride in zip(shape_of(value), strides_of(value), strict=True):
        if stride != expected:
            return False
        expected *= size
    return True


STEPS: dict[str, Callable[[RandomGraph, Handle, Step], Handle | None]] = {
    "linear": RandomGraph.linear,
    "convolution": RandomGraph.convolution,
    "column_bias": RandomGraph.column_bias,
    "channel_bias": RandomGraph.channel_bias,
    "column_scale": RandomGraph.column_scale,
    "channel_scale": RandomGraph.channel_scale,
    "residual": RandomGraph.residual,
    "gate": RandomGraph.gate,
    "group_norm": RandomGraph.group_norm,
    "layer_norm": RandomGraph.layer_norm,
    "activation": RandomGraph.activation,
    "scaling": RandomGraph.scaling,
    "softmax": RandomGraph.softmax,
    "copy": RandomGraph.copy,
    "permutation": RandomGraph.permutation,
    "reshape": RandomGraph.reshape,
    "half": RandomGraph.half,
    "gated_gelu": RandomGraph.gated_gelu,
    "concatenation": RandomGraph.concatenation,
}

CHAINS: tuple[tuple[str, ...], ...] = (
    ("linear", "column_bias", "residual"),
    ("convolution", "channel_bias", "residual"),
    ("group_norm", "channel_scale", "channel_bias", "activation"),
    ("layer_norm", "column_scale", "column_bias"),
    ("scaling", "softmax"),
    ("linear", "reshape", "column_bias", "reshape", "residual"),
    ("linear", "gated_gelu", "linear", "column_bias", "residual"),
)
"""What networks do, and the kernels fuse."""
