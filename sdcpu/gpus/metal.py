"""Apple's graphics, as Metal knows it: one device, which shares the processor's memory."""

from __future__ import annotations

import ctypes
from typing import Any

from sdcpu.gpus.library import DriverError, load

_METAL = "/System/Library/Frameworks/Metal.framework/Metal"
_OBJECTIVE_C = "/usr/lib/libobjc.A.dylib"


def metal(framework: str = _METAL, objective_c: str = _OBJECTIVE_C) -> dict[str, Any]:
    """The device that the system would choose, with the memory that it may use (MTLDevice.h)."""
    library, runtime = load(framework), load(objective_c)
    if library is None or runtime is None:
        return {}
    try:
        create = library.MTLCreateSystemDefaultDevice
        create.restype = ctypes.c_void_p
        device = create()
        if not device:
            return {"driver": "", "library": framework, "devices": []}
        words = _sent(runtime, _sent(runtime, device, "name"), "UTF8String")
        name = ctypes.string_at(words).decode(errors="replace") if words else "Apple's graphics"
        memory = _sent(runtime, device, "recommendedMaxWorkingSetSize")
        shared = _sent(runtime, device, "hasUnifiedMemory") & 0xFF  # a BOOL, in the lowest byte
    except AttributeError as error:
        raise DriverError(f"its library lacks a function: {error}") from error
    found = {"name": name, "memory_total": memory, "kind": "integrated" if shared else "discrete"}
    return {"driver": "", "library": framework, "devices": [found]}


def _sent(runtime: ctypes.CDLL, target: int, message: str) -> int:
    """What an object answers to a message that has no arguments; 0 for nothing."""
    runtime.sel_registerName.restype = ctypes.c_void_p
    send = runtime.objc_msgSend
    send.restype, send.argtypes = ctypes.c_uint64, [ctypes.c_void_p, ctypes.c_void_p]
    return int(send(target, runtime.sel_registerName(message.encode())))
