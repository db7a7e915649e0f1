"""A driver's library: loaded, called and read from, with errors that say what it answered."""

from __future__ import annotations

import ctypes
import sys

NAME_BYTES = 256
"""Room for a device's name."""


class DriverError(Exception):
    """A driver that is there and does not work; the text says what it answered."""


def load(*names: str) -> ctypes.CDLL | None:
    """The driver's library by the first of its names that there is; None where there is none."""
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            if "cannot open shared object" not in str(error) and sys.platform == "linux":
                raise DriverError(f"its library does not load: {error}") from error
    return None


def check(function: str, code: int) -> None:
    """Raise the error for what a function answered, unless it is 0."""
    if code:
        raise DriverError(f"{function}() answers error {code}")


def text_of(buffer: ctypes.Array[ctypes.c_char]) -> str:
    """What a function wrote."""
    return buffer.value.decode(errors="replace")


def path_of(name: str) -> str:
    """Where a loaded library is; "" where the system does not tell."""
    try:
        with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123 - starts faster
            paths = {line.split(maxsplit=5)[-1].strip() for line in maps if name in line}
    except OSError:
        return ""
    return min(paths, default="")
