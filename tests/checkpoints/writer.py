"""Write random weights of given shapes as GGUF or safetensors."""

import json
import math
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, quants
from gguf.constants import GGML_QUANT_SIZES, GGUF_DEFAULT_ALIGNMENT

TypeName = Literal["f32", "f16", "q8_0", "q4_0", "q2_K", "q4_K", "q5_K", "q6_K"]
TYPES: dict[TypeName, Type] = {
    "f32": Type.F32,
    "f16": Type.F16,
    "q8_0": Type.Q8_0,
    "q4_0": Type.Q4_0,
    "q2_K": Type.Q2_K,
    "q4_K": Type.Q4_K,
    "q5_K": Type.Q5_K,
    "q6_K": Type.Q6_K,
}

_MIDDLES: dict[TypeName, float | None] = {"q2_K": 1.5, "q4_K": 7.5, "q5_K": 15.5, "q6_K": None}
"""Types that only the engine can quantise to, and the middle of their quants; a block of q6_K has
no smallest value to subtract: its quants and scales have signs."""

Shape = tuple[int, ...]
Shapes = Iterable[tuple[str, Shape]]
"""Names of tensors and their shapes, the slowest axis first."""
Bytes = npt.NDArray[np.uint8]

_KEPT_ENDS = (".bias", ".scale")
_KEPT = (
    "img_in.",
    "txt_in.",
    "time_in.",
    "vector_in.",
    "guidance_in.",
    "final_layer.",
    "x_embedder.",
    "t_embedder.",
    "y_embedder.",
    "pos_embed",
    "context_embedder.",
    "time_embed.",
    "label_emb.",
    "embedding",
)
"""What the engine's converter leaves in f16 (`ModelLoader::tensor_should_be_converted`)."""

_SPREAD = 0.02
"""Standard deviation of the weights: large enough to compute with, too small to overflow."""
_POOL = 1 << 20
"""So many different values; longer tensors repeat them."""
_START_STEP = 32
"""Values in a block of most types; a tensor starts at a multiple of so many in the pool."""
_PAGE = 4096


def write_checkpoint(path: Path, shapes: Shapes, kind: TypeName) -> None:
    """Write a checkpoint with weights of one type, as .gguf or .safetensors (f16 or f32 only)."""
    if path.suffix == ".safetensors":
        _write_safetensors(path, list(shapes), kind)
    else:
        _write_gguf(path, list(shapes), kind)


def write_small_checkpoint(path: Path, shapes: Shapes, kind: TypeName) -> None:
    """Write a GGUF checkpoint whose tensors overlap: the same values as `write_checkpoint` gives.

    The engine reads and holds all of them, but the file is little longer than its longest tensor.
    Only the engine takes such a file; it says so with an error in its log, and goes on.
    """
    shapes = list(shapes)
    longest: dict[tuple[TypeName, float], int] = {}
    for name, shape in shapes:
        stored = stored_type(name, shape, kind)
        run = (stored, _mean(name, shape))
        needed = _start(name, stored) + stored_size(shape, stored)
        longest[run] = max(longest.get(run, 0), needed)
    places, end = {}, 0
    for run, size in longest.items():
        places[run] = end
        end += size + -size % _PAGE
    header = [b"GGUF" + struct.pack("<IQQ", 3, len(shapes), 0)]
    for name, shape in shapes:
        stored = stored_type(name, shape, kind)
        offset = places[stored, _mean(name, shape)] + _start(name, stored)
        sides = tuple(reversed(shape or (1,)))
        layout = f"<I{len(sides)}QIQ"
        header += [struct.pack("<Q", len(name.encode())), name.encode()]
        header += [struct.pack(layout, len(sides), *sides, TYPES[stored], offset)]
    text = b"".join(header)
    with path.open("wb") as file:
        file.write(text + bytes(-len(text) % GGUF_DEFAULT_ALIGNMENT))
        for (stored, mean), size in longest.items():
            file.write(np.resize(_pool(stored, mean), size).tobytes() + bytes(-size % _PAGE))


def write_hollow_checkpoint(path: Path, shapes: Shapes, kind: TypeName) -> None:
    """Write the header of a GGUF checkpoint; its weights are a hole that takes no disk space."""
    shapes = list(shapes)
    _gguf_header(path, shapes, kind).close()
    sizes = [path.stat().st_size]
    sizes += [stored_size(shape, stored_type(name, shape, kind)) for name, shape in shapes]
    with path.open("r+b") as file:
        file.truncate(sum(size + -size % GGUF_DEFAULT_ALIGNMENT for size in sizes))


