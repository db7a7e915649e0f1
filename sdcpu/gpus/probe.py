"""A program of its own that asks one driver for its devices: `python probe.py cuda|vulkan|rocm`.

An answer of CUDA's driver from before may follow: while it holds, only the free memory is asked.

A broken driver may crash or hang whoever loads it, so nothing else loads one to look. The answer
is one line of JSON on standard output. The program imports nothing of sdcpu: it starts in 20 ms.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

_NAME_BYTES = 256
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


class DriverError(Exception):
    """A driver that is there and does not work; the text says what it answered."""


def main() -> None:
    """Ask the driver that the argument names, and print what it says."""
    api = sys.argv[1]
    before = json.loads(sys.argv[2]) if len(sys.argv) > 2 else None
    ask: dict[str, Callable[[], dict[str, Any]]] = {"cuda": cuda, "vulkan": vulkan, "rocm": rocm}
    try:
        answer = (before and _still_true(before)) or ask[api]()
    except DriverError as error:
        answer = {"problem": str(error)}
    # Drivers print, too: the answer begins on a line of its own. _exit: their destructors may hang.
    os.write(1, ("\n" + json.dumps(answer) + "\n").encode())
    os._exit(0)


def cuda() -> dict[str, Any]:
    """Devices of NVIDIA's driver (cuda.h), with the memory that is free (nvml.h)."""
    library = _load("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
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
        "library": _path_of("libcuda.so"),
        "devices": devices,
    }


def vulkan() -> dict[str, Any]:
    """Devices that Vulkan's loader finds (vulkan_core.h)."""
    name = {"win32": "vulkan-1.dll", "darwin": "libvulkan.1.dylib"}.get(sys.platform)
    library = _load(name or "libvulkan.so.1")
    if library is None:
        return {}
    try:
        devices = _vulkan_devices(library)
    except AttributeError as error:
        raise DriverError(f"its library lacks a function: {error}") from error
    return {"driver": "", "library": _path_of("libvulkan.so"), "devices": devices}


def rocm() -> dict[str, Any]:
    """Devices of AMD's HIP runtime (hip_runtime_api.h)."""
    library = _load("amdhip64.dll" if sys.platform == "win32" else "libamdhip64.so")
    if library is None:
        return {}
    count, version = ctypes.c_int(), ctypes.c_int()
    try:
        _check("hipGetDeviceCount", library.hipGetDeviceCount(ctypes.byref(count)))
        _check("hipDriverGetVersion", library.hipDriverGetVersion(ctypes.byref(version)))
        devices = []
        for index in range(count.value):
            device, size = ctypes.c_int(), ctypes.c_size_t()
            text = ctypes.create_string_buffer(_NAME_BYTES)
            _check("hipDeviceGet", library.hipDeviceGet(ctypes.byref(device), index))
            _check("hipDeviceGetName", library.hipDeviceGetName(text, _NAME_BYTES, device))
            _check("hipDeviceTotalMem", library.hipDeviceTotalMem(ctypes.byref(size), device))
            devices.append(
                {"name": _text(text), "memory_total": size.value, "kind": "discrete"},
            )
    except AttributeError as error:
        raise DriverError(f"its library lacks a function: {error}") from error
    return {"driver": f"HIP {version.value}", "library": "", "devices": devices}


def _still_true(before: dict[str, Any]) -> dict[str, Any] | None:
    """An earlier answer of `cuda` with the memory that is free now; None with another driver."""
    for device in before["devices"]:
        device.pop("memory_free", None)
    return before if _add_nvml_facts(before["devices"]) == before["driver"] else None


_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18
"""enum CUdevice_attribute: compute capability, and whether it shares the processor's memory."""


