"""Whether a LoRA fits a model, told by names and shapes before native code sees either.

The engine takes no notice of tensors whose names it does not find in the model, and ends its
process on shapes that do not match: both are told here, by the tensor's name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sdcpu.errors import ModelFileError
from sdcpu.families import FAMILIES, FileRole
from sdcpu.identification import identify
from sdcpu.loras.changes import MisfitError, Parts, check_bias, used_parts
from sdcpu.loras.layers import UNET_FAMILIES, LoraTensor, layer_name, lora_tensor
from sdcpu.loras.origin import origin_of
from sdcpu.models import Model, ModelFile
from sdcpu.tensors import TensorInfo
from sdcpu.weights import WeightsHeader

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
_UNREACHED = ("time_embed_", "label_emb_", "layer_norm", "_embedding", "text_projection")
"""In names of layers that the engine does not find again beside a U-Net: it makes dots of their
underscores (`convert_sep_to_dot`)."""


def check_lora(
    lora: WeightsHeader, model: Model, headers: Mapping[ModelFile, WeightsHeader]
) -> str:
    """Make sure that a LoRA fits a model; return a note when some of it will not be used, or "".

    `headers` are those of the model's files that are here; without them only the family is known.

    Raises:
        ModelFileError: it is no LoRA, was made for another family, has a tensor of another shape
            than the model's or of a form that the engine cannot apply to it, or less than half of
            it belongs to this model.
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
    try:
        unused = _unused(lora, model.family, targets)
    except MisfitError as misfit:
        raise _error(lora, str(misfit), misfit.hint) from misfit
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


def _targets(model: Model, headers: Mapping[ModelFile, WeightsHeader]) -> dict[str, TensorInfo]:
    """The model's weights and biases, by the names of `sdcpu.loras.layers`."""
    targets: dict[str, TensorInfo] = {}
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
            lost = model.family in UNET_FAMILIES and any(word in layer for word in _UNREACHED)
            if not lost:
                targets[f"{layer}.{kind}"] = tensor
    return targets


def _place(name: str, network: str | None) -> tuple[str, str] | None:
    """The network that a tensor of the model belongs to, and its name inside."""
    for of_network, beginnings in _NETWORKS.items():
        for beginning in beginnings:
            if name.startswith(beginning):
                return of_network, name.removeprefix(beginning)
    return None if network is None else (network, name)


def _unused(lora: WeightsHeader, family: str, targets: Mapping[str, TensorInfo]) -> list[str]:
    """Names of the tensors that the engine has no use for.

    Raises:
        MisfitError: it would use a tensor that it cannot apply, or one of another shape.
    """
    layers: dict[str, dict[int, Parts]] = defaultdict(lambda: defaultdict(dict))
    for tensor in lora.tensors:
        read = _retargeted(lora_tensor(tensor.name, family), targets)
        if read is not None:
            layers[read.layer][read.place][read.part] = tensor
    used: set[str] = set()
    for layer, places in layers.items():
        if f"{layer}.weight" in targets:
            used.update(used_parts(places, targets[f"{layer}.weight"]))
        bias = targets.get(f"{layer}.bias")
        for parts in places.values():
            if bias is not None and "diff_b" in parts:
                check_bias(parts["diff_b"], bias)
                used.add(parts["diff_b"].name)
    return [tensor.name for tensor in lora.tensors if tensor.name not in used]


def _retargeted(read: LoraTensor | None, targets: Mapping[str, TensorInfo]) -> LoraTensor | None:
    """SDXL's second text encoder holds query, key and value as one where OpenCLIP wrote it."""
    if read is None or not read.layer.startswith("text2:") or f"{read.layer}.weight" in targets:
        return read
    stem, _, last = read.layer.rpartition("_self_attn_")
    places = {"q_proj": 0, "k_proj": 1, "v_proj": 2}
    if last not in places:
        return read
    return LoraTensor(f"{stem}_self_attn_in_proj", read.part, places[last])


def _error(lora: WeightsHeader, problem: str, hint: str) -> ModelFileError:
    message = f"The LoRA {lora.path} {problem}"
    shown = "".join(letter if letter.isprintable() else "?" for letter in message)
    return ModelFileError(shown, hint=hint, details={"path": str(lora.path)})
