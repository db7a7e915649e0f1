"""What our check of headers lets through, the native reader survives."""

from __future__ import annotations

import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sdcpu.errors import ModelFileError
from sdcpu.weights import read_header
from tests.bad_files import entry, gguf, tensor, text

READER = """
import ctypes, pathlib, sys

class Parameters(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("context", ctypes.POINTER(ctypes.c_void_p))]

library = ctypes.CDLL(sys.argv[1])
library.gguf_init_from_file.restype = ctypes.c_void_p
library.gguf_init_from_file.argtypes = [ctypes.c_char_p, Parameters]
read = 0
for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    context = ctypes.c_void_p()
    parameters = Parameters(True, ctypes.pointer(context))
    read += bool(library.gguf_init_from_file(str(path).encode(), parameters))
print(read)
"""
"""Reads every file of a folder with the engine's own reader and counts the successes."""


@pytest.fixture(scope="module")
def library() -> Path:
    """The engine's library, found without importing the binding."""
    spec = find_spec("stable_diffusion_cpp")
    assert spec is not None
    assert spec.origin is not None
    found = sorted((Path(spec.origin).parent / "lib").glob("*stable-diffusion*"))
    return found[0]


def test_the_native_reader_survives_what_we_accept(tmp_path: Path, library: Path) -> None:
    entries = [entry("general.name", 8, text("x")), entry("n", 4, bytes(4))]
    sound = gguf(tensor("a", (32, 2)), tensor("b", (8,), offset=128), entries=entries, data=160)
    chance = random.Random(0)
    accepted = 0
    for number in range(2000):
        data = bytearray(sound)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data) - 160)] = chance.choice((0, 1, 8, 13, 32, 127, 255))
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(data)
        try:
            read_header(path)
            accepted += 1
        except ModelFileError:
            path.unlink()
    assert 200 < accepted < 1900, "the corruptions must be of both kinds"
    child = subprocess.run(
        [sys.executable, "-c", READER, str(library), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-500:]
    assert int(child.stdout) > accepted * 0.9
