"""What a processor can compute with, on systems that have no /proc/cpuinfo to say it."""

from __future__ import annotations

import ctypes
import sys

_ON_MACOS = {
    "avx2": "hw.optional.avx2_0",
    "fma": "hw.optional.fma",
    "f16c": "hw.optional.f16c",
    "avx512f": "hw.optional.avx512f",
    "avx512bw": "hw.optional.avx512bw",
    "avx512vl": "hw.optional.avx512vl",
    "avx512dq": "hw.optional.avx512dq",
    "asimd": "hw.optional.AdvSIMD",
    "asimddp": "hw.optional.arm.FEAT_DotProd",
    "i8mm": "hw.optional.arm.FEAT_I8MM",
    "bf16": "hw.optional.arm.FEAT_BF16",
}
"""The names of sysctlbyname()."""
_ON_WINDOWS = {
    40: ("avx2", "fma", "f16c"),  # PF_AVX2_INSTRUCTIONS_AVAILABLE
    41: ("avx512f", "avx512bw", "avx512vl", "avx512dq"),  # PF_AVX512F_INSTRUCTIONS_AVAILABLE
    43: ("asimd", "asimddp"),  # PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
}
"""The numbers of IsProcessorFeaturePresent(), from winnt.h. The names beside the first came into
the world together with it. VNNI and bfloat16 have no number, and stay unknown."""


def instruction_sets() -> frozenset[str]:
    """The processor's instruction sets in the words of Linux, such as "avx2"; empty where unknown.

    >>> isinstance(instruction_sets(), frozenset)
    True
    """
    if sys.platform == "darwin":
        return frozenset(name for name, asked in _ON_MACOS.items() if sysctl_number(asked))
    if sys.platform == "win32":
        return frozenset(name for number in _ON_WINDOWS for name in _of_windows(number))
    return frozenset()


def sysctl_number(name: str) -> int | None:
    """A number that macOS tells by name; None where it does not.

    >>> sysctl_number("hw.no.such.thing") is None
    True
    """
    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    try:
        ask = ctypes.CDLL(None).sysctlbyname
        failed = ask(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    except (OSError, AttributeError, TypeError):
        return None
    return None if failed else value.value


def _of_windows(number: int) -> tuple[str, ...]:
    try:
        is_there = ctypes.CDLL("kernel32").IsProcessorFeaturePresent(number)
    except (OSError, AttributeError):
        return ()
    return _ON_WINDOWS[number] if is_there else ()
