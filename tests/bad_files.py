"""Model files that must be refused, and how each is made."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Maker = Callable[[Path], None]

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
F16, Q8_0 = 1, 8


def text(value: str | bytes) -> bytes:
    """A GGUF string."""
    data = value if isinstance(value, bytes) else value.encode()
    return U64.pack(len(data)) + data


def entry(key: str | bytes, kind: int, value: bytes) -> bytes:
    """A GGUF metadata entry; 4 is u32, 8 text, 9 an array, 10 u64."""
    return text(key) + U32.pack(kind) + value


def tensor(
    name: str | bytes = "a", shape: Sequence[int] = (32,), kind: int = F16, offset: int = 0
) -> bytes:
    """A GGUF tensor's description; the shape as GGUF has it, fastest dimension first."""
    sizes = b"".join(U64.pack(size) for size in shape)
    return text(name) + U32.pack(len(shape)) + sizes + U32.pack(kind) + U64.pack(offset)


def gguf(
    *tensors: bytes,
    entries: Sequence[bytes] = (),
    magic: bytes = b"GGUF",
    version: int = 3,
    tensor_count: int | None = None,
    entry_count: int | None = None,
    data: int = 64,
) -> bytes:
    """A GGUF file with `data` bytes of values."""
    counts = (
        len(tensors) if tensor_count is None else tensor_count,
        len(entries) if entry_count is None else entry_count,
    )
    head = magic + U32.pack(version) + b"".join(U64.pack(count) for count in counts)
    head += b"".join(entries) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data)


