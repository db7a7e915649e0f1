"""Native helpers for the engine's process, loaded before the engine itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes


def library_path() -> Path | None:
    """The door's shared library, or None where it was not built (see CMakeLists.txt)."""
    # An editable installation keeps what was built in another folder than the sources.
    for folder in __path__:
        path = Path(folder) / "libsdcpu_door.so"
        if path.is_file():
            return path
    return None


class Door:
    """Ends a computation of the engine in the middle; see door.cpp for how."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def is_ready(self, engine_library: str) -> bool:
        """Whether the engine in this library, loaded by now, can be cancelled in place."""
        return bool(self._library.sdcpu_door_ready(engine_library.encode()))

    def cancel(self, *, wanted: bool) -> None:
        """End the running computation and those that follow, or let them run again."""
        self._library.sdcpu_door_cancel(int(wanted))


def load_door() -> Door | None:
    """Load the door; this must come before the engine's library. None where it was not built."""
    import ctypes

    path = library_path()
    if path is None:
        return None
    try:
        return Door(ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL))
    except OSError:  # built for another system than this one
        return None
