"""The instruction sets that an engine's library was compiled for, read off its file.

Nothing is loaded: a library for another processor may end whoever loads it. The engine has a
function for each instruction set, such as ggml_cpu_has_avx2(), which says whether the compiler used
it; the few bytes of its machine code are compared with what compilers make of `return 1`.
"""

from __future__ import annotations

import mmap
import re
import struct
from functools import lru_cache
from pathlib import Path

from sdcpu.builds.records import library_mark

_FUNCTION = "ggml_cpu_has_"
_FEATURES = {
    "sse3": "pni",
    "ssse3": "ssse3",
    "avx": "avx",
    "avx2": "avx2",
    "avx_vnni": "avx_vnni",
    "avx512": "avx512f",
    "avx512_vbmi": "avx512vbmi",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "amx_int8": "amx_int8",
    "bmi2": "bmi2",
    "fma": "fma",
    "f16c": "f16c",
    "neon": "asimd",
    "dotprod": "asimddp",
    "matmul_int8": "i8mm",
    "sve": "sve",
    "sme": "sme",
}
"""The engine's names (ggml-cpu.h), and those of Linux."""

_ELF_64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
_DYNAMIC_SYMBOLS = 11  # SHT_DYNSYM
_RETURN_1 = {
    62: re.compile(rb"(\xf3\x0f\x1e\xfa)?\xb8\x01\0\0\0\xc3"),  # EM_X86_64: mov eax, 1; ret
    183: re.compile(rb"(\x5f\x24\x03\xd5)?\x20\0\x80\x52\xc0\x03\x5f\xd6"),  # EM_AARCH64
}
"""By e_machine; a mark for the target of a jump may come first."""
_CODE_BYTES = 16


def compiled_for(library: Path) -> frozenset[str]:
    """Instruction sets in the kernel's words, such as "avx2"; none where they cannot be known.

    They are known for libraries of Linux on x86-64 and 64-bit Arm.

    >>> compiled_for(Path("/nowhere"))
    frozenset()
    """
    return _read(library, library_mark(library))


@lru_cache(maxsize=16)
def _read(library: Path, _mark: str) -> frozenset[str]:
    try:
        with (
            library.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf,
        ):
            return _features(elf)
    except (OSError, ValueError, struct.error, IndexError):
        return frozenset()


def _features(elf: mmap.mmap) -> frozenset[str]:
    (machine,) = struct.unpack_from("<H", elf, 18)
    if elf[:6] != _ELF_64_LITTLE_ENDIAN or machine not in _RETURN_1:
        return frozenset()
    (first,) = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    # Of each section: type, address, offset, size, and the section that it refers to.
    sections = [
        struct.unpack_from("<4xI8xQQQI", elf, first + size * number) for number in range(count)
    ]
    table = next((section for section in sections if section[0] == _DYNAMIC_SYMBOLS), None)
    if table is None:
        return frozenset()
    _, _, begin, length, strings = table
    names = _offsets(elf, sections[strings])
    found = set()
    for name, _, _, section, address, _ in struct.iter_unpack(
        "<IBBHQQ", elf[begin : begin + length]
    ):
        if name in names and section < len(sections):
            _, start, offset, _, _ = sections[section]
            code = address - start + offset
            if _RETURN_1[machine].match(elf[code : code + _CODE_BYTES]):
                found.add(names[name])
    return frozenset(found)


def _offsets(elf: mmap.mmap, section: tuple[int, ...]) -> dict[int, str]:
    """Where the functions' names are in the table of names, with the features that they mean."""
    _, _, begin, length, _ = section
    names = {}
    for name, feature in _FEATURES.items():
        place = elf.find(f"\0{_FUNCTION}{name}\0".encode(), begin, begin + length)
        if place >= 0:
            names[place + 1 - begin] = feature
    return names
