"""What `-m` may be besides a known name: a file or folder on disk, or a file on the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from sdcpu.errors import ModelFileError, UnknownModelError
from sdcpu.families import FAMILIES, Family, FileRole
from sdcpu.identification import Identified, identify, missing_parts
from sdcpu.models import Defaults, Model, ModelFile, family_defaults
from sdcpu.registry import Registry
from sdcpu.weights import WeightsHeader, read_header

IsHere = Callable[[ModelFile], bool]
"""Whether a file is on this disk already."""

GUIDES = "https://github.com/leejet/stable-diffusion.cpp/blob/master/docs"
"""Where the engine's documents are, one for each kind of model."""

_HUB_NAME = r"[A-Za-z0-9][\w.-]*"
_ON_HUB = re.compile(rf"(?P<repository>{_HUB_NAME}/{_HUB_NAME})(?:/(?P<path>[^\\:]+))?")
_WEIGHTS_ENDINGS = (".gguf", ".safetensors", ".sft")
_PICKLE_ENDINGS = (".ckpt", ".pt", ".pth", ".bin")
_LCM: dict[str, Any] = {"steps": 4, "cfg_scale": 1.0, "sampler": "lcm", "scheduler": "lcm"}
_FEW_STEPS: dict[str, Any] = {"steps": 4, "cfg_scale": 1.0, "scheduler": "sgm_uniform"}
_NAME_HINTS = (
    ("lcm", _LCM),
    *((word, _FEW_STEPS) for word in ("turbo", "lightning", "hyper", "schnell")),
)
"""Words in a file's name that tell of few steps; the weights of such models do not show it."""
_LCM_TENSOR = "time_embedding.cond_proj.weight"
"""Latent consistency models have it, and only they."""
_NOT_DRAWING = {
    FileRole.LORA: "Give it beside a model: --lora FILE.",
    FileRole.CONTROL_NET: "Give it beside a model: --control.",
    FileRole.UPSCALER: "Enlarge a picture with it: sdcpu upscale IMAGE --upscaler FILE.",
}

Addition = Literal["lora", "control_net"]
"""What a request may add to a model; the kind of its entry and the role of its file."""


def resolve_model(text: str, registry: Registry, is_here: IsHere | None = None) -> Model:
    """Find what a person means: a known name, a path on this disk, or "owner/name/file" on the hub.

    A file's header decides what it is. Parts that a file lacks are taken from a known model of its
    family, and the notes say so. Helpful parts that it does not need, such as a tiny decoder, are
    added when `is_here` says that they would not have to be downloaded. A file on the hub has the
    family "" until it is here: `complete_model` then says the rest.

    Raises:
        UnknownModelError: nothing answers to the text.
        ModelFileError: the file is damaged, does not draw by itself, or lacks parts nobody knows.

    >>> from sdcpu.registry import load_registry
    >>> resolve_model("LCM-Dreamshaper-v7", load_registry(None)).family
    'sd1'
    """
    if text.lower().partition(":")[0] in registry.models:
        return registry.find(text)
    path = _path(text)
    if text and _exists(path):
        return _local_model(path.absolute(), registry, is_here)
    on_hub = model_on_hub(text, registry)
    if on_hub is not None:
        return on_hub
    if _looks_like_path(text):
        raise ModelFileError(
            f"{text} does not exist.", hint="Check the path.", details={"path": text}
        )
    return registry.find(text)


def model_on_hub(text: str, registry: Registry) -> Model | None:
    """The file that "owner/name/file" means on the hub; None where the text is nothing of the kind.

    Raises:
        UnknownModelError: it names a repository and no file.
        ModelFileError: it is a pickle, or leads outside its repository.
    """
    on_hub = _ON_HUB.fullmatch(text)
    if on_hub is None or _exists(Path(text.partition("/")[0])):
        return None
    return _hub_model(text, on_hub["repository"], on_hub["path"], registry)


