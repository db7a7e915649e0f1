"""Builds of the native engine: which there are, and whether they can be used here.

For now there is one, "cpu": the library inside the installed stable-diffusion-cpp-python package.
It is found without importing that package, because importing it loads the library.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from sdcpu.binding import BINDING, BINDING_MODULE, BINDING_VERSION
from sdcpu.errors import BuildNotInstalledError, BuildUnusableError
from sdcpu.settings import Settings, engine_library

AUTOMATIC = "auto"
"""The build's name when the choice is left to us."""

_LIBRARY_NAMES = {
    "win32": ("stable-diffusion.dll", "libstable-diffusion.dll"),
    "darwin": ("libstable-diffusion.so", "libstable-diffusion.dylib"),
}
"""As the binding itself looks for them, by platform."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One build of the engine."""

    name: str
    """Stable name for options, such as "cpu"."""
    title: str
    """What it is, for people."""
    library: Path
    """The shared library; the child process loads it."""
    version: str
    """The binding's version."""
    usable: bool
    problem: str = ""
    """Why it cannot be used, a plain sentence; "" when it can."""


def list_builds(settings: Settings) -> tuple[Build, ...]:  # noqa: ARG001 - where to look is a setting
    """All installed builds, usable or not, best first.

    >>> from sdcpu.settings import load_settings
    >>> [build.name for build in list_builds(load_settings())]
    ['cpu']
    """
    package = _package_folder()
    return () if package is None else (_cpu_build(package),)


def find_build(name: str, settings: Settings) -> Build:
    """The build of this name; "auto" takes the first usable one.

    Raises:
        BuildNotInstalledError: there is no such build here.
        BuildUnusableError: it is here and cannot be used; the message says why.

    >>> from sdcpu.settings import load_settings
    >>> find_build("auto", load_settings()).name
    'cpu'
    """
    builds = list_builds(settings)
    if not builds:
        raise BuildNotInstalledError(
            f"The engine ({BINDING} {BINDING_VERSION}) is not installed.",
            hint=f"Install it: pip install {BINDING}=={BINDING_VERSION}",
        )
    wanted = builds if name == AUTOMATIC else [build for build in builds if build.name == name]
    if not wanted:
        installed = ", ".join(build.name for build in builds)
        raise BuildNotInstalledError(
            f"There is no engine build {name!r} here.", hint=f"Installed: {installed}."
        )
    for build in wanted:
        if build.usable:
            return build
    raise BuildUnusableError(
        f"The engine build {wanted[0].name!r} cannot be used: {wanted[0].problem}",
        hint=f"Install it again: pip install --force-reinstall {BINDING}=={BINDING_VERSION}",
    )


def library_to_load() -> Path | None:
    """The library that the binding will load in this process; None where there is no binding.

    >>> library_to_load() is not None
    True
    """
    package = _package_folder()
    return engine_library() or (None if package is None else _library_in(package))


def _package_folder() -> Path | None:
    """Where the binding is installed; nothing of it is executed."""
    try:
        found = importlib.util.find_spec(BINDING_MODULE)
    except (ImportError, ValueError):
        return None
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _library_in(package: Path) -> Path:
    names = _LIBRARY_NAMES.get(sys.platform, ("libstable-diffusion.so",))
    candidates = [package / "lib" / name for name in names]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _cpu_build(package: Path) -> Build:
    from importlib import metadata

    library = _library_in(package)
    try:
        version = metadata.version(BINDING)
    except metadata.PackageNotFoundError:
        version = "unknown"
    if version != BINDING_VERSION:
        problem = f"{BINDING} {version} is installed; sdcpu works with {BINDING_VERSION} only."
    elif not library.is_file():
        problem = f"its library {library} is missing."
    else:
        problem = ""
    return Build(
        name="cpu",
        title="The processor, any maker",
        library=library,
        version=version,
        usable=not problem,
        problem=problem,
    )
