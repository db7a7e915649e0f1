"""What makes two requests the same, down to the last pixel.

The plan has every value filled in, and says what computes and how. With the files that are read, it
decides the result; the prompt alone, or the request alone, does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdcpu.models import ModelFile
from sdcpu.plan import EnginePlan
from sdcpu.report import plain
from sdcpu.upscaler import UpscalePlan

FORMAT = 1
_OF_REQUEST = {"preview"}
"""Values of a request that change nothing in the result."""
_OF_PLAN = (
    *("flash_attention", "diffusion_conv_direct", "vae_conv_direct", "decoder", "tile_size"),
    *("second_pass", "enlargement", "upscale_to", "canvas"),
)


def result_key(
    plan: EnginePlan | UpscalePlan,
    located: Mapping[ModelFile, Path | None],
    pictures: Mapping[Any, Path],
) -> str | None:
    """A text that two requests share exactly when their results are the same.

    `located` are the files that the engine will read, `pictures` those that the request brings
    along, by their places. None where a file is not here, or cannot be looked at.
    """
    try:
        files = sorted(_identity(file, path) for file, path in located.items())
        content = sorted((str(place), _digest(path)) for place, path in pictures.items())
    except (OSError, TypeError):
        return None
    decided: dict[str, object] = {
        "format": FORMAT,
        "model": plan.model.name,
        "build": [plan.build.name, plan.build.version],
        "kernels": plan.kernels,
        "threads": plan.threads,
        "files": files,
        "pictures": content,
    }
    if isinstance(plan, EnginePlan):
        request = plain(plan.request)
        assert isinstance(request, dict)  # noqa: S101 - what a dataclass becomes
        places = {field for field, value in request.items() if _names_picture(field, value)}
        decided["kind"] = type(plan.request).__name__
        decided["card"] = None if plan.card is None else plan.card.name
        decided["request"] = {
            name: value for name, value in request.items() if name not in places | _OF_REQUEST
        }
        decided |= {name: plain(getattr(plan, name)) for name in _OF_PLAN}
    else:
        decided |= {"kind": "enlargement", "enlargement": plain(plan.enlargement)}
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _names_picture(field: str, value: object) -> bool:
    """Whether a field holds paths of pictures, whose content counts instead."""
    return field.endswith(("_image", "_images")) and bool(value)


def _identity(file: ModelFile, path: Path | None) -> tuple[str, float, str, int, int]:
    """What changes when a model's file does; TypeError for one that is not here."""
    if path is None:
        raise TypeError("not here")
    status = path.stat()
    return str(file.role), file.weight, str(path), status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
