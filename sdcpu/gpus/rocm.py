"""AMD's cards, as the HIP runtime knows them (hip_runtime_api.h), and as Linux does."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

from sdcpu.gpus.library import NAME_BYTES, DriverError, check, load, text_of

_NAMES = ("libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6")
"""The first one is there where programs can be compiled, the others where they can run."""
_FOLDER = "/opt/rocm/lib"
"""Where ROCm is, which the dynamic linker need not know."""


def rocm(root: Path = Path("/")) -> dict[str, Any]:
    """Devices of the HIP runtime; a problem where Linux knows a card and the runtime is missing.

    `root` is where the system's files are.
    """
    if sys.platform == "win32":
        library = load("amdhip64.dll", "amdhip64_7.dll", "amdhip64_6.dll")
    else:
        library = load(*_NAMES, *(os.path.join(_FOLDER, name) for name in _NAMES))  # noqa: PTH118
    targets = _targets(root)
    if library is None:
        if not targets:
            return {}
        known = ", ".join(sorted(set(targets)))
        raise DriverError(f"there is a card ({known}), but not ROCm's library libamdhip64.so")
    count, version = ctypes.c_int(), ctypes.c_int()
    try:
        check("hipGetDeviceCount", library.hipGetDeviceCount(ctypes.byref(count)))
        check("hipDriverGetVersion", library.hipDriverGetVersion(ctypes.byref(version)))
        devices = [_device(library, index, root) for index in range(count.value)]
    except AttributeError as error:
        raise DriverError(f"its library lacks a function: {error}") from error
    if len(targets) == len(devices):  # no card is hidden: they are in the same order
        devices = [
            device | {"capability": target} for device, target in zip(devices, targets, strict=True)
        ]
    return {"driver": f"HIP {version.value}", "library": "", "devices": devices}


def _device(library: ctypes.CDLL, index: int, root: Path) -> dict[str, Any]:
    device, size = ctypes.c_int(), ctypes.c_size_t()
    name, bus = ctypes.create_string_buffer(NAME_BYTES), ctypes.create_string_buffer(64)
    check("hipDeviceGet", library.hipDeviceGet(ctypes.byref(device), index))
    check("hipDeviceGetName", library.hipDeviceGetName(name, NAME_BYTES, device))
    check("hipDeviceTotalMem", library.hipDeviceTotalMem(ctypes.byref(size), device))
    check("hipDeviceGetPCIBusId", library.hipDeviceGetPCIBusId(bus, len(bus), device))
    found = {"name": text_of(name), "memory_total": size.value, "kind": "discrete"}
    used = _number(root / "sys/bus/pci/devices" / text_of(bus).lower() / "mem_info_vram_used")
    return found if used is None else found | {"memory_free": max(0, size.value - used)}


def _targets(root: Path) -> list[str]:
    """What compilers call the cards that Linux knows, such as "gfx1030", in its order."""
    targets = []
    nodes = root / "sys/class/kfd/kfd/topology/nodes"
    try:
        folders = sorted(nodes.iterdir(), key=lambda folder: int(folder.name))
        texts = [(folder / "properties").read_text(encoding="utf-8") for folder in folders]
    except (OSError, ValueError):
        return []
    for text in texts:
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "gfx_target_version" and value.isdigit() and int(value):
                # Two digits each of minor and stepping, which are written as hexadecimal ones.
                major, rest = divmod(int(value), 10_000)
                targets.append(f"gfx{major}{rest // 100:x}{rest % 100:x}")
    return targets


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
