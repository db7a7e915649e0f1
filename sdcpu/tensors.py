"""Tensors as weights files describe them: name, shape, type and bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_DIMENSIONS = 5
"""SD_MAX_DIMS of stable-diffusion.cpp's tensor_storage.h."""
MAX_TENSORS = 65_536
"""Far more than any known model has (about 3,000)."""
MAX_NAME_BYTES = 1024


class DamagedFileError(Exception):
    """The content breaks the rules of its format; the text says which, without naming the file."""


class UnknownTypeError(Exception):
    """The content is sound, and a tensor has a type that the engine cannot read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One tensor of a weights file."""

    name: str
    shape: tuple[int, ...]
    """As torch writes it: the dimension that varies slowest comes first."""
    type: str
    """Lower case: "f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", …"""
    size: int
    """Bytes in the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorType:
    """How the values of a tensor are stored: in blocks of so many values, so many bytes each."""

    name: str
    block_values: int
    block_bytes: int


GGUF_TYPES: dict[int, TensorType] = {
    number: TensorType(name=name, block_values=values, block_bytes=size)
    for number, name, values, size in (
        (0, "f32", 1, 4),
        (1, "f16", 1, 2),
        (2, "q4_0", 32, 18),
        (3, "q4_1", 32, 20),
        (6, "q5_0", 32, 22),
        (7, "q5_1", 32, 24),
        (8, "q8_0", 32, 34),
        (9, "q8_1", 32, 36),
        (10, "q2_k", 256, 84),
        (11, "q3_k", 256, 110),
        (12, "q4_k", 256, 144),
        (13, "q5_k", 256, 176),
        (14, "q6_k", 256, 210),
        (15, "q8_k", 256, 292),
        (16, "iq2_xxs", 256, 66),
        (17, "iq2_xs", 256, 74),
        (18, "iq3_xxs", 256, 98),
        (19, "iq1_s", 256, 50),
        (20, "iq4_nl", 32, 18),
        (21, "iq3_s", 256, 110),
        (22, "iq2_s", 256, 82),
        (23, "iq4_xs", 256, 136),
        (24, "i8", 1, 1),
        (25, "i16", 1, 2),
        (26, "i32", 1, 4),
        (27, "i64", 1, 8),
        (28, "f64", 1, 8),
        (29, "iq1_m", 256, 56),
        (30, "bf16", 1, 2),
        (34, "tq1_0", 256, 54),
        (35, "tq2_0", 256, 66),
        (39, "mxfp4", 32, 17),
        (40, "nvfp4", 64, 36),
    )
}
"""Tensor types by their number in GGUF files (enum ggml_type of ggml.h)."""

SAFETENSORS_TYPES: dict[str, TensorType] = {
    dtype: TensorType(name=name, block_values=1, block_bytes=size)
    for dtype, name, size in (
        ("F64", "f64", 8),
        ("F32", "f32", 4),
        ("F16", "f16", 2),
        ("BF16", "bf16", 2),
        ("F8_E4M3", "f8_e4m3", 1),
        ("F8_E5M2", "f8_e5m2", 1),
        ("I64", "i64", 8),
        ("I32", "i32", 4),
        ("U8", "u8", 1),
    )
}
"""What the engine reads from safetensors files (safetensors_io.cpp); it skips U8 tensors."""


def tensor_size(shape: tuple[int, ...], kind: TensorType) -> int:
    """Bytes of a tensor.

    Raises:
        DamagedFileError: a row does not fill its blocks, or there are more values than
            a file can hold.

    >>> tensor_size((320, 64), GGUF_TYPES[8])  # q8_0: 34 bytes for 32 values
    21760
    """
    values = math.prod(shape)
    if values >= 2**62:
        raise DamagedFileError(f"it says {values} values")
    if shape and shape[-1] % kind.block_values:
        raise DamagedFileError(
            f"its rows have {shape[-1]} values, no multiple of {kind.block_values} as"
            f" {kind.name} needs"
        )
    return values // kind.block_values * kind.block_bytes


def check_tensor_name(name: str) -> None:
    """Refuse names that native code would cut short or choke on.

    Raises:
        DamagedFileError: the name is empty, too long, holds a NUL or is not valid Unicode.
    """
    if not name or "\0" in name:
        raise DamagedFileError("a tensor has no proper name")
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise DamagedFileError("a tensor's name is not valid Unicode") from error
    if length > MAX_NAME_BYTES:
        raise DamagedFileError(f"a tensor's name has {length} bytes")
