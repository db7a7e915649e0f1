"""The header of a GGUF file, read and checked without native code.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. What would end the engine's
process or lead it outside the file is refused here, such as an alignment that is no u32 (an assert
in gguf.cpp) or a dimension of 0 (a division by zero there).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from sdcpu.tensors import (
    GGUF_TYPES,
    MAX_DIMENSIONS,
    MAX_TENSORS,
    DamagedFileError,
    TensorInfo,
    UnknownTypeError,
    check_tensor_name,
    tensor_size,
)

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
MAX_ENTRIES = 65_536
"""Metadata entries; files have about 30."""
MAX_STRING_BYTES = 16 * 1024 * 1024
"""The longest known ones, chat templates and vocabularies as one text, have less than 4 MiB."""
MAX_STRINGS = 2_000_000
"""Strings in arrays, in the whole file; the largest vocabularies with merges have 800,000."""
MAX_KEPT_ELEMENTS = 1024
"""Longer arrays, such as vocabularies, are checked and not kept."""

_UINT32, _STRING, _ARRAY = 4, 8, 9
_SCALARS = {
    number: struct.Struct("<" + letter)
    for number, letter in (
        *((0, "B"), (1, "b"), (2, "H"), (3, "h"), (_UINT32, "I"), (5, "i"), (6, "f")),
        *((7, "?"), (10, "Q"), (11, "q"), (12, "d")),
    )
}
"""Metadata values by their type's number; 8 is text, 9 an array."""
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SMALLEST_ENTRY = 8 + 1 + 4 + 1
"""Bytes: a key's length, a key of one letter, a type, a value of one byte."""
_SMALLEST_TENSOR = 8 + 1 + 4 + 4 + 8
"""Bytes: a name's length, a name of one letter, number of dimensions, type, offset."""


