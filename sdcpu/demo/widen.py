"""Widen the narrow networks to the sizes the engine knows, without changing what they compute.

Every narrow channel becomes a number of equal channels. So the rows of a weight, one for each
output, are repeated; its columns, one for each input, are repeated and divided by the number of
copies, which leaves every sum as it was. Group and layer norms see the same means and variances.

Only multiplications, divisions and roundings of single values are done here, no sums: every machine
gets the same bytes, so the results can be pinned by their checksum.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sdcpu.demo.checkpoint import Floats, read_checkpoint
from sdcpu.demo.network import (
    CLIP_TOKENS,
    TOKEN_EMBEDDING,
    Layer,
    Segments,
    autoencoder_layers,
    text_encoder_layers,
    unet_layers,
)

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.intp]

_UNKNOWN_WORD = 2
"""The row of the narrow token table that stands for every word the model never saw."""
_ROWS_AT_ONCE = 4096
_ALIGNMENT = 32
"""Bytes; what GGUF takes when its header names nothing else."""


class Writable(Protocol):
    """Where the widened files go."""

    def write(self, data: bytes, /) -> object:
        """Append the bytes."""


class WideParameter(NamedTuple):
    """A parameter of the full network, not yet spelled out."""

    rows: Floats
    """Its different rows, columns already widened."""
    order: Rows
    """Which of them each row of the full parameter is."""


class Encoding(NamedTuple):
    """How a GGUF file stores numbers."""

    code: int
    """ggml's number for the type."""
    block: int
    """How many neighbouring values of a row are stored together."""
    block_size: int
    """Bytes."""

    def size(self, shape: Sequence[int]) -> int:
        """Bytes of a tensor of this shape."""
        return int(np.prod(shape)) // self.block * self.block_size


F32 = Encoding(0, 1, 4)
F16 = Encoding(1, 1, 2)
Q4_0 = Encoding(2, 32, 18)
Q8_0 = Encoding(8, 32, 34)


def write_model(file: Writable, *, change: str | None = None, matrices: Encoding = Q8_0) -> None:
    """Write text encoder and U-Net as one GGUF file of 600 MB, matrices in q8_0 or q4_0.

    With `change` "lcm" it is the model of four steps.
    """
    parameters, notes = read_checkpoint(change=change)
    tokens = token_rows(notes)
    tensors = [
        (name, shape, layer, encoding_of(shape, layer, matrices))
        for layers in (text_encoder_layers(), unet_layers())
        for layer in layers
        for name, shape in layer.parameters().items()
    ]
    file.write(_gguf_header([(name, shape, encoding) for name, shape, _, encoding in tensors]))
    for name, shape, layer, encoding in tensors:
        size = encoding.size(shape)
        if layer.trained:
            order = tokens if layer.name == TOKEN_EMBEDDING else None
            wide = widen(parameters[name], layer, order)
            encoded = encode(wide.rows, encoding)
            for start in range(0, len(wide.order), _ROWS_AT_ONCE):
                file.write(encoded[wide.order[start : start + _ROWS_AT_ONCE]].tobytes())
        elif layer.kind == "norm" and name.endswith(".weight"):
            file.write(np.ones(shape, "<f4").tobytes())
        else:
            file.write(bytes(size))  # zero in every encoding
        file.write(bytes(-size % _ALIGNMENT))


def write_tiny_autoencoder(file: Writable) -> None:
    """Write the autoencoder as safetensors in f32, named as the TAESD files on the hub are."""
    parameters, _ = read_checkpoint()
    tensors = {}
    for layer in autoencoder_layers():
        for name in layer.parameters():
            wide = widen(parameters[f"tae.{name}"], layer)
            tensors[name] = wide.rows[wide.order].astype("<f4")
    write_safetensors(file, tensors)


def widen(narrow: Floats, layer: Layer, order: Rows | None = None) -> WideParameter:
    """Widen one parameter of a layer; `order` overrides which row goes where."""
    if layer.kind == "embedding":
        rows = repeat_columns(narrow, layer.outputs)
        return WideParameter(rows, np.arange(len(rows)) if order is None else order)
    copies = copies_of(layer.outputs)
    scaled = narrow * np.float32(layer.factor)
    if narrow.ndim > 1:
        scaled = spread_columns(scaled, layer.inputs)
    return WideParameter(scaled, np.repeat(np.arange(len(narrow)), copies))


def copies_of(segments: Segments) -> Rows:
    """How many copies each narrow channel gets.

    >>> from sdcpu.demo.network import Segment
    >>> copies_of((Segment(2, 5), Segment(1, 10))).tolist()
    [5, 5, 10]
    """
    channels = [segment.channels for segment in segments]
    return np.repeat([segment.copies for segment in segments], channels)


def spread_columns(weight: Floats, inputs: Segments) -> Floats:
    """Repeat the columns of a weight and divide them by the number of copies."""
    copies = copies_of(inputs)
    divisor = copies.astype(np.float32).reshape(1, -1, *[1] * (weight.ndim - 2))
    return np.repeat(weight / divisor, copies, axis=1)


