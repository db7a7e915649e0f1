"""Graphs of the real engine: allocated, ordered and computed by it, with our kernels or without."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.native.accel.graphs import TYPES, VARIANTS, Array, CTensor, library_file, quantised_bytes

Handle = Any
"""A `struct ggml_tensor *`."""

_MOST_NODES = 512
_NUMPY_TYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.float16}


class _InitParams(ctypes.Structure):
    """struct ggml_init_params."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("memory", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


class Libraries:
    """Our library, the engine behind it, and a CPU backend of the engine."""

    def __init__(self, ours: Path, engine: Path) -> None:
        self.ours = ctypes.CDLL(str(ours), mode=ctypes.RTLD_GLOBAL)  # before the engine
        self.engine = ctypes.CDLL(str(engine))
        self.ours.sdcpu_accel_test_compute.restype = ctypes.c_char_p
        for function in (self.ours.sdcpu_accel_variant, self.ours.sdcpu_accel_problem):
            function.argtypes, function.restype = [ctypes.c_char_p], ctypes.c_char_p
        self.path = str(engine).encode()
        self.ours.sdcpu_accel_variant(self.path)
        self.backend = ctypes.c_void_p(self.call("ggml_backend_cpu_init"))

    def call(self, name: str, *arguments: Any, returns: Any = ctypes.c_void_p) -> Any:
        """Call a function of the engine: integers of any width, floats, pointers and tensors."""
        function = self.engine[name]
        function.restype = returns
        return function(*[_as_c(argument) for argument in arguments])

    def can_choose(self, variant: str) -> bool:
        """From now on compute with these kernels, or with the engine's own ("off"), if possible."""
        nothing = ctypes.c_void_p()
        chosen = self.ours.sdcpu_accel_test_compute(variant.encode(), nothing, 0, 1, nothing)
        problem = self.ours.sdcpu_accel_problem(self.path).decode()
        assert not problem, problem
        return bool(chosen == variant.encode())


def _as_c(argument: Any) -> Any:
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    return argument


def engine_path() -> Path:
    """The engine's library, found without importing the binding."""
    found = importlib.util.find_spec("stable_diffusion_cpp")
    if found is None or found.origin is None:
        pytest.skip("the binding is not installed")
    return next((Path(found.origin).parent / "lib").glob("libstable-diffusion*"))


@cache
def libraries() -> Libraries:
    """Load both libraries once; the test is skipped where one of them is missing."""
    return Libraries(library_file(), engine_path())


def usable_variants() -> list[str]:
    """The kernels that this processor runs."""
    return [variant for variant in VARIANTS if libraries().can_choose(variant)]


def require(variant: str) -> None:
    """Skip the test where this processor lacks the kernels."""
    if not libraries().can_choose(variant):
        pytest.skip(f"this processor has no {variant} kernels")


