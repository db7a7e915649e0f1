"""Whether a LoRA fits a model, told by names and shapes before native code sees either.

The engine takes no notice of tensors whose names it does not find in the model, and ends its
process on shapes that do not match: both are told here, by the tensor's name.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from sdcpu.errors import ModelFileError
from sdcpu.families import FAMILIES, FileRole
from sdcpu.identification import identify
from sdcpu.loras.layers import UNET_FAMILIES, LoraTensor, layer_name, lora_tensor
from sdcpu.loras.origin import origin_of
from sdcpu.models import Model, ModelFile
from sdcpu.tensors import TensorInfo
from sdcpu.weights import WeightsHeader

Shape = tuple[int, ...]
Parts = dict[str, TensorInfo]
"""The tensors of one layer by what they are to it; see `LoraTensor.part`."""

LEAST_SHARE = 0.5
"""Share of a LoRA's tensors that a model must have a layer for; with less it is not the LoRA that
somebody trained."""

_NETWORKS = {
    "unet": ("model.diffusion_model.", "unet."),
    "text2": ("conditioner.embedders.1.", "te.1.", "cond_stage_model.1.", "text_encoders.clip_g."),
    "text": ("conditioner.embedders.0.", "te.", "cond_stage_model.", "text_encoders.clip_l."),
}
"""How names in a whole checkpoint begin, the longer beginnings first."""
_NETWORK_OF_ROLE = {
    FileRole.DIFFUSION_MODEL: "unet",
    FileRole.CLIP_L: "text",
    FileRole.CLIP_G: "text2",
}
_UNREACHED = ("unet:time_embed_", "unet:label_emb_")
"""Layers of a U-Net whose names the engine does not find again: their underscores become dots."""


def check_lora(
    lora: WeightsHeader, model: Model, headers: Mapping[ModelFile, WeightsHeader]
) -> str:
    """Make sure that a LoRA fits a model; return a note when some of it will not be used, or "".

    `headers` are those of the model's files that are here; without them only the family is known.

    Raises:
        ModelFileError: it is no LoRA, was made for another family, has a tensor of another shape
            than the model's, or less than half of it belongs to this model.
    """
    origin = origin_of(lora)
    if origin is None:
        what = identify(lora).description
        raise _error(lora, f"is not a LoRA but a {what}.", "Give a LoRA file, or use it with -m.")
    title = FAMILIES[model.family].title if model.family in FAMILIES else ""
    if title and origin.families and model.family not in origin.families:
        raise _error(
            lora,
            f"was made for {origin.title}; {model.name} is {title}.",
            f"Take a LoRA that was made for {title}, or another model.",
        )
    targets = _targets(model, headers)
    if not targets:
        return ""
    unused = _unused(lora, model.family, targets)
    total = len(lora.tensors)
    if (total - len(unused)) < LEAST_SHARE * total:
        raise _error(
            lora,
            f"does not fit {model.name}: {len(unused)} of its {total} tensors belong to no layer "
            f"of this model, such as {unused[0]}.",
            "It was made for another model, or is named in a way that the engine does not know.",
        )
    if unused:
        return (
            f"{len(unused)} of the {total} tensors of {lora.path.name} are not used, such as "
            f"{unused[0]}: {model.name} has no such layer, or the engine does not find it."
        )
    return ""


def _targets(model: Model, headers: Mapping[ModelFile, WeightsHeader]) -> dict[str, Shape]:
    """Shapes of the model's weights and biases, by the names of `sdcpu.loras.layers`."""
    shapes: dict[str, Shape] = {}
    for file, header in headers.items():
        network = _NETWORK_OF_ROLE.get(file.role)
        if network is None and file.role is not FileRole.MODEL:
            continue
        for tensor in header.tensors:
            found = _place(tensor.name, network)
            if found is None:
                continue
            name, _, kind = found[1].replace("in_proj_", "in_proj.").rpartition(".")
            layer = f"{found[0]}:{layer_name(name, found[0], model.family)[0]}"
            if model.family not in UNET_FAMILIES or not layer.startswith(_UNREACHED):
                shapes[f"{layer}.{kind}"] = tensor.shape
    return shapes


def _place(name: str, network: str | None) -> tuple[str, str] | None:
    """The network that a tensor of the model belongs to, and its name inside."""
    for of_network, beginnings in _NETWORKS.items():
        for beginning in beginnings:
            if name.startswith(beginning):
                return of_network, name.removeprefix(beginning)
    return None if network is None else (network, name)


def _unused(lora: WeightsHeader, family: str, targets: Mapping[str, Shape]) -> list[str]:
    """Names of the tensors that the engine has no use for.

    Raises:
        ModelFileError: a tensor that it would use has another shape than the model's.
    """
    layers: dict[str, dict[int, Parts]] = defaultdict(lambda: defaultdict(dict))
    known: dict[str, LoraTensor] = {}
    for tensor in lora.tensors:
        read = _retargeted(lora_tensor(tensor.name, family), targets)
        if read is not None:
            known[tensor.name] = read
            layers[read.layer][read.place][read.part] = tensor
    used: set[str] = set()
    for layer, places in layers.items():
        if f"{layer}.weight" in targets:
            used.update(_used(lora, places, targets[f"{layer}.weight"]))
        bias = targets.get(f"{layer}.bias")
        for parts in places.values():
            if bias is not None and "diff_b" in parts:
                _check(lora, parts["diff_b"], math.prod(parts["diff_b"].shape), math.prod(bias))
                used.add(parts["diff_b"].name)
    return [tensor.name for tensor in lora.tensors if tensor.name not in used]


