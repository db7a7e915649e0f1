"""Faults of drivers that are known: whoever meets one is told, instead of seeing a process die."""

from __future__ import annotations

import re

from sdcpu.gpus import Gpu

_MESA = re.compile(r"\bMesa (\d+)\.")
_FIRST_SOUND_MESA = 23
"""The first version after those that were seen to fail, 22.3.6 the last of them. With one newer,
25.0.7, nothing failed."""


def known_fault(gpu: Gpu) -> str:
    """What is wrong with a device's driver, a sentence or two; "" where nothing is known.

    Mesa's software driver up to version 22 binds every buffer that a descriptor set has ever named,
    also those that were freed since and that the shader does not use, which Vulkan allows
    (`handle_set_stage` in its lvp_execute.c). The engine uses its sets again and again, so this
    counts references in memory that is somebody else's by now.

    >>> old = Gpu(
    ...     api="vulkan",
    ...     index=0,
    ...     name="llvmpipe",
    ...     kind="software",
    ...     memory_total=2**31,
    ...     driver="llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)",
    ... )
    >>> known_fault(old)
    'Mesa 22 draws in software with memory that was freed. Take Mesa 25 or newer.'
    """
    found = _MESA.search(gpu.driver) if gpu.kind == "software" else None
    if found is None or int(found[1]) >= _FIRST_SOUND_MESA:
        return ""
    return f"Mesa {found[1]} draws in software with memory that was freed. Take Mesa 25 or newer."
