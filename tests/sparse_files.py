"""Weights files of true shape and size that take no room on the disk: their values are a hole."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path

from tests.bad_files import gguf, tensor

Shapes = Iterable[tuple[str, tuple[int, ...]]]
"""Names of tensors and their shapes, the slowest axis first."""


def write_sparse(path: Path, shapes: Shapes) -> Path:
    """Write a header of f16 tensors and nothing else; as safetensors if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = {name: (shape, 2 * math.prod(shape)) for name, shape in shapes}
    head, end = _safetensors(sizes) if path.suffix == ".safetensors" else _gguf(sizes)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + end)
    return path


def _gguf(sizes: dict[str, tuple[tuple[int, ...], int]]) -> tuple[bytes, int]:
    described, end = [], 0
    for name, (shape, size) in sizes.items():
        described.append(tensor(name, shape[::-1] or (1,), offset=end))
        end += -(-size // 32) * 32
    return gguf(*described, data=0), end


def _safetensors(sizes: dict[str, tuple[tuple[int, ...], int]]) -> tuple[bytes, int]:
    header, end = {}, 0
    for name, (shape, size) in sizes.items():
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text, end