def _retargeted(read: LoraTensor | None, targets: Mapping[str, Shape]) -> LoraTensor | None:
    """SDXL's second text encoder holds query, key and value as one where OpenCLIP wrote it."""
    if read is None or not read.layer.startswith("text2:") or f"{read.layer}.weight" in targets:
        return read
    stem, _, last = read.layer.rpartition("_self_attn_")
    places = {"q_proj": 0, "k_proj": 1, "v_proj": 2}
    if last not in places:
        return read
    return LoraTensor(f"{stem}_self_attn_in_proj", read.part, places[last])


def _used(lora: WeightsHeader, places: Mapping[int, Parts], shape: Shape) -> Iterator[str]:
    """The tensors that change a layer whose weight has this shape; several places fill its rows."""
    whole = [parts for _, parts in sorted(places.items()) if _kind(parts)]
    if [place for place, parts in sorted(places.items()) if _kind(parts)] != list(
        range(len(whole))
    ):
        first = min(places)
        raise _error(
            lora,
            f"changes a part of a layer that {_first(places[first]).name} belongs to, and not the "
            "parts before it, which the engine cannot do.",
            "Take the LoRA in the form that kohya's scripts write.",
        )
    rows = sum(_rows(parts) for parts in whole)
    for parts in whole:
        _check_parts(lora, parts, shape, share=len(whole) > 1 or len(places) > 1)
        yield from (tensor.name for part, tensor in parts.items() if part != "diff_b")
    if len(whole) > 1 and rows != shape[0]:
        raise _mismatch(lora, _first(whole[-1]), f"{rows} rows in all", f"{shape[0]}")


def _kind(parts: Parts) -> str:
    """How the tensors of a layer change it; "" where one is missing, so that nothing happens."""
    if {"down", "up"} <= parts.keys():
        return "lora"
    if "diff" in parts:
        return "diff"
    if {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"} <= parts.keys():
        return "loha"
    first = "lokr_w1" in parts or {"lokr_w1_a", "lokr_w1_b"} <= parts.keys()
    second = "lokr_w2" in parts or {"lokr_w2_a", "lokr_w2_b"} <= parts.keys()
    return "lokr" if first and second else ""


def _rows(parts: Parts) -> int:
    return parts["up"].shape[0] if "up" in parts and parts["up"].shape else 0


def _check_parts(lora: WeightsHeader, parts: Parts, shape: Shape, *, share: bool) -> None:
    """Compare shapes with the layer's; with `share` the layer's rows belong to several places."""
    kind = _kind(parts)
    if kind == "lora":
        _check_factors(lora, parts, shape, share=share)
        return
    if share:
        raise _error(
            lora,
            f"changes a part of a layer with {_first(parts).name}, which the engine does only for "
            "plain LoRAs.",
            "Take the LoRA in the form that kohya's scripts write.",
        )
    values = {"diff": _diff, "loha": _loha, "lokr": _lokr}[kind](parts)
    _check(lora, _first(parts), values, math.prod(shape))


def _check_factors(lora: WeightsHeader, parts: Parts, shape: Shape, *, share: bool) -> None:
    down, up = parts["down"], parts["up"]
    rank = down.shape[0] if down.shape else 0
    ones = (1,) * (len(shape) - 2)
    kernel = ones if "mid" in parts else shape[2:]
    if down.shape != (rank, *shape[1:2], *kernel):
        raise _mismatch(lora, down, _text(down.shape), _text((rank, *shape[1:2], *kernel)))
    rows = up.shape[0] if share and up.shape else shape[0]
    if up.shape != (rows, rank, *ones):
        raise _mismatch(lora, up, _text(up.shape), _text((rows, rank, *ones)))
    if "mid" in parts and parts["mid"].shape != (rank, rank, *shape[2:]):
        wanted = _text((rank, rank, *shape[2:]))
        raise _mismatch(lora, parts["mid"], _text(parts["mid"].shape), wanted)


def _diff(parts: Parts) -> int:
    return math.prod(parts["diff"].shape)


def _loha(parts: Parts) -> int:
    """Values of a product of two products; with a core tensor, `hada_t1`, factors lie crosswise."""
    first, second = parts["hada_w1_a"].shape, parts["hada_w1_b"].shape
    if len(first) < 2 or len(second) < 2:
        return 0
    core = parts.get("hada_t1")
    if core is not None:
        return first[-1] * second[-1] * math.prod(core.shape[2:])
    return first[0] * math.prod(second[1:])


def _lokr(parts: Parts) -> int:
    """Values of a Kronecker product; a factor may itself be given as two."""
    sizes = []
    for factor in ("lokr_w1", "lokr_w2"):
        if factor in parts:
            sizes.append(math.prod(parts[factor].shape))
        else:
            left, right = parts[f"{factor}_a"].shape, parts[f"{factor}_b"].shape
            sizes.append(left[0] * math.prod(right[1:]) if left else 0)
    return math.prod(sizes)


def _check(lora: WeightsHeader, tensor: TensorInfo, values: int, wanted: int) -> None:
    if values != wanted:
        raise _mismatch(lora, tensor, f"{values} values", f"{wanted} values")


def _first(parts: Parts) -> TensorInfo:
    return next(iter(parts.values()))


def _text(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _mismatch(lora: WeightsHeader, tensor: TensorInfo, found: str, wanted: str) -> ModelFileError:
    return _error(
        lora,
        f"does not fit the model: its tensor {tensor.name} has {found}, and {wanted} are needed.",
        "It was made for a model of another size or family.",
    )


def _error(lora: WeightsHeader, problem: str, hint: str) -> ModelFileError:
    message = f"The LoRA {lora.path} {problem}"
    shown = "".join(letter if letter.isprintable() else "?" for letter in message)
    return ModelFileError(shown, hint=hint, details={"path": str(lora.path)})
