"""Compilers for tests: scripts that are called like CMake and Ninja and do what a test wants."""

import tarfile
from io import BytesIO
from pathlib import Path

from sdcpu.binding import BINDING_VERSION

CMAKE = """#!/bin/sh
case "$*" in
*--build*)
    {compile}
    ;;
*)
    while [ "$1" != -B ]; do shift; done
    mkdir -p "$2"
    {configure}
    ;;
esac
"""
MAKES_A_LIBRARY = """
    shift
    echo '[0/2] Re-checking globbed directories...'
    echo '[1/2] Building one'
    echo '[2/2] Linking'
    mkdir -p "$1/bin" && echo library > "$1/bin/libstable-diffusion.so"
"""


def write_tools(folder: Path, *, configure: str = ":", compile_with: str = MAKES_A_LIBRARY) -> None:
    """Write a CMake that does this, and the other programs, which do nothing."""
    write_program(folder, "cmake", CMAKE.format(configure=configure, compile=compile_with))
    for name in ("ninja", "c++", "glslc"):
        write_program(folder, name, "#!/bin/sh\n")


def write_program(folder: Path, name: str, text: str) -> None:
    """Write a program."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


def write_source(path: Path, version: str = BINDING_VERSION) -> Path:
    """Write an archive that looks like the binding's source."""
    root = f"stable_diffusion_cpp_python-{version}"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (
            ("PKG-INFO", f"Metadata-Version: 2.2\nVersion: {version}\n"),
            ("vendor/stable-diffusion.cpp/CMakeLists.txt", "project(nothing)\n"),
        ):
            member = tarfile.TarInfo(f"{root}/{name}")
            member.size = len(text)
            archive.addfile(member, BytesIO(text.encode()))
    return path
