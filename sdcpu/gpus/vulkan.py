"""Cards of any maker, and programs that play one, as Vulkan's loader finds them."""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Iterator
from typing import Any

from sdcpu.gpus.library import NAME_BYTES, DriverError, check, load, path_of


def vulkan() -> dict[str, Any]:
    """Devices that Vulkan's loader finds (vulkan_core.h)."""
    name = {"win32": "vulkan-1.dll", "darwin": "libvulkan.1.dylib"}.get(sys.platform)
    library = load(name or "libvulkan.so.1")
    if library is None:
        return {}
    try:
        devices = _vulkan_devices(library)
    except AttributeError as error:
        raise DriverError(f"its library lacks a function: {error}") from error
    return {"driver": "", "library": path_of("libvulkan.so"), "devices": devices}


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
    check("vkCreateInstance", code)
    find = library.vkEnumeratePhysicalDevices
    check("vkEnumeratePhysicalDevices", find(instance, ctypes.byref(count), None))
    handles = (ctypes.c_void_p * count.value)()
    check("vkEnumeratePhysicalDevices", find(instance, ctypes.byref(count), handles))
    return [_vulkan_device(library, handle) for handle in handles if handle]


def _vulkan_device(library: ctypes.CDLL, handle: int) -> dict[str, Any]:
    # VkPhysicalDeviceProperties begins with apiVersion, driverVersion, vendorID, deviceID and
    # deviceType, then deviceName[256]; its 824 bytes in all have room here.
    properties = ctypes.create_string_buffer(4096)
    library.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), properties)
    _, driver, vendor, _, kind = struct.unpack_from("<4Ii", properties.raw)
    name = properties.raw[20 : 20 + NAME_BYTES].partition(b"\0")[0].decode(errors="replace")
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
