"""Native helpers for the engine's process, loaded before the engine itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes


def library_path() -> Path | None:
    """The native library, or None where it was not built (see CMakeLists.txt)."""
    # An editable installation keeps what was built in another folder than the sources.
    for folder in __path__:
        path = Path(folder) / "libsdcpu_accel.so"
        if path.is_file():
            return path
    return None


class Door:
    """The native library: ends a computation in the middle (door.cpp), and computes (README.md)."""

    def __init__(self, library: ctypes.CDLL) -> None:
        import ctypes

        self._library = library
        for function in (library.sdcpu_accel_variant, library.sdcpu_accel_problem):
            function.argtypes = [ctypes.c_char_p]
            function.restype = ctypes.c_char_p
        library.sdcpu_accel_print_profile.argtypes = [ctypes.c_char_p]
        library.sdcpu_accel_print_profile.restype = None

    def kernels(self, engine_library: str) -> str:
        """The kernels that compute for this loaded engine: a name of `sdcpu.kernels.CHOICES`."""
        return str(self._library.sdcpu_accel_variant(engine_library.encode()).decode())

    def problem(self, engine_library: str) -> str:
        """Why no kernels compute for this engine although they were asked for; empty otherwise."""
        return str(self._library.sdcpu_accel_problem(engine_library.encode()).decode())

    def is_ready(self, engine_library: str) -> bool:
        """Whether the engine in this library, loaded by now, can be cancelled in place."""
        return bool(self._library.sdcpu_door_ready(engine_library.encode()))

    def cancel(self, *, wanted: bool) -> None:
        """End the running computation and those that follow, or let them run again."""
        self._library.sdcpu_door_cancel(int(wanted))

    def print_profile(self, title: str) -> None:
        """Print where the time went since the last call, if SDCPU_ACCEL_PROFILE asks for it."""
        self._library.sdcpu_accel_print_profile(title.encode())


def load_door() -> Door | None:
    """Load the library; this must come before the engine's library. None where it was not built."""
    import ctypes

    path = library_path()
    if path is None:
        return None
    try:
        return Door(ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL))
    except OSError:  # built for another system than this one
        return None