def _cuda_device(library: ctypes.CDLL, index: int) -> dict[str, Any]:
    device, size = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    bus = ctypes.create_string_buffer(64)
    _check_cuda("cuDeviceGet", library.cuDeviceGet(ctypes.byref(device), index))
    _check_cuda("cuDeviceGetName", library.cuDeviceGetName(name, _NAME_BYTES, device))
    _check_cuda("cuDeviceTotalMem", library.cuDeviceTotalMem_v2(ctypes.byref(size), device))
    _check_cuda("cuDeviceGetPCIBusId", library.cuDeviceGetPCIBusId(bus, len(bus), device))
    major, minor, integrated = (
        _cuda_attribute(library, device, attribute) for attribute in (_MAJOR, _MINOR, _INTEGRATED)
    )
    return {
        "name": _text(name),
        "memory_total": size.value,
        "kind": "integrated" if integrated else "discrete",
        "capability": f"{major}.{minor}",
        "bus": _text(bus),
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
    library = _load("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
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
    return _text(version)


def _check_cuda(function: str, code: int) -> None:
    if code:
        raise DriverError(f"{function}() answers {_ERROR_TEXTS.get(code, f'error {code}')}")


_KINDS = {1: "integrated", 2: "discrete", 3: "virtual", 4: "software"}
"""enum VkPhysicalDeviceType; what calls itself a processor is a software rasteriser."""
_DEVICE_LOCAL = 1
"""VK_MEMORY_HEAP_DEVICE_LOCAL_BIT."""


_VULKAN_1_1 = 1 << 22 | 1 << 12
"""VK_API_VERSION_1_1: the first that tells the driver's version in the driver's own words."""
_PROPERTIES, _DRIVER_PROPERTIES = 1000059001, 1000196000
"""Structure types: VkPhysicalDeviceProperties2 and VkPhysicalDeviceDriverProperties."""
_DRIVER_TEXT_BYTES = 256


class _ApplicationInfo(ctypes.Structure):
    """VkApplicationInfo; a structure type (sType) of 0, and no names."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("version", ctypes.c_uint32),
        ("engine_name", ctypes.c_char_p),
        ("engine_version", ctypes.c_uint32),
        ("api_version", ctypes.c_uint32),
    )


class _InstanceInfo(ctypes.Structure):
    """VkInstanceCreateInfo; a structure type (sType) of 1, and no layers or extensions."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.POINTER(_ApplicationInfo)),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def _vulkan_devices(library: ctypes.CDLL) -> list[dict[str, Any]]:
    instance, count = ctypes.c_void_p(), ctypes.c_uint32()
    info = _InstanceInfo(type=1)
    if hasattr(library, "vkGetPhysicalDeviceProperties2"):  # a loader that knows Vulkan 1.1
        info.application = ctypes.pointer(_ApplicationInfo(api_version=_VULKAN_1_1))
    code = library.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance))
    if code == -9:  # VK_ERROR_INCOMPATIBLE_DRIVER: a loader without any driver
        return []
    _check("vkCreateInstance", code)
    find = library.vkEnumeratePhysicalDevices
    _check("vkEnumeratePhysicalDevices", find(instance, ctypes.byref(count), None))
    handles = (ctypes.c_void_p * count.value)()
    _check("vkEnumeratePhysicalDevices", find(instance, ctypes.byref(count), handles))
    return [_vulkan_device(library, handle) for handle in handles if handle]


def _vulkan_device(library: ctypes.CDLL, handle: int) -> dict[str, Any]:
    # VkPhysicalDeviceProperties begins with apiVersion, driverVersion, vendorID, deviceID and
    # deviceType, then deviceName[256]; its 824 bytes in all have room here.
    properties = ctypes.create_string_buffer(4096)
    library.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), properties)
    _, driver, vendor, _, kind = struct.unpack_from("<4Ii", properties.raw)
    name = properties.raw[20 : 20 + _NAME_BYTES].partition(b"\0")[0].decode(errors="replace")
    memory = ctypes.create_string_buffer(4096)
    library.vkGetPhysicalDeviceMemoryProperties(ctypes.c_void_p(handle), memory)
    sizes = [size for size, flags in _heaps(memory.raw) if flags & _DEVICE_LOCAL]
    return {
        "name": name,
        "memory_total": max(sizes, default=0),
        "kind": _KINDS.get(kind, "other"),
        "driver": _vulkan_driver(library, handle) or f"{vendor:04x}:{driver}",
    }


def _vulkan_driver(library: ctypes.CDLL, handle: int) -> str:
    """The driver's name and version, such as "llvmpipe, Mesa 25.0.7"; "" where it has no words.

    Its number alone is no version: Mesa's software driver has had the same for years.
    """
    if not hasattr(library, "vkGetPhysicalDeviceProperties2"):
        return ""
    # A structure type and the next structure, then the driver's number in 4 bytes, its name and
    # its version.
    told = ctypes.create_string_buffer(4096)
    struct.pack_into("<i", told, 0, _DRIVER_PROPERTIES)
    properties = ctypes.create_string_buffer(4096)
    struct.pack_into("<i4xQ", properties, 0, _PROPERTIES, ctypes.addressof(told))
    library.vkGetPhysicalDeviceProperties2(ctypes.c_void_p(handle), properties)
    texts = (told.raw[begin : begin + _DRIVER_TEXT_BYTES] for begin in (20, 276))
    words = (text.partition(b"\0")[0].decode(errors="replace") for text in texts)
    return ", ".join(word for word in words if word)


def _heaps(memory: bytes) -> Iterator[tuple[int, int]]:
    """Size and flags of each heap in a VkPhysicalDeviceMemoryProperties."""
    # memoryTypeCount, memoryTypes[32] of 8 bytes, memoryHeapCount, memoryHeaps[16] of 16 bytes
    (count,) = struct.unpack_from("<I", memory, 260)
    for index in range(min(count, 16)):
        yield struct.unpack_from("<QI", memory, 264 + 16 * index)


def _load(name: str) -> ctypes.CDLL | None:
    """The driver's library; None where there is none."""
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        if "cannot open shared object" in str(error) or sys.platform != "linux":
            return None
        raise DriverError(f"its library does not load: {error}") from error


def _check(function: str, code: int) -> None:
    if code:
        raise DriverError(f"{function}() answers error {code}")


def _text(buffer: ctypes.Array[ctypes.c_char]) -> str:
    return buffer.value.decode(errors="replace")


def _path_of(name: str) -> str:
    """Where a loaded library is; "" where the system does not tell."""
    try:
        with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123 - starts faster
            paths = {line.split(maxsplit=5)[-1].strip() for line in maps if name in line}
    except OSError:
        return ""
    return min(paths, default="")


if __name__ == "__main__":
    main()
