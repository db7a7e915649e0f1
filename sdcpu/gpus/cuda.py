"""NVIDIA's cards, as CUDA's driver knows them."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from sdcpu.gpus.library import NAME_BYTES, DriverError, load, path_of, text_of

_ERROR_TEXTS = {
    # enum cudaError_enum of cuda.h, as far as cuInit() returns them
    3: "the driver is shutting down",
    34: "the library is only a stub for linking",
    100: "there is no card",
    101: "there is no such card",
    802: "the system is not yet ready",
    803: "driver and its library have different versions; restart the machine",
    804: "the library does not suit this card",
    999: "an unknown error; the kernel's module may be missing",
}


def cuda() -> dict[str, Any]:
    """Devices of NVIDIA's driver (cuda.h), with the memory that is free (nvml.h)."""
    library = load("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    if library is None:
        return {}
    try:
        _check_cuda("cuInit", library.cuInit(0))
        version, count = ctypes.c_int(), ctypes.c_int()
        _check_cuda("cuDriverGetVersion", library.cuDriverGetVersion(ctypes.byref(version)))
        _check_cuda("cuDeviceGetCount", library.cuDeviceGetCount(ctypes.byref(count)))
        devices = [_cuda_device(library, index) for index in range(count.value)]
    except AttributeError as error:
        raise DriverError(f"its library lacks a function: {error}") from error
    supports = f"{version.value // 1000}.{version.value % 1000 // 10}"
    driver = _add_nvml_facts(devices)
    return {
        "driver": driver or f"CUDA {supports}",
        "supports": supports,
        "library": path_of("libcuda.so"),
        "devices": devices,
    }


def still_true(before: dict[str, Any]) -> dict[str, Any] | None:
    """An earlier answer of `cuda` with the memory that is free now; None with another driver."""
    for device in before["devices"]:
        device.pop("memory_free", None)
    return before if _add_nvml_facts(before["devices"]) == before["driver"] else None


_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18
"""enum CUdevice_attribute: compute capability, and whether it shares the processor's memory."""


def _cuda_device(library: ctypes.CDLL, index: int) -> dict[str, Any]:
    device, size = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(NAME_BYTES)
    bus = ctypes.create_string_buffer(64)
    _check_cuda("cuDeviceGet", library.cuDeviceGet(ctypes.byref(device), index))
    _check_cuda("cuDeviceGetName", library.cuDeviceGetName(name, NAME_BYTES, device))
    _check_cuda("cuDeviceTotalMem", library.cuDeviceTotalMem_v2(ctypes.byref(size), device))
    _check_cuda("cuDeviceGetPCIBusId", library.cuDeviceGetPCIBusId(bus, len(bus), device))
    major, minor, integrated = (
        _cuda_attribute(library, device, attribute) for attribute in (_MAJOR, _MINOR, _INTEGRATED)
    )
    return {
        "name": text_of(name),
        "memory_total": size.value,
        "kind": "integrated" if integrated else "discrete",
        "capability": f"{major}.{minor}",
        "bus": text_of(bus),
    }


def _cuda_attribute(library: ctypes.CDLL, device: ctypes.c_int, attribute: int) -> int:
    value = ctypes.c_int()
    code = library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    _check_cuda("cuDeviceGetAttribute", code)
    return value.value


def _add_nvml_facts(devices: list[dict[str, Any]]) -> str:
    """Add each card's free memory; return the driver's version, "" where NVML is not there.

    CUDA itself tells the free memory only to a program that has a context, which takes long.
    """
    library = load("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    version = ctypes.create_string_buffer(96)
    try:
        if library is None or library.nvmlInit_v2() != 0:
            return ""
        library.nvmlSystemGetDriverVersion(version, len(version))
        for device in devices:
            handle, memory = ctypes.c_void_p(), (ctypes.c_ulonglong * 3)()
            bus = device["bus"].encode()
            if (
                library.nvmlDeviceGetHandleByPciBusId_v2(bus, ctypes.byref(handle)) == 0
                and library.nvmlDeviceGetMemoryInfo(handle, memory) == 0
            ):
                device["memory_free"] = memory[1]  # nvmlMemory_t: total, free, used
    except AttributeError:
        return ""
    return text_of(version)


def _check_cuda(function: str, code: int) -> None:
    if code:
        raise DriverError(f"{function}() answers {_ERROR_TEXTS.get(code, f'error {code}')}")