def stored_type(name: str, shape: Shape, kind: TypeName) -> TypeName:
    """The type the engine's converter gives a tensor of a checkpoint that was f16."""
    if kind in ("f32", "f16") or not shape:
        return "f32" if kind == "f32" else "f16"
    if kind in _MIDDLES and len(shape) < 2:
        return "f32"  # as in published files; no pool of such blocks has its mean at 1
    if kind == "q2_K" and name == "shared.weight":
        return "q4_0"  # the engine would hold a quarter of a million words of this type as f32
    whole_blocks = shape[-1] % GGML_QUANT_SIZES[TYPES[kind]][0] == 0
    kept = name.endswith(_KEPT_ENDS) or any(part in name for part in _KEPT)
    return kind if whole_blocks and not kept else "f16"


def stored_size(shape: Shape, kind: TypeName) -> int:
    """Bytes of a tensor."""
    block, block_size = GGML_QUANT_SIZES[TYPES[kind]]
    return math.prod(shape) // block * block_size


def _gguf_header(path: Path, shapes: list[tuple[str, Shape]], kind: TypeName) -> GGUFWriter:
    writer = GGUFWriter(path, "sdcpu-test")
    for name, shape in shapes:
        stored = stored_type(name, shape, kind)
        size = stored_size(shape, stored)
        writer.add_tensor_info(
            name, shape or (1,), np.dtype(np.float16), size, raw_dtype=TYPES[stored]
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return writer


def _write_gguf(path: Path, shapes: list[tuple[str, Shape]], kind: TypeName) -> None:
    writer = _gguf_header(path, shapes, kind)
    for name, shape in shapes:
        writer.write_tensor_data(_random_bytes(name, shape, stored_type(name, shape, kind)))
    writer.close()


def _write_safetensors(path: Path, shapes: list[tuple[str, Shape]], kind: TypeName) -> None:
    label = {"f32": "F32", "f16": "F16"}[kind]
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes:
        start, end = end, end + stored_size(shape, kind)
        header[name] = {"dtype": label, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes:
            file.write(_random_bytes(name, shape, kind).tobytes())


def _random_bytes(name: str, shape: Shape, kind: TypeName) -> Bytes:
    """Weights around 0, norms and the LoRA's factors around 1; the same values in every type."""
    size = stored_size(shape, kind)
    # repeats the pool as often as needed
    return np.resize(np.roll(_pool(kind, _mean(name, shape)), -_start(name, kind)), size)


def _mean(name: str, shape: Shape) -> float:
    is_factor = len(shape) < 2 and name.endswith((".weight", ".scale", ".alpha"))
    return 1.0 if is_factor or name.endswith(".gamma") else 0.0


def _start(name: str, kind: TypeName) -> int:
    """Where a tensor starts in the pool: some programs keep equal tensors only once."""
    step = max(_START_STEP, GGML_QUANT_SIZES[TYPES[kind]][0])
    return crc32(name.encode()) % (_POOL // step) * stored_size((step,), kind)


@cache
def _pool(kind: TypeName, mean: float) -> Bytes:
    if kind in _MIDDLES:
        return _pool_of_blocks(kind)
    values = np.random.default_rng(0).normal(mean, _SPREAD, _POOL).astype(np.float32)
    return quants.quantize(values, TYPES[kind]).view(np.uint8).reshape(-1)


def _pool_of_blocks(kind: TypeName) -> Bytes:
    """Random blocks of a type that gguf can read and not write, their spread set by the scale."""
    values, size = GGML_QUANT_SIZES[TYPES[kind]]
    blocks = np.random.default_rng(0).integers(0, 256, (_POOL // values, size), np.uint8)
    middle = _MIDDLES[kind]
    factors = np.array([1.0] if middle is None else [1.0, middle])
    place = slice(-2, None) if middle is None else slice(0, 4)
    if kind == "q2_K":
        place = slice(-4, None)
    blocks[:, place] = factors.astype(np.float16).view(np.uint8)
    factors *= _SPREAD / float(np.std(quants.dequantize(blocks, TYPES[kind])))
    blocks[:, place] = factors.astype(np.float16).view(np.uint8)
    return blocks.reshape(-1)


def repeat(
    name: str, count: int, parts: Iterable[tuple[str, Shape]]
) -> Iterator[tuple[str, Shape]]:
    """The same tensors under "name.0.", "name.1." and so on."""
    parts = list(parts)
    for number in range(count):
        yield from under(f"{name}.{number}.", parts)


def under(prefix: str, parts: Shapes) -> Iterator[tuple[str, Shape]]:
    """The same tensors with a prefix."""
    for name, shape in parts:
        yield prefix + name, shape
