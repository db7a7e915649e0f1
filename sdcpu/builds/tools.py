"""The tools that compile a build: found, or the command that would install them."""

from __future__ import annotations

import os
import re
import shutil
import site
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdcpu.builds.recipes import INSTALL_COMMANDS, Need, Recipe
from sdcpu.errors import BuildError

_CUDA_FOLDERS = ("/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda")
VULKAN_HEADERS = (1, 3, 272)
"""The first version that has VK_EXT_layer_settings, which the engine's source uses."""
_VULKAN_VERSION = re.compile(r"VK_HEADER_VERSION_COMPLETE\s+\w+\(\d+,\s*(\d+),\s*(\d+)")
_VULKAN_PATCH = re.compile(r"#define VK_HEADER_VERSION (\d+)")
_MANAGERS = ("apt", "dnf", "pacman", "brew", "winget")
_OF_THE_SYSTEM = {"darwin": "xcode"}
"""What installs a compiler where that is no package."""
_ROCM_FOLDERS = ("/opt/rocm", "/usr")
_ONEAPI_FOLDER = Path("/opt/intel/oneapi")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What was found for a recipe."""

    programs: Mapping[str, str] = field(default_factory=dict)
    """Paths of programs, by the names of `Need`."""
    options: tuple[str, ...] = ()
    """Options of CMake that say where things are."""


def find_tools(recipe: Recipe, environment: Mapping[str, str]) -> Tools:
    """Find everything that a recipe needs.

    Raises:
        BuildError: something is missing; the hint has the command that installs all of it.
    """
    if sys.platform not in recipe.systems:
        raise BuildError(
            f"The {recipe.name} build cannot be made on this system.",
            hint="sdcpu builds lists what can.",
        )
    programs: dict[str, str] = {}
    options: list[str] = []
    missing: list[Need] = []
    for need in recipe.needs:
        found = _FINDERS.get(need.name, _find_program)(need.name, environment)
        if found is None:
            missing.append(need)
        elif found.program:
            programs[need.name] = found.program
        options += [] if found is None else found.options
    if missing:
        lacking = "; ".join(f"{need.title} ({need.name})" for need in missing)
        raise BuildError(
            f"The {recipe.name} build cannot be compiled: missing are {lacking}.",
            hint=f"Install it: {install_command(missing, environment)}",
            details={"missing": " ".join(need.name for need in missing)},
        )
    return Tools(programs=programs, options=tuple(options))


def install_command(missing: Sequence[Need], environment: Mapping[str, str]) -> str:
    """The command, or the commands joined by &&, that would install what is missing.

    >>> from sdcpu.builds.recipes import NINJA
    >>> install_command([NINJA], {"PATH": ""})
    'pip install ninja'
    """
    path = environment.get("PATH", "")
    manager = next((name for name in _MANAGERS if shutil.which(name, path=path)), "pip")
    wanted: dict[str, list[str]] = {}
    unknown = []
    for need in missing:
        chosen = next(
            (
                name
                for name in (_OF_THE_SYSTEM.get(sys.platform, ""), manager)
                if name in need.packages
            ),
            "pip",
        )
        if chosen in need.packages:
            wanted.setdefault(chosen, []).append(need.packages[chosen])
        else:
            unknown.append(f"{need.title}, from its maker")
    commands = [f"{INSTALL_COMMANDS[name]} {' '.join(args)}" for name, args in wanted.items()]
    return " && ".join([*commands, *unknown])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    program: str = ""
    options: tuple[str, ...] = ()


def _find_program(name: str, environment: Mapping[str, str]) -> _Found | None:
    # Programs that pip installed stand beside Python and may not be on the path.
    folders = [environment.get("PATH", ""), sysconfig.get_path("scripts")]
    program = shutil.which(name, path=os.pathsep.join(folders))
    return _Found(program=program) if program else None


def _find_compiler(_name: str, environment: Mapping[str, str]) -> _Found | None:
    if sys.platform == "win32":  # CMake knows where Visual Studio is
        return _Found()
    wanted = environment.get("CXX", "").split()[:1]
    for name in (*wanted, "c++", "g++", "clang++"):
        if (found := _find_program(name, environment)) is not None:
            return found
    return None


def _find_nvcc(name: str, environment: Mapping[str, str]) -> _Found | None:
    folders = [environment.get("CUDA_PATH", ""), environment.get("CUDA_HOME", ""), *_CUDA_FOLDERS]
    places = [
        environment.get("PATH", ""),
        *(str(Path(folder, "bin")) for folder in folders if folder),
    ]
    program = shutil.which(name, path=os.pathsep.join(places))
    if program is None:
        return None
    return _Found(program=program, options=(f"-DCMAKE_CUDA_COMPILER={program}",))


def _find_cublas(_name: str, environment: Mapping[str, str]) -> _Found | None:
    """cuBLAS: part of a whole CUDA toolkit; else NVIDIA's package for Python has it."""
    folders = [environment.get("CUDA_PATH", ""), environment.get("CUDA_HOME", ""), *_CUDA_FOLDERS]
    nvcc = _find_nvcc("nvcc", environment)
    roots = [Path(folder) for folder in folders if folder]
    if nvcc is not None:
        roots.insert(0, Path(nvcc.program).resolve().parent.parent)
    for root in (*roots, Path("/usr")):
        for header in (root / "include", root / "targets/x86_64-linux/include"):
            if (header / "cublas_v2.h").is_file():
                return _Found()
    for root in _python_cuda_folders():
        for library in sorted((root / "lib").glob("libcublas.so*")):
            if (root / "include" / "cublas_v2.h").is_file():
                # The library by its path: the package has no name without a version, and the
                # build remembers where it is.
                return _Found(
                    options=(
                        f"-DCUDA_cublas_LIBRARY={library}",
                        f"-DCMAKE_CUDA_FLAGS=-I{root / 'include'}",
                    )
                )
    return None


