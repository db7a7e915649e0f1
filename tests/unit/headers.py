"""Headers of checkpoints that are never written: true names, shapes and types."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sdcpu.registry import Defaults, FileRole, Model, ModelFile
from sdcpu.tensors import TensorInfo
from sdcpu.weights import WeightsHeader
from tests.checkpoints import CHECKPOINTS
from tests.checkpoints.writer import TypeName, stored_size, stored_type


@cache
def header(checkpoint: str, tensor_type: TypeName = "q8_0") -> WeightsHeader:
    """The header that the checkpoint's file would have."""
    tensors = []
    for name, shape in CHECKPOINTS[checkpoint].shapes():
        stored = stored_type(name, shape, tensor_type)
        size = stored_size(shape, stored)
        tensors.append(TensorInfo(name=name, shape=tuple(shape), type=stored, size=size))
    return WeightsHeader(path=Path(checkpoint), format="gguf", metadata={}, tensors=tuple(tensors))


def model(
    family: str,
    parts: dict[FileRole, tuple[str, TypeName]],
    *,
    defaults: Defaults | None = None,
) -> tuple[Model, dict[ModelFile, WeightsHeader]]:
    """A model of these checkpoints, and the headers of its files."""
    headers = {
        ModelFile(role=role, path=f"{name}-{kind}.gguf"): header(name, kind)
        for role, (name, kind) in parts.items()
    }
    made = Model(
        name=f"a-{family}",
        summary="",
        family=family,
        files=tuple(headers),
        defaults=defaults or Defaults(),
    )
    return made, headers


def sd15(
    kind: TypeName = "q8_0", *, tiny: bool = True, defaults: Defaults | None = None
) -> tuple[Model, dict[ModelFile, WeightsHeader]]:
    """Stable Diffusion 1.5, with TAESD beside it unless `tiny` is False."""
    parts: dict[FileRole, tuple[str, TypeName]] = {FileRole.MODEL: ("sd15", kind)}
    if tiny:
        parts[FileRole.TINY_DECODER] = ("taesd", "f16")
    return model("sd1", parts, defaults=defaults)