def read_gguf(file: BinaryIO, size: int) -> tuple[dict[str, object], tuple[TensorInfo, ...]]:
    """Read metadata and tensors of a GGUF file of `size` bytes; the file stands at its beginning.

    Raises:
        DamagedFileError: what is wrong, said without the file's name.
        UnknownTypeError: a tensor's type.
    """
    reader = _Reader(file, size)
    reader.take(len(MAGIC), "the magic")
    _check_version(reader.number(_U32, "the version"))
    tensor_count = reader.number(_U64, "the number of tensors")
    entry_count = reader.number(_U64, "the number of metadata entries")
    _check_count("tensors", tensor_count, MAX_TENSORS, _SMALLEST_TENSOR, size)
    _check_count("metadata entries", entry_count, MAX_ENTRIES, _SMALLEST_ENTRY, size)
    metadata = reader.metadata(entry_count)
    alignment = _alignment(metadata)
    placed = [reader.tensor() for _ in range(tensor_count)]
    data_start = -(-reader.position // alignment) * alignment
    _check_places(placed, data_start, alignment, size)
    return metadata, tuple(info for info, _ in placed)


def _check_version(version: int) -> None:
    if version & 0xFFFF == 0:
        raise DamagedFileError("it was written for machines of the other byte order")
    if version not in (2, 3):
        raise DamagedFileError(f"it has GGUF version {version}; only 2 and 3 can be read")


def _check_count(what: str, count: int, limit: int, smallest: int, size: int) -> None:
    """Refuse counts the file cannot hold before anything is read or allocated for them."""
    if count > limit or count * smallest > size:
        raise DamagedFileError(f"it says it has {count} {what}")


def _alignment(metadata: dict[str, object]) -> int:
    alignment = metadata.get("general.alignment", _Unsigned32(DEFAULT_ALIGNMENT))
    if not isinstance(alignment, _Unsigned32) or alignment <= 0 or alignment & (alignment - 1):
        raise DamagedFileError(f"its alignment is {alignment!r}, not a power of two")
    return alignment


def _check_places(
    placed: list[tuple[TensorInfo, int]], data_start: int, alignment: int, size: int
) -> None:
    names: set[str] = set()
    for info, offset in placed:
        if info.name in names:
            raise DamagedFileError(f"it has two tensors named {info.name}")
        names.add(info.name)
        if offset % alignment:
            raise DamagedFileError(f"tensor {info.name} is not aligned to {alignment} bytes")
        missing = data_start + offset + info.size - size
        if missing > 0:
            raise DamagedFileError(f"it ends {missing} bytes before the end of tensor {info.name}")
    end, before = 0, ""
    for info, offset in sorted(placed, key=lambda place: place[1]):
        if offset < end:
            raise DamagedFileError(f"tensors {before} and {info.name} overlap")
        end, before = offset + info.size, info.name


class _Unsigned32(int):
    """A metadata value stored as u32, the only type that gguf.cpp takes for the alignment."""


@dataclass(slots=True)
class _Reader:
    """Reads forward through a file and never past its end."""

    file: BinaryIO
    size: int
    position: int = 0
    strings_in_arrays: int = 0

    def take(self, length: int, what: str) -> bytes:
        data = self.file.read(length) if length <= self.size - self.position else b""
        if len(data) < length:
            raise DamagedFileError(f"it ends inside {what}")
        self.position += length
        return data

    def number(self, kind: struct.Struct, what: str) -> int:
        value: int = kind.unpack(self.take(kind.size, what))[0]
        return value

    def raw_text(self, what: str) -> bytes:
        length = self.number(_U64, what)
        if length > MAX_STRING_BYTES:
            raise DamagedFileError(f"{what} has {length} bytes")
        return self.take(length, what)

    def name(self, what: str) -> str:
        try:
            return self.raw_text(what).decode()
        except UnicodeDecodeError as error:
            raise DamagedFileError(f"{what} is not valid UTF-8") from error

    def text(self, what: str) -> str:
        """A text among the metadata; vocabularies hold broken pieces of UTF-8."""
        return self.raw_text(what).decode(errors="replace")

    def metadata(self, count: int) -> dict[str, object]:
        """All entries; arrays longer than MAX_KEPT_ELEMENTS are left out."""
        metadata: dict[str, object] = {}
        seen: set[str] = set()
        for _ in range(count):
            key = self.name("a metadata key")
            if not key:
                raise DamagedFileError("its metadata has an empty key")
            if key in seen:
                raise DamagedFileError(f"its metadata has {key} twice")
            seen.add(key)
            value = self.value(self.number(_U32, f"metadata {key}"), f"metadata {key}")
            if value is not None:
                metadata[key] = value
        return metadata

    def value(self, kind: int, what: str) -> object:
        if kind == _STRING:
            return self.text(what)
        if kind == _ARRAY:
            return self.array(what)
        if kind not in _SCALARS:
            raise DamagedFileError(f"{what} has the unknown type {kind}")
        (value,) = _SCALARS[kind].unpack(self.take(_SCALARS[kind].size, what))
        return _Unsigned32(value) if kind == _UINT32 else value

    def array(self, what: str) -> tuple[object, ...] | None:
        kind = self.number(_U32, what)
        count = self.number(_U64, what)
        if kind == _STRING:
            return self.array_of_text(count, what)
        if kind not in _SCALARS:
            raise DamagedFileError(f"{what} is an array of the unusable type {kind}")
        length = count * _SCALARS[kind].size
        if count > MAX_KEPT_ELEMENTS:
            self.skip(length, what)
            return None
        return tuple(item for (item,) in _SCALARS[kind].iter_unpack(self.take(length, what)))

    def array_of_text(self, count: int, what: str) -> tuple[str, ...] | None:
        self.strings_in_arrays += count
        if self.strings_in_arrays > MAX_STRINGS or count * _U64.size > self.size - self.position:
            raise DamagedFileError(f"{what} says it has {count} texts")
        if count <= MAX_KEPT_ELEMENTS:
            return tuple(self.text(what) for _ in range(count))
        for _ in range(count):
            self.skip(self.number(_U64, what), what)
        return None

    def skip(self, length: int, what: str) -> None:
        if length > self.size - self.position:
            raise DamagedFileError(f"it ends inside {what}")
        self.file.seek(length, 1)
        self.position += length

    def tensor(self) -> tuple[TensorInfo, int]:
        """The next tensor and where its values begin, counted from the beginning of the data."""
        name = self.name("a tensor's name")
        check_tensor_name(name)
        what = f"tensor {name}"
        dimensions = self.number(_U32, what)
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise DamagedFileError(f"{what} has {dimensions} dimensions")
        shape = tuple(self.number(_U64, what) for _ in range(dimensions))[::-1]
        if 0 in shape:
            raise DamagedFileError(f"{what} has a dimension of 0")
        number = self.number(_U32, what)
        if number not in GGUF_TYPES:
            raise UnknownTypeError(f"{what} has the unknown type {number}")
        kind = GGUF_TYPES[number]
        offset = self.number(_U64, what)
        try:
            size = tensor_size(shape, kind)
        except DamagedFileError as error:
            raise DamagedFileError(f"{what} cannot be right: {error}") from error
        return TensorInfo(name=name, shape=shape, type=kind.name, size=size), offset
