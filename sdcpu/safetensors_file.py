"""The header of a safetensors file, read and checked without native code.

The format: https://huggingface.co/docs/safetensors/index. A length (8 bytes, little-endian), that
many bytes of JSON, then the values, which the tensors must cover without gap or overlap.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from typing import Any, BinaryIO

from sdcpu.tensors import (
    MAX_DIMENSIONS,
    MAX_TENSORS,
    SAFETENSORS_TYPES,
    DamagedFileError,
    TensorInfo,
    UnknownTypeError,
    check_tensor_name,
    tensor_size,
)

MAX_HEADER_BYTES = 32 * 1024 * 1024
"""The format allows 100 MB; the largest known headers have less than 1 MB."""
_LENGTH = struct.Struct("<Q")


def looks_like_safetensors(beginning: bytes) -> bool:
    """Whether a file that begins like this can only be meant as a safetensors file."""
    return beginning[_LENGTH.size : _LENGTH.size + 1] == b"{"


def read_safetensors(file: BinaryIO, size: int) -> tuple[dict[str, object], tuple[TensorInfo, ...]]:
    """Read metadata and tensors of a safetensors file of `size` bytes from its beginning.

    Raises:
        DamagedFileError: what is wrong, said without the file's name.
        UnknownTypeError: a tensor's type.
    """
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    if length > MAX_HEADER_BYTES:
        raise DamagedFileError(f"it says its header has {length} bytes")
    if length > size - _LENGTH.size:
        raise DamagedFileError("it ends inside its header")
    entries = _parse(file.read(length))
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise DamagedFileError("its metadata is not a table of texts")
    if len(entries) > MAX_TENSORS:
        raise DamagedFileError(f"it says it has {len(entries)} tensors")
    placed = [_tensor(name, entry) for name, entry in entries.items()]
    _check_places(placed, size - _LENGTH.size - length)
    return metadata, tuple(info for info, _ in placed)


def _parse(header: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(
            header.decode(), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"its header is not proper JSON ({error})") from error
    if not isinstance(entries, dict):
        raise DamagedFileError("its header is not a JSON object")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise DamagedFileError(f"its header has {counts.most_common(1)[0][0]} twice")
    return entries


def _no_constant(name: str) -> None:
    raise DamagedFileError(f"its header has the number {name}")


def _tensor(name: str, entry: object) -> tuple[TensorInfo, int]:
    """A tensor and where its values begin, counted from the beginning of the data."""
    check_tensor_name(name)
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise DamagedFileError(f"tensor {name} is not described by dtype, shape and data_offsets")
    kind = SAFETENSORS_TYPES.get(str(entry["dtype"]))
    if kind is None:
        raise UnknownTypeError(f"tensor {name} has the unknown type {str(entry['dtype'])[:20]}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _whole_numbers(shape) or len(shape) > MAX_DIMENSIONS:
        raise DamagedFileError(f"tensor {name} has the impossible shape {str(shape)[:80]}")
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise DamagedFileError(f"tensor {name} has the impossible place {str(offsets)[:80]}")
    begin, end = offsets
    try:
        size = tensor_size(tuple(shape), kind)
    except DamagedFileError as error:
        raise DamagedFileError(f"tensor {name} cannot be right: {error}") from error
    if end - begin != size:
        raise DamagedFileError(f"tensor {name} needs {size} bytes and is given {end - begin}")
    return TensorInfo(name=name, shape=tuple(shape), type=kind.name, size=size), begin


def _whole_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**62 for v in values)


def _check_places(placed: list[tuple[TensorInfo, int]], data_size: int) -> None:
    end, before = 0, "the beginning"
    for info, begin in sorted(placed, key=lambda place: (place[1], place[1] + place[0].size)):
        if begin < end:
            raise DamagedFileError(f"tensors {before} and {info.name} overlap")
        if begin > end:
            raise DamagedFileError(f"{begin - end} bytes before tensor {info.name} are no tensor's")
        end, before = begin + info.size, info.name
    if end > data_size:
        raise DamagedFileError(f"it ends {end - data_size} bytes before the end of its tensors")
    if end < data_size:
        raise DamagedFileError(f"{data_size - end} bytes follow after the last tensor")