def find_addition(text: str, kind: Addition, registry: Registry) -> Model | None:
    """The LoRA or ControlNet that a path or "owner/name/file" means; None where it means neither.

    Raises:
        UnknownModelError: it names a repository on the hub and no file.
        ModelFileError: on the hub it is a pickle, or leads outside its repository.
    """
    path = possible_path(text)
    if path is not None and path.is_file():
        summary = f"The file {path.name}"
        return local_addition(path, kind, name=str(path.absolute()), summary=summary)
    on_hub = model_on_hub(text, registry)
    if on_hub is None:
        return None
    files = tuple(replace(file, role=FileRole(kind)) for file in on_hub.files)
    return replace(on_hub, kind=kind, family=kind, files=files)


def local_addition(path: Path, kind: Addition, *, name: str, summary: str) -> Model:
    """A LoRA or ControlNet on this disk, under a name."""
    size = path.stat().st_size
    file = ModelFile(role=FileRole(kind), path=path.name, size=size, local_path=path.absolute())
    return Model(name=name, summary=summary, kind=kind, family=kind, files=(file,), source="user")


def possible_path(text: str) -> Path | None:
    """The path that a text spells; None where it can be none."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError):  # no possible name, or nobody has such a home
        return None
    return path


def complete_model(
    model: Model, path: Path, registry: Registry, is_here: IsHere | None = None
) -> Model:
    """Say what a model from the hub is, now that its file is here at `path`.

    Raises:
        ModelFileError: as `resolve_model`.
    """
    found = _from_header(model.files[0], read_header(path), registry, is_here)
    return replace(found, name=model.name, source=model.source, license=model.license)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # nobody of this name has a home folder
        return Path(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _looks_like_path(text: str) -> bool:
    endings = (*_WEIGHTS_ENDINGS, *_PICKLE_ENDINGS)
    return "/" in text or "\\" in text or text.lower().endswith(endings)


def _local_model(path: Path, registry: Registry, is_here: IsHere | None) -> Model:
    if path.is_dir():
        _check_pipeline(path)
    header = read_header(path)
    size = path.stat().st_size if path.is_file() else header.weights_size
    file = ModelFile(role=FileRole.MODEL, path=path.name, size=size, local_path=path)
    return _from_header(file, header, registry, is_here)


def _check_pipeline(folder: Path) -> None:
    """Say which pipeline a diffusers folder holds when it is one the engine cannot read."""
    try:
        index = json.loads((folder / "model_index.json").read_bytes())
        name = str(index["_class_name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # then the weights alone decide
    if not (folder / "unet").is_dir():
        raise ModelFileError(
            f"{folder} holds a {name[:80]!r}; of diffusers folders the engine reads only those "
            "with a UNet: Stable Diffusion 1, 2 and XL.",
            hint="Get the same model as a GGUF or safetensors file.",
            details={"path": str(folder)},
        )


def _hub_model(text: str, repository: str, path: str | None, registry: Registry) -> Model:
    if path is None:
        raise UnknownModelError(
            f"{text} is neither a known model nor a file; if it is on the hub, name a file in it.",
            hint=f"Like {repository}/model-q8_0.gguf. `sdcpu models` lists the known models.",
        )
    if ".." in path.split("/"):
        raise ModelFileError(f"{text} leads outside its repository.", hint="Check the path.")
    if path.lower().endswith(_PICKLE_ENDINGS):
        raise ModelFileError(
            f"{text} is a pickled checkpoint; opening one can run any program.",
            hint="Get the same model as safetensors or GGUF.",
        )
    known = next(
        (f for f in _known_files(registry) if (f.repository, f.path) == (repository, path)), None
    )
    file = known or ModelFile(role=FileRole.MODEL, repository=repository, path=path)
    return Model(
        name=text,
        summary=f"{file.name} of {repository} on the hub",
        family="",
        license=file.license or "unknown",
        files=(replace(file, quantize=None),),
        source="hub",
        notes=f"Its licence is told at https://huggingface.co/{repository}.",
    )


def _known_files(registry: Registry) -> Iterator[ModelFile]:
    return (file for model in registry.models.values() for file in model.all_files)


def _from_header(
    file: ModelFile, header: WeightsHeader, registry: Registry, is_here: IsHere | None
) -> Model:
    found = identify(header)
    if found.family not in FAMILIES:
        raise ModelFileError(
            f"{header.path} does not draw by itself: it is a {found.description}.",
            hint=_NOT_DRAWING.get(found.role, "Give the diffusion model or a whole checkpoint."),
            details={"path": str(header.path)},
        )
    family = FAMILIES[found.family]
    if found.role is FileRole.DIFFUSION_MODEL and not family.loads_in_parts:
        raise ModelFileError(
            f"{header.path} holds only the UNet of {family.title}; the engine takes it together "
            f"with {missing_parts(found.missing)} in one file.",
            hint="Get the whole checkpoint, or give the diffusers folder.",
            details={"path": str(header.path)},
        )
    borrowed, notes = _borrowed_parts(header.path, found, registry)
    helpful = _helpful_parts(family, [file.role for file in borrowed], registry, is_here)
    defaults, reason = _defaults(file.name, found, header)
    return Model(
        name=str(header.path),
        summary=found.description,
        kind="video" if family.video else "image",
        family=family.name,
        license="unknown",
        gated=any(part.gated for part in borrowed),
        files=(replace(file, role=found.role), *borrowed, *helpful),
        defaults=defaults,
        source="file",
        notes=" ".join(note for note in (*notes, reason) if note),
    )


def _borrowed_parts(
    path: Path, found: Identified, registry: Registry
) -> tuple[list[ModelFile], list[str]]:
    """The parts that the file lacks, from known models of its family; a tiny decoder is one too."""
    parts: list[ModelFile] = []
    notes: list[str] = []
    unknown: list[FileRole] = []
    for role in found.missing:
        if role is FileRole.HIGH_NOISE_DIFFUSION_MODEL:  # which half the file is cannot be told
            unknown.append(role)
            continue
        roles = (role, FileRole.TINY_DECODER) if role is FileRole.VAE else (role,)
        lender = next(_lenders(found.family, roles, registry), None)
        if lender is None:
            unknown.append(role)
            continue
        model, part = lender
        parts.append(part)
        notes.append(f"Its {part.role.label} is taken from {model.name}.")
    if unknown:
        raise ModelFileError(
            f"{path} is {found.description}; it lacks {missing_parts(unknown)}.",
            hint=f"{GUIDES}/{FAMILIES[found.family].guide} says where they are. Describe the model "
            "with all its files in your models.toml.",
            details={"path": str(path), "missing": ", ".join(unknown)},
        )
    return parts, notes


def _lenders(
    family: str, roles: Iterable[FileRole], registry: Registry
) -> Iterator[tuple[Model, ModelFile]]:
    """Known files with one of these roles, the first role first, from models of the family."""
    relatives = [m for m in registry.models.values() if m.family == family and not m.built_in]
    tiny_decoder = registry.models.get(FAMILIES[family].tiny_decoder or "")
    for role in roles:
        for model in [*relatives, *([tiny_decoder] if tiny_decoder else [])]:
            yield from ((model, file) for file in model.files if file.role is role)


def _helpful_parts(
    family: Family, roles: list[FileRole], registry: Registry, is_here: IsHere | None
) -> list[ModelFile]:
    """The family's tiny decoder, when it is here anyway: ten times faster, and for previews."""
    decoder = registry.models.get(family.tiny_decoder or "")
    if is_here is None or decoder is None or FileRole.TINY_DECODER in roles:
        return []
    return [file for file in decoder.files if is_here(file)]


def _defaults(name: str, found: Identified, header: WeightsHeader) -> tuple[Defaults, str]:
    """What suits the file, and a sentence when something in it told more than its family."""
    defaults = family_defaults(found.family)
    names = {tensor.name for tensor in header.tensors}
    if any(name.endswith(_LCM_TENSOR) for name in names):
        return replace(defaults, **_LCM), "It is a latent consistency model: 4 steps at cfg 1."
    if found.family == "flux" and not any("guidance_in." in name for name in names):
        return replace(defaults, steps=4), "It takes no guidance, like FLUX.1 schnell: 4 steps."
    if FAMILIES[found.family].loads_in_parts or defaults.steps < 20:
        return defaults, ""
    for word, changes in _NAME_HINTS:
        if word in name.lower():
            return (
                replace(defaults, **changes),
                f'Its name says "{word}": {changes["steps"]} steps at cfg 1.',
            )
    return defaults, ""
