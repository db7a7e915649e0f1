"""Read the small checkpoint that ships with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

CHECKPOINT = Path(__file__).with_name("demo.safetensors")

_TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
}
_SCALE, _UP, _DOWN = "#scale", ".up", ".down"
_CHANGES = ("lcm.",)


class Change(NamedTuple):
    """A change to a weight: two factors of whole numbers, shapes (outputs, rank) and (rank, …)."""

    up: Floats
    down: Floats
    up_scale: np.float32
    down_scale: np.float32

    def product(self) -> Floats:
        """The change itself; sums of products of whole numbers this small are exact."""
        return (self.up @ self.down) * (self.up_scale * self.down_scale)

    def scaled(self) -> tuple[Floats, Floats]:
        """Both factors at their true size."""
        return self.up * self.up_scale, self.down * self.down_scale


def read_checkpoint(
    path: Path = CHECKPOINT, *, change: str | None = None
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Return the narrow network's parameters and the notes stored beside them.

    Large weights are stored as whole numbers from -127 to 127 with one scale for each row. A
    `change` ("lcm") is stored as two such factors for each weight; it is added, with the same bits
    on every machine.

    >>> parameters, notes = read_checkpoint()
    >>> parameters["model.diffusion_model.time_embed.0.weight"].shape
    (128, 320)
    """
    stored, notes = _read_tensors(path)
    parameters = {
        name: _scaled(stored, name)
        for name in stored
        if not name.endswith(_SCALE) and not name.startswith(_CHANGES)
    }
    if change is not None:
        for name, each in read_change(change, path).items():
            parameters[name] = parameters[name] + each.product().reshape(parameters[name].shape)
    return parameters, notes


def read_change(change: str, path: Path = CHECKPOINT) -> dict[str, Change]:
    """Return the change to each weight.

    >>> first = next(iter(read_change("lcm").values()))
    >>> first.up.shape[1] == first.down.shape[0]
    True
    """
    stored, _ = _read_tensors(path)
    changes = {}
    for name, up in stored.items():
        if name.startswith(f"{change}.") and name.endswith(_UP):
            weight = name.removeprefix(f"{change}.").removesuffix(_UP) + ".weight"
            other = name.removesuffix(_UP) + _DOWN
            scales = stored[name + _SCALE][0], stored[other + _SCALE][0]
            changes[weight] = Change(up, stored[other], *scales)
    return changes


def _read_tensors(path: Path) -> tuple[dict[str, Floats], dict[str, Any]]:
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:start])
    notes = {key: json.loads(text) for key, text in header.pop("__metadata__").items()}
    stored = {}
    for name, tensor in header.items():
        first, end = tensor["data_offsets"]
        values = np.frombuffer(data[start + first : start + end], _TYPES[tensor["dtype"]])
        stored[name] = values.reshape(tensor["shape"]).astype(np.float32)
    return stored, notes


def _scaled(stored: dict[str, Floats], name: str) -> Floats:
    values, scale = stored[name], stored.get(name + _SCALE)
    return values if scale is None else values * scale.reshape(-1, *[1] * (values.ndim - 1))