def _python_cuda_folders() -> list[Path]:
    """Where NVIDIA's packages for Python put CUDA: in one folder, before 13 each in its own."""
    places = {*site.getsitepackages(), site.getusersitepackages(), *sys.path}
    roots = [Path(place) / "nvidia" for place in sorted(places) if place]
    return [
        folder
        for root in roots
        for folder in (*sorted(root.glob("cu[0-9]*"), reverse=True), root / "cublas")
    ]


def _find_vulkan(_name: str, environment: Mapping[str, str]) -> _Found | None:
    sdk = environment.get("VULKAN_SDK", "")
    folders = [f"{sdk}/include"] if sdk else []
    folders += ["/usr/include", "/usr/local/include", "/opt/homebrew/include"]
    headers = (Path(folder, "vulkan", "vulkan_core.h") for folder in folders)
    header = next((header for header in headers if header.is_file()), None)
    if header is None:
        return None
    text = header.read_text(encoding="utf-8", errors="replace")
    version, patch = _VULKAN_VERSION.search(text), _VULKAN_PATCH.search(text)
    here = (int(version[1]), int(version[2]), int(patch[1])) if version and patch else (0, 0, 0)
    if here < VULKAN_HEADERS:
        needed = ".".join(map(str, VULKAN_HEADERS))
        raise BuildError(
            f"The vulkan build cannot be compiled: {header.parent} has Vulkan's headers of version "
            f"{'.'.join(map(str, here))}, and it needs {needed} or newer.",
            hint="Get the Vulkan SDK from https://vulkan.lunarg.com, or put the folder 'include' "
            "of https://github.com/KhronosGroup/Vulkan-Headers into one that VULKAN_SDK names.",
        )
    return _Found()


def _find_hipcc(name: str, environment: Mapping[str, str]) -> _Found | None:
    folders = [*_rocm_folders(environment), environment.get("HIP_PATH", "")]
    places = [environment.get("PATH", ""), *(str(Path(folder, "bin")) for folder in folders)]
    program = shutil.which(name, path=os.pathsep.join(places))
    return _Found(program=program) if program else None


def _find_hipblas(_name: str, environment: Mapping[str, str]) -> _Found | None:
    roots = [Path(folder) for folder in _rocm_folders(environment)]
    both = ("hipblas/hipblas.h", "rocblas/rocblas.h")
    there = any(all((root / "include" / name).is_file() for name in both) for root in roots)
    return _Found() if there else None


def _rocm_folders(environment: Mapping[str, str]) -> list[str]:
    return [folder for folder in (environment.get("ROCM_PATH", ""), *_ROCM_FOLDERS) if folder]


def _find_icpx(name: str, environment: Mapping[str, str]) -> _Found | None:
    windows = sys.platform == "win32"  # where one program compiles C and C++
    compiler = _find_program("icx" if windows else name, environment)
    if compiler is None:
        script = _ONEAPI_FOLDER / "setvars.sh"
        if script.is_file():
            raise BuildError(
                "The sycl build cannot be compiled: Intel's oneAPI is installed, and this terminal "
                "does not know where.",
                hint=f"Tell it, then begin again: . {script}",
            )
        return None
    c = compiler.program if windows else str(Path(compiler.program).with_name("icx"))
    options = (f"-DCMAKE_C_COMPILER={c}", f"-DCMAKE_CXX_COMPILER={compiler.program}")
    return replace(compiler, options=options)


_FINDERS: dict[str, Callable[[str, Mapping[str, str]], _Found | None]] = {
    "c++": _find_compiler,
    "nvcc": _find_nvcc,
    "cublas": _find_cublas,
    "vulkan": _find_vulkan,
    "hipcc": _find_hipcc,
    "hipblas": _find_hipblas,
    "icpx": _find_icpx,
}
"""Those that are more than a program on the path."""