class Graph:
    """One graph: make leaves, call the engine's functions on them, then compute outputs."""

    def __init__(self) -> None:
        self._libraries = libraries()
        self._leaves = self._context()
        self._nodes = self._context()
        self._contents: list[tuple[Handle, Array]] = []
        self._buffer: Any = None
        self._allocator: Any = None
        self._graph: Any = None
        self.outputs: list[Handle] = []

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *_: object) -> None:
        call = self._libraries.call
        if self._allocator is not None:
            call("ggml_gallocr_free", self._allocator, returns=None)
            call("ggml_backend_buffer_free", ctypes.c_void_p(self._buffer), returns=None)
        call("ggml_free", self._nodes, returns=None)
        call("ggml_free", self._leaves, returns=None)

    def leaf(self, values: Array, kind: str = "f32", *, in_graph: bool = False) -> Handle:
        """A tensor of values or weights; `in_graph`: in memory that later operations may reuse.

        Args:
            values: what it holds; quantised kinds are given as values, too, in f64 or f32.
        """
        raw, _ = quantised_bytes(values, kind)
        sizes = [*values.shape[::-1], 1, 1, 1][:4]
        context = self._nodes if in_graph else self._leaves
        tensor = self._tensor("ggml_new_tensor_4d", context, TYPES[kind], *sizes)
        if in_graph:
            self._libraries.call("ggml_set_input", tensor, returns=None)
        self._contents.append((tensor, np.ascontiguousarray(raw)))
        return tensor

    def integers(self, values: Array) -> Handle:
        """A row of 32-bit integers."""
        i32 = 26
        tensor = self._tensor("ggml_new_tensor_4d", self._leaves, i32, len(values), 1, 1, 1)
        self._contents.append((tensor, values.astype(np.int32)))
        return tensor

    def do(self, name: str, *arguments: Any) -> Handle:
        """The result of an operation: the engine's function `ggml_NAME`."""
        return self._tensor(f"ggml_{name}", self._nodes, *arguments)

    def ask_for_precision(self, product: Handle) -> None:
        """Say that this product must not be rounded, as the engine says of scores."""
        precision_f32 = 10
        self._libraries.call("ggml_mul_mat_set_prec", product, precision_f32, returns=None)

    def output(self, tensor: Handle) -> None:
        """Keep the values of this tensor to the end."""
        self._libraries.call("ggml_set_output", tensor, returns=None)
        self.outputs.append(tensor)

    def compute(self, variant: str, threads: int = 1, *, disturbed: float = 0) -> list[Array]:
        """Compute all outputs with these kernels, "off" for the engine's own.

        Args:
            disturbed: by which part of itself every value of a leaf of f32 is changed at random.
        """
        assert self.run(variant, threads, disturbed=disturbed) == 0
        return [self.values(tensor) for tensor in self.outputs]

    def run(self, variant: str, threads: int = 1, *, disturbed: float = 0) -> int:
        """Compute, and return the engine's `enum ggml_status`: 0 done, 1 cancelled."""
        call = self._libraries.call
        if self._graph is None:
            self._build()
        assert self._libraries.can_choose(variant), f"this processor has no {variant} kernels"
        for tensor, raw in self._contents:
            if not tensor.contents.data:  # nothing reads it
                continue
            changed = raw
            if disturbed and raw.dtype == np.float32:
                changed = _disturbed(raw, disturbed)
            ctypes.memmove(tensor.contents.data, changed.ctypes.data, changed.nbytes)
        call("ggml_backend_cpu_set_n_threads", self._libraries.backend, threads, returns=None)
        return int(
            self._libraries.ours.ggml_backend_graph_compute(self._libraries.backend, self._graph)
        )

    def values(self, tensor: Handle) -> Array:
        """What a contiguous tensor of f32 or f16 holds; slowest dimension first."""
        struct = tensor.contents
        shape = tuple(struct.ne[::-1])
        kind = np.dtype(_NUMPY_TYPES[struct.type])
        raw = ctypes.string_at(struct.data, int(np.prod(shape)) * kind.itemsize)
        return np.frombuffer(raw, kind).reshape(shape).copy()

    def _build(self) -> None:
        call = self._libraries.call
        self._graph = ctypes.c_void_p(call("ggml_new_graph_custom", self._nodes, _MOST_NODES, 0))
        for tensor in self.outputs:
            call("ggml_build_forward_expand", self._graph, tensor, returns=None)
        backend = self._libraries.backend
        self._buffer = call("ggml_backend_alloc_ctx_tensors", self._leaves, backend)
        kind = ctypes.c_void_p(call("ggml_backend_cpu_buffer_type"))
        self._allocator = ctypes.c_void_p(call("ggml_gallocr_new", kind))
        allocated = call(
            "ggml_gallocr_alloc_graph", self._allocator, self._graph, returns=ctypes.c_bool
        )
        assert allocated

    def _context(self) -> Any:
        size = _MOST_NODES * 4 * ctypes.sizeof(CTensor)
        return ctypes.c_void_p(self._libraries.call("ggml_init", _InitParams(size, None, True)))

    def _tensor(self, function: str, *arguments: Any) -> Handle:
        return self._libraries.call(function, *arguments, returns=ctypes.POINTER(CTensor))


def _disturbed(values: Array, part: float) -> Array:
    noise = np.random.default_rng(1).standard_normal(values.shape)
    return (values * (1 + part * noise)).astype(np.float32)


def shape_of(tensor: Handle) -> tuple[int, int, int, int]:
    """Elements along each dimension, as the engine counts: fastest first."""
    a, b, c, d = tensor.contents.ne
    return int(a), int(b), int(c), int(d)


def strides_of(tensor: Handle) -> Sequence[int]:
    """Bytes from one element to the next along each dimension, fastest first."""
    return [int(stride) for stride in tensor.contents.nb]
