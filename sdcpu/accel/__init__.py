"""Our native code in the engine's process: it cancels inside a step, and computes (README.md).

It comes there in one of two ways: as a library that is loaded before the engine, or inside the
engine itself, when that was compiled with `inside_engine.cmake`.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ctypes

Way = Literal["", "interposed", "inside"]
"""How our code came before the engine's; "" where it did not."""

_MARK = "sdcpu-kernels.txt"
"""Lies beside an engine that was compiled with our code: looking through its library would take
longer than all else at the start."""
_FUNCTIONS = (
    "sdcpu_accel_variant",
    "sdcpu_accel_problem",
    "sdcpu_accel_print_profile",
    "sdcpu_door_ready",
    "sdcpu_door_cancel",
)
"""What the native code exports for `Door`."""


def library_path() -> Path | None:
    """The library that is loaded before the engine; None where it was not built."""
    # An editable installation keeps what was built in another folder than the sources.
    for folder in __path__:
        path = Path(folder) / "libsdcpu_accel.so"
        if path.is_file():
            return path
    return None


def is_inside(engine_library: Path) -> bool:
    """Whether this engine was compiled with our code in it."""
    return engine_library.with_name(_MARK).is_file()


def are_kernels_there(engine_library: Path) -> bool:
    """Whether our code can come before this engine's, in either way."""
    return is_inside(engine_library) or library_path() is not None


def cmake_arguments() -> str:
    """CMAKE_ARGS for the compilation of the binding that puts our code inside the engine.

    >>> cmake_arguments().startswith("-DCMAKE_PROJECT_stable_diffusion_cpp_INCLUDE=")
    True
    """
    file = next(
        path for folder in __path__ if (path := Path(folder) / "inside_engine.cmake").is_file()
    )
    # Read with shlex by scikit-build-core, on all systems: a backslash would be lost.
    return shlex.quote(f"-DCMAKE_PROJECT_stable_diffusion_cpp_INCLUDE={file.resolve().as_posix()}")


class Door:
    """Our native code: ends a computation in the middle (door.cpp), and computes (README.md)."""

    def __init__(self, library: ctypes.CDLL, way: Way) -> None:
        import ctypes

        self._library = library
        self.way = way
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


def load_door(engine_library: Path | None = None) -> Door | None:
    """Load the library that comes before this engine's; this must happen before that one is loaded.

    None where it was not built, and for an engine that has our code inside: see `door_inside`.
    """
    import ctypes

    path = library_path()
    if path is None or (engine_library is not None and is_inside(engine_library)):
        return None
    try:
        return Door(ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL), "interposed")
    except OSError:  # built for another system than this one
        return None


def door_inside(engine: ctypes.CDLL) -> Door | None:
    """Our code in this loaded engine; None where it has none, or that of another version."""
    return Door(engine, "inside") if all(hasattr(engine, name) for name in _FUNCTIONS) else None
