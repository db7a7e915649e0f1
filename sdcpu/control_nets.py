"""ControlNets: found by name, and held to fit the model whose hand they lead."""

from __future__ import annotations

from sdcpu.catalog import Catalog
from sdcpu.errors import InvalidRequestError, ModelFileError, UnknownModelError
from sdcpu.families import FAMILIES, FileRole
from sdcpu.identification import identify
from sdcpu.local_models import find_addition
from sdcpu.models import Model
from sdcpu.weights import WeightsHeader

_CONTEXTS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""Numbers in a word of the prompt as the U-Nets of these families read it; a ControlNet is the
half of such a U-Net, so it reads the same. The engine has ControlNets for no other family."""
_READS_PROMPT = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_READS_PROMPT_LATER = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
"""SDXL's first blocks do not look at the prompt."""


def find_control_net(name: str, catalog: Catalog) -> Model:
    """Find a ControlNet: a known one, a file, or "owner/repository/file" on the hub.

    Raises:
        UnknownModelError: nothing answers to the name.
        InvalidRequestError: it is something else.
        ModelFileError: the path leads to a kind of file that is refused.
    """
    known = catalog.registry.models.get(name.lower())
    if known is not None:
        if known.kind != "control_net":
            raise InvalidRequestError(
                f"{known.name} is not a ControlNet.", hint=f"Use it as a model: -m {known.name}."
            )
        return known
    found = find_addition(name, "control_net", catalog.registry)
    if found is not None:
        return found
    names = [
        model.name for model in catalog.registry.models.values() if model.kind == "control_net"
    ]
    raise UnknownModelError(
        f"There is no ControlNet {name[:80]!r}.",
        hint=f"Known ones: {', '.join(names)}. A file, or owner/repository/file, works too.",
    )


def check_control_net(header: WeightsHeader, model: Model) -> None:
    """Make sure that a ControlNet was made for a model's family.

    Raises:
        ModelFileError: it was not, or it is something else.
    """
    found = identify(header)
    if found.role is not FileRole.CONTROL_NET:
        raise ModelFileError(
            f"{header.path.name} is not a ControlNet but a {found.description}.",
            hint="Give a ControlNet, such as --control-net controlnet-canny.",
        )
    family = _family_of(header)
    if family != model.family:
        title = FAMILIES[model.family].title if model.family in FAMILIES else model.family
        made_for = FAMILIES[family].title if family else "another family"
        raise ModelFileError(
            f"{header.path.name} was made for {made_for}; {model.name} is {title}.",
            hint="Take a ControlNet that was made for it. The engine has them for "
            f"{', '.join(FAMILIES[each].title for each in _CONTEXTS.values())} only.",
        )


def _family_of(header: WeightsHeader) -> str:
    for place in (_READS_PROMPT, _READS_PROMPT_LATER):
        for tensor in header.tensors:
            if tensor.name.endswith(place):
                return _CONTEXTS.get(tensor.shape[-1], "")
    return ""
