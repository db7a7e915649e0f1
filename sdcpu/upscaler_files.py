"""Which file enlarges pictures: a known upscaler by its name, or an ESRGAN file on this disk."""

from __future__ import annotations

from pathlib import Path

from sdcpu.errors import InvalidRequestError, ModelFileError
from sdcpu.families import FileRole
from sdcpu.identification import identify
from sdcpu.models import Model, ModelFile
from sdcpu.registry import Registry
from sdcpu.weights import allowed_pickle, is_pickle, read_header

DEFAULT_UPSCALER = "realesrgan-x4plus"


def find_upscaler(name: str | Path | None, registry: Registry) -> Model:
    """Find an upscaler by its name or path; None is the one for photographs.

    A pickle (.pth) is taken only when its sha256 is that of a known upscaler.

    Raises:
        InvalidRequestError: the model does something else.
        ModelFileError: the file is damaged, or no upscaler.
        UnknownModelError: nothing answers to the name.

    >>> from sdcpu.registry import load_registry
    >>> find_upscaler(None, load_registry(None)).files[0].role.value
    'upscaler'
    """
    text = str(name or DEFAULT_UPSCALER)
    path = Path(text).expanduser()
    if text.lower() not in registry.models and (path.is_file() or path.suffix):
        return _model_of(path.absolute(), registry)
    model = registry.find(text)
    if model.kind != "upscaler":
        raise InvalidRequestError(
            f"{model.name} enlarges nothing: it is of the kind {model.kind.replace('_', ' ')!r}.",
            hint=f"Take {DEFAULT_UPSCALER}; sdcpu models --all lists the upscalers.",
        )
    return model


def _model_of(path: Path, registry: Registry) -> Model:
    """An upscaler from this disk, its content checked."""
    if is_pickle(path):
        if not allowed_pickle(path, registry.pickle_sha256s()):
            raise ModelFileError(
                f"{path} is a pickled checkpoint, and none that sdcpu knows; opening one can run "
                "any program.",
                hint="Get the same upscaler as safetensors or GGUF.",
                details={"path": str(path)},
            )
        description = "a known ESRGAN upscaler"
    else:
        found = identify(read_header(path))
        if found.role is not FileRole.UPSCALER:
            raise ModelFileError(
                f"{path} enlarges nothing: it is {found.description}.",
                hint="Give an ESRGAN upscaler as safetensors or GGUF.",
                details={"path": str(path)},
            )
        description = found.description
    return Model(
        name=str(path),
        summary=description,
        kind="upscaler",
        family="esrgan",
        files=(
            ModelFile(
                role=FileRole.UPSCALER,
                path=path.name,
                size=path.stat().st_size,
                local_path=path,
            ),
        ),
        source="file",
    )