def repeat_columns(table: Floats, outputs: Segments) -> Floats:
    """Repeat the columns of a table of vectors: they are channels already, nothing is summed."""
    return np.repeat(table, copies_of(outputs), axis=1)


def token_rows(notes: Mapping[str, Any]) -> Rows:
    """Which row of the narrow token table each of CLIP's tokens takes.

    Trained words have their own, synonyms take another word's, all other words share one.
    """
    rows = np.full(CLIP_TOKENS, _UNKNOWN_WORD)
    for row, token in enumerate(notes["clip_ids"]):
        if row != _UNKNOWN_WORD:
            rows[token] = row
    for token, row in notes["synonyms"]:
        rows[token] = row
    return rows


def write_safetensors(
    file: Writable,
    tensors: Mapping[str, npt.NDArray[Any]],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Header and values in f32 or f16: https://github.com/huggingface/safetensors#format."""
    header: dict[str, dict[str, Any]] = {"__metadata__": dict(notes)} if notes else {}
    end = 0
    for name, values in tensors.items():
        start, end = end, end + values.nbytes
        kind = f"F{8 * values.itemsize}"
        header[name] = {"dtype": kind, "shape": values.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for values in tensors.values():
        file.write(values.tobytes())


def encoding_of(shape: Sequence[int], layer: Layer, matrices: Encoding = Q8_0) -> Encoding:
    """Choose as the engine's own converter does: kernels in f16, vectors in f32.

    What tells words and time steps apart is never coarser than q8_0.
    """
    if len(shape) == 1 or layer.name.endswith("position_embedding"):
        return F32
    if layer.kind == "convolution":
        return F16
    if not layer.trained:
        return Q4_0  # zeros are exact everywhere: take the smallest
    return Q8_0 if "embed" in layer.name else matrices


def encode(rows: Floats, encoding: Encoding) -> Bytes:
    """Encode rows of numbers; returns as many rows of bytes."""
    rows = rows.reshape(len(rows), -1)
    if encoding in _BLOCKWISE:
        return _BLOCKWISE[encoding](rows)
    plain = rows.astype({F32: "<f4", F16: "<f2"}[encoding])
    return plain.view(np.uint8).reshape(len(rows), -1)


def _encode_q8_0(rows: Floats) -> Bytes:
    """Blocks of 32 values: one f16 scale, then 32 whole numbers (ggml's `block_q8_0`)."""
    blocks = rows.reshape(len(rows), -1, Q8_0.block)
    scale = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    whole = np.round(blocks * inverse).astype(np.int8)
    encoded = np.concatenate([scale.astype("<f2").view(np.uint8), whole.view(np.uint8)], axis=-1)
    return encoded.reshape(len(rows), -1)


def _encode_q4_0(rows: Floats) -> Bytes:
    """Blocks of 32 values: one f16 scale, then 32 numbers of four bits (ggml's `block_q4_0`).

    The value farthest from zero becomes -8, so that one of both ends is met exactly. A byte holds
    one of the first 16 in its lower half, one of the last 16 in its upper half.
    """
    blocks = rows.reshape(len(rows), -1, Q4_0.block)
    farthest = np.abs(blocks).argmax(axis=-1)[..., None]
    scale = np.take_along_axis(blocks, farthest, axis=-1) / np.float32(-8)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    whole = np.minimum(blocks * inverse + np.float32(8.5), 15).astype(np.uint8)
    halves = whole[..., : Q4_0.block // 2] | whole[..., Q4_0.block // 2 :] << 4
    encoded = np.concatenate([scale.astype("<f2").view(np.uint8), halves], axis=-1)
    return encoded.reshape(len(rows), -1)


_BLOCKWISE: dict[Encoding, Callable[[Floats], Bytes]] = {Q8_0: _encode_q8_0, Q4_0: _encode_q4_0}


def _gguf_header(tensors: Sequence[tuple[str, Sequence[int], Encoding]]) -> bytes:
    """Everything before the first tensor, padded.

    https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
    """
    text_type, version = 8, 3
    parts = [b"GGUF", struct.pack("<IQQ", version, len(tensors), 1)]
    parts += [_gguf_text("general.architecture"), struct.pack("<I", text_type), _gguf_text("sd1")]
    parts += _gguf_tensor_infos(tensors)
    header = b"".join(parts)
    return header + bytes(-len(header) % _ALIGNMENT)


def _gguf_tensor_infos(
    tensors: Iterable[tuple[str, Sequence[int], Encoding]],
) -> Iterator[bytes]:
    offset = 0
    for name, shape, encoding in tensors:
        axes = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        yield _gguf_text(name) + axes + struct.pack("<IQ", encoding.code, offset)
        size = encoding.size(shape)
        offset += size + -size % _ALIGNMENT


def _gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()
