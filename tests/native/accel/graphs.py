"""Operations of ggml made by hand, computed by the library without an engine."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest

from sdcpu.accel import library_path

Array = npt.NDArray[Any]

VARIANTS = ("avx2", "avx512", "neon", "bf16", "int8", "avx2-int8")
"""The kernels that can be chosen; "avx2-int8" are those for AVX-VNNI, encoded for AVX-512."""
TYPES = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "q4_k": 12,
    "q5_k": 13,
    "q6_k": 14,
    "bf16": 30,
}
OPERATIONS = {
    "none": 0,
    "add": 2,
    "mul": 7,
    "repeat": 20,
    "concat": 22,
    "norm": 24,
    "rms_norm": 25,
    "group_norm": 27,
    "mul_mat": 29,
    "scale": 32,
    "cont": 35,
    "reshape": 36,
    "view": 37,
    "soft_max": 46,
    "im2col_3d": 54,
    "conv_2d": 55,
    "upscale": 62,
    "pad": 63,
    "leaky_relu": 70,
    "flash_attn": 73,
    "unary": 86,
}
UNARIES = {"relu": 6, "gelu": 8, "gelu_quick": 9, "silu": 10}
COMPUTE = 16


class CTensor(ctypes.Structure):
    """struct ggml_tensor of ggml_abi.h."""


_Pointer = ctypes.POINTER(CTensor)
CTensor._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", _Pointer * 10),
    ("view_src", _Pointer),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
    ("extra", ctypes.c_void_p),
    ("padding", ctypes.c_char * 8),
]


class Tensor:
    """A tensor over a numpy array; shapes are written as numpy does, slowest dimension first."""

    def __init__(self, array: Array, kind: str = "f32", shape: Sequence[int] = ()) -> None:
        self.array = array
        self.shape = tuple(shape) or array.shape
        self.struct = CTensor()
        struct = self.struct
        struct.type = TYPES[kind]
        sizes = self.shape[::-1]
        strides = array.strides[::-1]
        for i in range(4):
            struct.ne[i] = sizes[i] if i < len(sizes) else 1
            if i < len(strides):
                struct.nb[i] = strides[i]
            else:
                struct.nb[i] = struct.nb[i - 1] * (
                    struct.ne[i - 1] if kind in _PLAIN or i > 1 else 1
                )
        if kind not in _PLAIN:  # rows of bytes: nb[0] is the size of a block
            block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(TYPES[kind])]
            struct.nb[0] = size
            if len(strides) == 1:
                struct.nb[1] = size * (sizes[0] // block)
            for i in range(max(len(strides), 2), 4):
                struct.nb[i] = struct.nb[i - 1] * struct.ne[i - 1]
        struct.data = array.ctypes.data
        self.sources: tuple[Tensor, ...] = ()

    def operation(
        self, name: str, sources: "Sequence[Tensor | None]", parameters: Sequence[int | float] = ()
    ) -> "Tensor":
        """Make this tensor the result of an operation."""
        self.struct.op = OPERATIONS[name]
        self.struct.flags = COMPUTE
        self.sources = tuple(source for source in sources if source is not None)
        for i, source in enumerate(sources):
            if source is not None:
                self.struct.src[i] = ctypes.pointer(source.struct)
        for i, value in enumerate(parameters):
            bits = np.float32(value).view(np.int32) if isinstance(value, float) else value
            self.struct.op_params[i] = int(bits)
        return self

    def viewing(self, whole: "Tensor") -> "Tensor":
        """Say that this tensor is a part of another one."""
        self.struct.view_src = ctypes.pointer(whole.struct)
        self._whole = whole
        return self


_PLAIN = ("f32", "f16", "bf16")


def result(*shape: int) -> Tensor:
    """A tensor for a result; what an operation does not write is not a number."""
    return Tensor(np.full(shape, np.nan, np.float32))


def in_place(of: Tensor) -> Tensor:
    """A tensor over the same memory, for an operation that overwrites its first operand."""
    return Tensor(of.array)


def library_file() -> Path:
    """The library under test: SDCPU_ACCEL_TEST_LIBRARY, or the installed one."""
    path = os.environ.get("SDCPU_ACCEL_TEST_LIBRARY") or library_path()
    if path is None:
        pytest.skip("the native library was not built: no C++ compiler, or not Linux")
    return Path(path)


def library() -> ctypes.CDLL:
    """The library under test, loaded."""
    loaded = ctypes.CDLL(str(library_file()))
    loaded.sdcpu_accel_test_compute.restype = ctypes.c_char_p
    return loaded


def compute(variant: str, nodes: Sequence[Tensor], threads: int = 1) -> list[int]:
    """Compute the nodes: 1 for each where a kernel ran, 2 where another did its work, else 0."""
    pointers = (_Pointer * len(nodes))(*(ctypes.pointer(node.struct) for node in nodes))
    computed = (ctypes.c_int * len(nodes))()
    chosen = library().sdcpu_accel_test_compute(
        variant.encode(), pointers, len(nodes), threads, computed
    )
    if chosen != variant.encode():
        pytest.skip(f"this processor has no {variant} kernels")
    return list(computed)


def quantised(values: Array, kind: str) -> tuple[Tensor, Array]:
    """A tensor of this type with about these values, and the values that it holds exactly."""
    raw, exact = quantised_bytes(values, kind)
    return Tensor(raw, kind, values.shape), exact


def quantised_bytes(values: Array, kind: str) -> tuple[Array, Array]:
    """About these values as a tensor of this type holds them, and what it then holds exactly."""
    if kind in ("f32", "f16"):
        plain = values.astype(np.float32 if kind == "f32" else np.float16)
        return plain, plain.astype(np.float64)
    number = gguf.GGMLQuantizationType(TYPES[kind])
    if kind.endswith("_k"):
        raw: Array = _random_blocks(values, kind)
    else:
        raw = gguf.quants.quantize(values.astype(np.float32), number)
    exact = gguf.quants.dequantize(raw, number).reshape(values.shape).astype(np.float64)
    if kind == "bf16":
        return raw.view(np.uint16).reshape(values.shape), exact
    return raw, exact


def _random_blocks(values: Array, kind: str) -> npt.NDArray[np.uint8]:
    """Blocks of 256 with random bits; gguf only reads these types."""
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(TYPES[kind])]
    generator = np.random.default_rng(abs(int(values.flat[0] * 1e6)))
    rows, columns = int(np.prod(values.shape[:-1])), values.shape[-1]
    raw = generator.integers(0, 256, (rows, columns // block, size), np.uint8)
    scales = generator.uniform(0.001, 0.01, (rows, columns // block, 2)).astype(np.float16)
    if kind == "q6_k":
        raw[:, :, 208:210] = scales[:, :, :1].view(np.uint8)
    else:
        raw[:, :, :4] = scales.view(np.uint8)
    return raw.reshape(*values.shape[:-1], columns // block * size)


def relative_error(got: Array, wanted: Array) -> float:
    """The length of the difference as a part of the length of what is wanted."""
    error = float(np.linalg.norm((got.astype(np.float64) - wanted).ravel()))
    return error / max(float(np.linalg.norm(wanted.ravel())), 1e-30)