def safetensors(header: object, data: int = 4, *, length: int | None = None) -> bytes:
    """A safetensors file; the header is bytes or becomes JSON."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return U64.pack(len(head) if length is None else length) + head + bytes(data)


def described(**changes: Any) -> dict[str, Any]:
    """The header of a safetensors file with one tensor, "a"."""
    return {"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]} | changes}


def content(data: bytes) -> Maker:
    """A maker that writes these bytes."""

    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def nothing(path: Path) -> None:
    """The file stays missing."""


def folder_without_unet_file(path: Path) -> None:
    (path / "unet").mkdir(parents=True)
    (path / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"x")


def folder_in_pieces(path: Path) -> None:
    unet = path / "unet"
    unet.mkdir(parents=True)
    piece = "diffusion_pytorch_model-00001-of-00001.safetensors"
    (unet / piece).write_bytes(safetensors(described()))
    index = unet / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": piece}}))


def symbolic_circle(path: Path) -> None:
    path.symlink_to(path)


_TWO = (tensor("a", (32,)), tensor("b", (32,), offset=64))

BAD_FILES: list[tuple[str, Maker, str]] = [
    # not a file that could be read
    ("missing", nothing, "does not exist"),
    ("empty", content(b""), "is empty"),
    ("folder", Path.mkdir, "is a folder"),
    ("pipe", os.mkfifo, "not an ordinary file"),
    ("symbolic-circle", symbolic_circle, "cannot be read"),
    ("folder-without-unet-file", folder_without_unet_file, "lacks diffusion_pytorch_model"),
    ("folder-in-pieces", folder_in_pieces, "cut into several files"),
    # something else than weights
    ("one-byte", content(b"G"), "only 1 bytes"),
    ("text", content(b"These are not weights, only words and words."), "neither a GGUF nor"),
    ("zeros", content(bytes(4096)), "neither a GGUF nor"),
    ("web-page", content(b"<!DOCTYPE html><html><body>Log in first</body></html>"), "a web page"),
    ("lfs-pointer", content(b"version https://git-lfs.github.com/spec/v1\noid"), "Git LFS"),
    ("png", content(b"\x89PNG\r\n\x1a\n" + bytes(64)), "a picture"),
    ("old-ggml", content(b"lmgg" + bytes(64)), "old GGML"),
    ("other-byte-order", content(gguf(tensor(), magic=b"FUGG")), "other byte order"),
    ("pickle", content(b"\x80\x02}q\x00." + bytes(64)), "pickled checkpoint"),
    ("pickle-in-zip", content(b"PK\x03\x04" + bytes(64)), "pickled checkpoint"),
    # GGUF: its beginning
    ("gguf-only-magic", content(b"GGUF"), "ends inside the version"),
    ("gguf-version-0", content(gguf(tensor(), version=0)), "byte order"),
    ("gguf-version-1", content(gguf(tensor(), version=1)), "GGUF version 1"),
    ("gguf-version-4", content(gguf(tensor(), version=4)), "GGUF version 4"),
    ("gguf-version-swapped", content(gguf(tensor(), version=0x03000000)), "byte order"),
    ("gguf-without-counts", content(gguf(tensor())[:12]), "ends inside the number of tensors"),
    ("gguf-no-tensors", content(gguf()), "no tensors"),
    ("gguf-2**60-tensors", content(gguf(tensor(), tensor_count=2**60)), "tensors"),
    ("gguf-2**64-tensors", content(gguf(tensor(), tensor_count=2**64 - 1)), "tensors"),
    ("gguf-2**60-entries", content(gguf(tensor(), entry_count=2**60)), "metadata entries"),
    ("gguf-one-tensor-more", content(gguf(tensor(), tensor_count=2)), "tensor"),
    # GGUF: metadata
    ("gguf-key-too-long", content(gguf(entries=[U64.pack(2**40)])), "has 1099511627776 bytes"),
    ("gguf-key-cut", content(gguf(entries=[U64.pack(9999)])), "ends inside a metadata key"),
    ("gguf-key-empty", content(gguf(entries=[entry("", 4, U32.pack(1))])), "an empty key"),
    ("gguf-key-not-utf8", content(gguf(entries=[entry(b"\xff", 4, U32.pack(1))])), "UTF-8"),
    ("gguf-key-twice", content(gguf(entries=[entry("k", 4, U32.pack(1))] * 2)), "k twice"),
    ("gguf-value-type", content(gguf(entries=[entry("k", 13, U32.pack(1))])), "unknown type 13"),
    ("gguf-value-cut", content(gguf(entries=[entry("k", 8, U64.pack(5000))])), "ends inside"),
    (
        "gguf-array-in-array",
        content(gguf(entries=[entry("k", 9, U32.pack(9) + U64.pack(1) + bytes(64))])),
        "an array of the unusable type 9",
    ),
    (
        "gguf-2**60-numbers",
        content(gguf(entries=[entry("k", 9, U32.pack(4) + U64.pack(2**60))])),
        "ends inside metadata k",
    ),
    (
        "gguf-2**60-texts",
        content(gguf(entries=[entry("k", 9, U32.pack(8) + U64.pack(2**60))])),
        "texts",
    ),
    (
        "gguf-alignment-0",
        content(gguf(tensor(), entries=[entry("general.alignment", 4, U32.pack(0))])),
        "alignment is 0",
    ),
    (
        "gguf-alignment-48",
        content(gguf(tensor(), entries=[entry("general.alignment", 4, U32.pack(48))])),
        "alignment is 48",
    ),
    (
        "gguf-alignment-u64",
        content(gguf(tensor(), entries=[entry("general.alignment", 10, U64.pack(32))])),
        "alignment is 32",
    ),
    # GGUF: tensors
    ("gguf-name-empty", content(gguf(tensor(""))), "no proper name"),
    ("gguf-name-nul", content(gguf(tensor("a\0b"))), "no proper name"),
    ("gguf-name-not-utf8", content(gguf(tensor(b"\xff\xfe"))), "UTF-8"),
    ("gguf-name-endless", content(gguf(tensor("a" * 2000))), "2000 bytes"),
    ("gguf-names-equal", content(gguf(tensor("a"), tensor("a", offset=64))), "two tensors named a"),
    ("gguf-0-dimensions", content(gguf(tensor(shape=()))), "0 dimensions"),
    ("gguf-6-dimensions", content(gguf(tensor(shape=(1,) * 6))), "6 dimensions"),
    ("gguf-dimension-0", content(gguf(tensor(shape=(32, 0)))), "dimension of 0"),
    ("gguf-2**63-values", content(gguf(tensor(shape=(2**63,)))), "values"),
    ("gguf-2**80-values", content(gguf(tensor(shape=(2**40, 2**40)))), "values"),
    ("gguf-half-a-block", content(gguf(tensor(shape=(33,), kind=Q8_0))), "no multiple of 32"),
    ("gguf-removed-type", content(gguf(tensor(kind=4))), "unknown type 4"),
    ("gguf-future-type", content(gguf(tensor(kind=99))), "unknown type 99"),
    ("gguf-crooked-offset", content(gguf(tensor(offset=8), data=256)), "not aligned"),
    ("gguf-offset-outside", content(gguf(tensor(offset=4096))), "before the end of tensor a"),
    ("gguf-offset-2**64", content(gguf(tensor(offset=2**64 - 32))), "before the end of tensor a"),
    (
        "gguf-overlap",
        content(gguf(tensor("a", (64,)), tensor("b", offset=64), data=256)),
        "overlap",
    ),
    ("gguf-data-cut", content(gguf(*_TWO, data=127)), "ends 1 bytes before the end of tensor b"),
    ("gguf-tensors-cut", content(gguf(*_TWO)[:60]), "ends inside"),
    # safetensors: its header as a whole
    ("safetensors-cut", content(safetensors(described())[:20]), "ends inside its header"),
    ("safetensors-header-cut", content(safetensors(described())[:40]), "ends inside its header"),
    ("safetensors-2**60-header", content(safetensors(described(), length=2**60)), "header has"),
    ("safetensors-no-json", content(safetensors(b'{"a": 1' + bytes(64))), "not proper JSON"),
    ("safetensors-not-utf8", content(safetensors(b'{"\xff": 1}' + b" " * 64)), "not proper JSON"),
    ("safetensors-nested", content(safetensors(b'{"a":' + b"[" * 90_000)), "not proper JSON"),
    ("safetensors-nan", content(safetensors(b'{"a": NaN}' + b" " * 64)), "the number NaN"),
    ("safetensors-endless-number", content(safetensors(b'{"a":' + b"9" * 9999)), "proper JSON"),
    ("safetensors-no-tensors", content(safetensors(b"{}" + b" " * 64, 0)), "no tensors"),
    ("safetensors-metadata", content(safetensors({"__metadata__": [1], "x": "y" * 40})), "table"),
    (
        "safetensors-twice",
        content(safetensors(b'{"a": {"dtype": "F16"}, "a": {"dtype": "F16"}}')),
        "has a twice",
    ),
    # safetensors: tensors
    ("safetensors-no-table", content(safetensors({"a": [1, 2, 3], "b": "c" * 40})), "described by"),
    ("safetensors-no-shape", content(safetensors({"a": {"dtype": "F16" * 10}})), "described by"),
    ("safetensors-name-empty", content(safetensors({"": 1, "b": "c" * 40})), "no proper name"),
    ("safetensors-name-nul", content(safetensors({"a\0": 1, "b": "c" * 40})), "no proper name"),
    ("safetensors-surrogate", content(safetensors({"\ud800": 1, "b": "c" * 40})), "valid Unicode"),
    ("safetensors-type", content(safetensors(described(dtype="I8"))), "unknown type I8"),
    ("safetensors-type-list", content(safetensors(described(dtype=[1]))), "unknown type"),
    ("safetensors-shape-text", content(safetensors(described(shape="2"))), "impossible shape"),
    ("safetensors-shape-negative", content(safetensors(described(shape=[-2]))), "impossible shape"),
    ("safetensors-shape-float", content(safetensors(described(shape=[2.0]))), "impossible shape"),
    ("safetensors-shape-true", content(safetensors(described(shape=[True]))), "impossible shape"),
    ("safetensors-6-dimensions", content(safetensors(described(shape=[1] * 6))), "impossible"),
    ("safetensors-2**62", content(safetensors(described(shape=[2**61, 2**61]))), "values"),
    ("safetensors-2**99", content(safetensors(described(shape=[2**99]))), "impossible shape"),
    ("safetensors-one-offset", content(safetensors(described(data_offsets=[0]))), "place"),
    ("safetensors-backwards", content(safetensors(described(data_offsets=[4, 0]))), "place"),
    ("safetensors-wrong-size", content(safetensors(described(shape=[3]))), "needs 6 bytes"),
    ("safetensors-gap", content(safetensors(described(data_offsets=[4, 8]), 8)), "no tensor's"),
    ("safetensors-data-cut", content(safetensors(described(), 3)), "ends 1 bytes before"),
    ("safetensors-tail", content(safetensors(described(), 5)), "1 bytes follow"),
    (
        "safetensors-overlap",
        content(
            safetensors(
                described() | {"b": {"dtype": "F16", "shape": [2], "data_offsets": [2, 6]}}, 6
            )
        ),
        "overlap",
    ),
]
"""What it is called, how it is made at a path, and words of the message that refuses it."""


def unreadable(path: Path) -> None:
    """A file that nobody but the superuser may read."""
    path.write_bytes(gguf(tensor()))
    path.chmod(0)
