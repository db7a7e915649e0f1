"""How the tensors of a LoRA change one layer, and whether the engine can do it to that layer.

What the engine does is read off its lora.hpp (`get_weight_diff`, `get_out_diff`). It computes plain
LoRAs and Kronecker products beside the layer; everything else it adds to the layer's weights at
every step, which it cannot do to quantised ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from sdcpu.tensors import TensorInfo

Shape = tuple[int, ...]
Parts = dict[str, TensorInfo]
"""The tensors of one layer by what they are to it; see `sdcpu.loras.layers.LoraTensor`."""

_ADDED_TO = ("f32", "f16", "bf16", "f64", "f8_e4m3", "f8_e5m2")
"""Types of weights that the engine can add something to."""
_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_OTHER_FORM = "Take the LoRA in the form that kohya's scripts write."


class MisfitError(Exception):
    """A LoRA cannot be applied to a layer; the text says why, without naming the file."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def used_parts(places: Mapping[int, Parts], target: TensorInfo) -> Iterator[str]:
    """Name the tensors that change a layer's weight, checked to fit it.

    A layer may hold as one what a LoRA has in several places, such as query, key and value; then
    the places fill its rows one after the other.

    Raises:
        MisfitError: a tensor has another shape than the layer needs, or the engine cannot apply it.
    """
    changing = {place: parts for place, parts in sorted(places.items()) if _kind(parts)}
    if list(changing) != list(range(len(changing))):
        name = _first(changing[max(changing)]).name
        raise MisfitError(
            f"changes with {name} a part of a layer and not the parts before it, which the engine "
            "cannot do.",
            _OTHER_FORM,
        )
    for parts in changing.values():
        _check_change(parts, target, is_part=len(places) > 1)
        yield from (tensor.name for part, tensor in parts.items() if part != "diff_b")
    if len(changing) > 1:
        rows = sum(parts["up"].shape[0] for parts in changing.values())
        if rows != target.shape[0]:
            last = _first(changing[max(changing)])
            raise _mismatch(last, f"{rows} rows in all", str(target.shape[0]))


def check_bias(tensor: TensorInfo, target: TensorInfo) -> None:
    """Make sure that a change of a bias has the bias's length.

    Raises:
        MisfitError: it has not.
    """
    _check_values(tensor, math.prod(tensor.shape), target)


def _kind(parts: Parts) -> str:
    """How the tensors of a layer change it; "" where one is missing, so that nothing happens."""
    if {"down", "up"} <= parts.keys():
        return "lora"
    if "diff" in parts:
        return "diff"
    if parts.keys() >= set(_LOHA):
        return "loha"
    first = "lokr_w1" in parts or {"lokr_w1_a", "lokr_w1_b"} <= parts.keys()
    second = "lokr_w2" in parts or {"lokr_w2_a", "lokr_w2_b"} <= parts.keys()
    return "lokr" if first and second else ""


def _check_change(parts: Parts, target: TensorInfo, *, is_part: bool) -> None:
    kind = _kind(parts)
    if kind == "lora":
        _check_factors(parts, target.shape, is_part=is_part)
        return
    if is_part:
        raise MisfitError(
            f"changes a part of a layer with {_first(parts).name}, which the engine does only for "
            "plain LoRAs.",
            _OTHER_FORM,
        )
    if kind == "lokr":
        _check_kronecker(parts, target.shape)
        return
    if target.type not in _ADDED_TO:
        raise MisfitError(
            f"changes weights of the type {target.type} with {_first(parts).name}, which the "
            "engine can do only for plain LoRAs and LoKrs.",
            "Use it with a model file in f16.",
        )
    values = _values_of_loha(parts) if kind == "loha" else math.prod(parts["diff"].shape)
    _check_values(_first(parts), values, target)


def _check_factors(parts: Parts, shape: Shape, *, is_part: bool) -> None:
    """A plain LoRA: `up` times `down`, with a kernel between them where there is a `mid`."""
    down, up, mid = parts["down"], parts["up"], parts.get("mid")
    rank = down.shape[0] if down.shape else 0
    ones, kernel = (1,) * (len(shape) - 2), shape[2:]
    rows = up.shape[0] if is_part and up.shape else shape[0]
    _check_shape(down, (rank, *shape[1:2], *(kernel if mid is None else ones)))
    _check_shape(up, (rows, rank, *ones))
    if mid is not None:
        _check_shape(mid, (rank, rank, *kernel))


def _check_kronecker(parts: Parts, shape: Shape) -> None:
    """A Kronecker product of `lokr_w1` and `lokr_w2`.

    The engine takes the factors of a factor in the wrong order, except those of `lokr_w2` beside a
    convolution (`ggml_ext_lokr_forward`).
    """
    first, second = parts.get("lokr_w1"), parts.get("lokr_w2")
    if first is None or (second is None and len(shape) != 4):
        name = parts["lokr_w1_a" if first is None else "lokr_w2_a"].name
        raise MisfitError(
            f"is a LoKr with {name}, a factor of a factor, which the engine applies wrongly.",
            "Take it with whole factors (lokr_w1 and lokr_w2), or as a plain LoRA.",
        )
    if second is not None:
        inner = second.shape
    else:
        second = parts["lokr_w2_a"]
        inner = (*second.shape[:1], *parts["lokr_w2_b"].shape[1:])
    if len(first.shape) != 2 or len(inner) < 2:
        raise _mismatch(first, _text(first.shape), "rows and columns")
    rows, columns = first.shape[0] * inner[0], first.shape[1] * math.prod(inner[1:])
    if (rows, columns) != (shape[0], math.prod(shape[1:])):
        raise _mismatch(second, f"{rows}x{columns} values in all", _text(shape))


def _values_of_loha(parts: Parts) -> int:
    """Values of a product of two products; with a core tensor, `hada_t1`, factors lie crosswise."""
    first, second = parts["hada_w1_a"].shape, parts["hada_w1_b"].shape
    if len(first) < 2 or len(second) < 2:
        return 0
    core = parts.get("hada_t1")
    if core is not None:
        return first[-1] * second[-1] * math.prod(core.shape[2:])
    return first[0] * math.prod(second[1:])


def _check_values(tensor: TensorInfo, values: int, target: TensorInfo) -> None:
    wanted = math.prod(target.shape)
    if values != wanted:
        raise _mismatch(tensor, f"{values} values", f"{wanted} values")


def _check_shape(tensor: TensorInfo, wanted: Shape) -> None:
    if tensor.shape != wanted:
        raise _mismatch(tensor, _text(tensor.shape), _text(wanted))


def _first(parts: Parts) -> TensorInfo:
    return next(iter(parts.values()))


def _text(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _mismatch(tensor: TensorInfo, found: str, wanted: str) -> MisfitError:
    return MisfitError(
        f"does not fit the model: its tensor {tensor.name} has {found}, and {wanted} are needed.",
        "It was made for a model of another size or family.",
    )
