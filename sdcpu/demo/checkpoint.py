"""Read the small checkpoint that ships with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

CHECKPOINT = Path(__file__).with_name("demo.safetensors")

_TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
}
_SCALE = "#scale"


def read_checkpoint(path: Path = CHECKPOINT) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Return the narrow network's parameters and the notes stored beside them.

    Large weights are stored as whole numbers from -127 to 127 with one scale for each row.

    >>> parameters, notes = read_checkpoint()
    >>> parameters["model.diffusion_model.time_embed.0.weight"].shape
    (128, 320)
    """
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:start])
    notes = {key: json.loads(text) for key, text in header.pop("__metadata__").items()}
    stored = {}
    for name, tensor in header.items():
        first, end = tensor["data_offsets"]
        values = np.frombuffer(data[start + first : start + end], _TYPES[tensor["dtype"]])
        stored[name] = values.reshape(tensor["shape"]).astype(np.float32)
    parameters = {
        name: values * stored[name + _SCALE].reshape(-1, *[1] * (values.ndim - 1))
        if name + _SCALE in stored
        else values
        for name, values in stored.items()
        if not name.endswith(_SCALE)
    }
    return parameters, notes
