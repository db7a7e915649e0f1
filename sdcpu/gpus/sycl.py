"""Intel's cards, as Level Zero knows them (ze_api.h): the driver below SYCL."""

from __future__ import annotations

import ctypes
import struct
import sys
from typing import Any

from sdcpu.gpus.library import NAME_BYTES, DriverError, check, load

_GPU_ONLY, _GPU = 1, 1
"""ZE_INIT_FLAG_GPU_ONLY and ZE_DEVICE_TYPE_GPU."""
_DRIVER_PROPERTIES, _DEVICE_PROPERTIES, _MEMORY_PROPERTIES = 1, 3, 7
"""enum ze_structure_type_t; each structure begins with its type and the next structure."""
_INTEGRATED = 1
"""ZE_DEVICE_PROPERTY_FLAG_INTEGRATED."""
_MEMORY_BYTES = 296
"""Of a ze_device_memory_properties_t."""
_MOST = 16
"""Drivers, devices and memories that are asked for."""


def sycl() -> dict[str, Any]:
    """Devices of Level Zero's first driver that has any."""
    library = load("ze_loader.dll" if sys.platform == "win32" else "libze_loader.so.1")
    if library is None:
        return {}
    try:
        check("zeInit", library.zeInit(_GPU_ONLY))
        for driver in _handles(library, "zeDriverGet"):
            devices = [
                _device(library, handle) for handle in _handles(library, "zeDeviceGet", driver)
            ]
            found = [device for device in devices if device is not None]
            if found:
                return {"driver": _version(library, driver), "library": "", "devices": found}
    except AttributeError as error:
        raise DriverError(f"its library lacks a function: {error}") from error
    return {"driver": "", "library": "", "devices": []}


def _handles(library: ctypes.CDLL, function: str, *of: int) -> list[int]:
    count, handles = ctypes.c_uint32(_MOST), (ctypes.c_void_p * _MOST)()
    owners = [ctypes.c_void_p(handle) for handle in of]
    check(function, getattr(library, function)(*owners, ctypes.byref(count), handles))
    return [handle for handle in handles[: count.value] if handle]


def _device(library: ctypes.CDLL, handle: int) -> dict[str, Any] | None:
    """A device with its largest memory; None for one that is no card."""
    properties = _structure(_DEVICE_PROPERTIES, 4096)
    asked = library.zeDeviceGetProperties(ctypes.c_void_p(handle), properties)
    check("zeDeviceGetProperties", asked)
    # Type, maker, device and flags from 16 on; the name follows 16 bytes that identify it.
    kind, _, _, flags = struct.unpack_from("<iIII", properties, 16)
    if kind != _GPU:
        return None
    name = properties.raw[112 : 112 + NAME_BYTES].partition(b"\0")[0].decode(errors="replace")
    count = ctypes.c_uint32(_MOST)
    memories = ctypes.create_string_buffer(_MEMORY_BYTES * _MOST)
    for number in range(_MOST):
        struct.pack_into("<i", memories, _MEMORY_BYTES * number, _MEMORY_PROPERTIES)
    asked = library.zeDeviceGetMemoryProperties(
        ctypes.c_void_p(handle), ctypes.byref(count), memories
    )
    check("zeDeviceGetMemoryProperties", asked)
    sizes = [
        struct.unpack_from("<Q", memories, _MEMORY_BYTES * number + 32)[0]
        for number in range(min(count.value, _MOST))
    ]
    return {
        "name": name,
        "memory_total": max(sizes, default=0),
        "kind": "integrated" if flags & _INTEGRATED else "discrete",
    }


def _version(library: ctypes.CDLL, driver: int) -> str:
    properties = _structure(_DRIVER_PROPERTIES, 256)
    asked = library.zeDriverGetProperties(ctypes.c_void_p(driver), properties)
    check("zeDriverGetProperties", asked)
    (number,) = struct.unpack_from("<I", properties, 32)
    return f"Level Zero {number}"


def _structure(kind: int, size: int) -> ctypes.Array[ctypes.c_char]:
    structure = ctypes.create_string_buffer(size)
    struct.pack_into("<i", structure, 0, kind)
    return structure
