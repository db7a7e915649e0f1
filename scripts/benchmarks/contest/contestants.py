"""Who takes part: the engine in several ways, PyTorch and OpenVINO; and who cannot, and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[3]
MODULES = (Path(__file__).parents[1], ROOT)
"""What the programs of the contestants import their own modules from."""

AVX2_ONLY = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OV_CPU_MAX_ISA": "AVX2",
}
"""What holds PyTorch and OpenVINO to AVX2. One gap is left, in the peer's favour: the products of
linear layers in OpenVINO f32 come from MLAS, which goes on with AVX-512 where there is any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """One way to make the same picture."""

    name: str
    title: str
    kind: Literal["engine", "torch", "openvino"]
    precision: str = ""
    """Of a peer."""
    avx2: bool = False
    """Held to AVX2, as a laptop's processor would be."""
    library: Literal["installed", "stock", "llamafile"] = "installed"
    kernels: str = "off"
    """Ours inside the engine."""
    weights: str = ""
    """The engine's type of weights; empty: what is asked for."""
    once: bool = False
    """So slow that one round has to do."""


def _ours(kernels: str, weights: str = "") -> Contestant:
    name = f"ours-{kernels}" + (f"-{weights}" if weights else "")
    title = f"our kernels, {kernels}" + (f", {weights}" if weights else "")
    return Contestant(name=name, title=title, kind="engine", kernels=kernels, weights=weights)


def _peer(kind: Literal["torch", "openvino"], precision: str, *, avx2: bool = False) -> Contestant:
    words = [precision, *(["avx2"] if avx2 else [])]
    title = {"torch": "PyTorch", "openvino": "OpenVINO"}[kind]
    return Contestant(
        name="-".join([kind, *words]),
        title=f"{title} {' held to '.join(words)}",
        kind=kind,
        precision=precision,
        avx2=avx2,
        once=avx2 and precision == "bf16",  # PyTorch emulates it there, 8 times slower
    )


CONTESTANTS = (
    Contestant(
        name="stock",
        title="the binding as pip builds it",
        kind="engine",
        library="stock",
        once=True,
    ),
    Contestant(
        name="llamafile",
        title="the binding with GGML_LLAMAFILE",
        kind="engine",
        library="llamafile",
        once=True,
    ),
    _ours("avx2"),
    _ours("avx512"),
    _ours("bf16"),
    _ours("int8"),
    _ours("int8", "q4_0"),
    _peer("torch", "f32"),
    _peer("torch", "bf16"),
    _peer("openvino", "f32"),
    _peer("openvino", "bf16"),
    _peer("torch", "f32", avx2=True),
    _peer("torch", "bf16", avx2=True),
    _peer("openvino", "f32", avx2=True),
    _peer("openvino", "bf16", avx2=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What the contestants run with."""

    threads: int
    peers_python: str
    """The interpreter that has the peers' packages."""
    libraries: Mapping[str, Path | None]
    """The engine's libraries by `Contestant.library`."""
    versions: dict[str, str] = field(default_factory=dict)

    def python(self, contestant: Contestant) -> str:
        """The interpreter for a contestant's program."""
        return sys.executable if contestant.kind == "engine" else self.peers_python

    def environment(self, contestant: Contestant | None = None) -> dict[str, str]:
        """The environment for a contestant's program."""
        threads = str(self.threads)
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, MODULES)),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "HF_HUB_OFFLINE": "1",
            **(AVX2_ONLY if contestant is not None and contestant.avx2 else {}),
        }


def find_surroundings(
    *, threads: int, peers_python: str, stock: Path | None, llamafile: Path | None
) -> Surroundings:
    """Look for the engine's libraries; the installed one stands in for the one that it is."""
    from sdcpu.builds import find_build
    from sdcpu.settings import load_settings

    installed = find_build("auto", load_settings()).library
    if _has_llamafile(installed):
        llamafile = llamafile or installed
    else:
        stock = stock or installed
    libraries = {"installed": installed, "stock": stock, "llamafile": llamafile}
    return Surroundings(threads=threads, peers_python=peers_python, libraries=libraries)


def why_not(contestant: Contestant, around: Surroundings) -> str:
    """Why a contestant cannot take part here; empty when it can."""
    if contestant.kind != "engine":
        return _why_not_peer(contestant, around)
    library = around.libraries[contestant.library]
    if library is None:
        how = "with" if contestant.library == "llamafile" else "without"
        return f"needs a library built {how} GGML_LLAMAFILE: --{contestant.library}-library"
    if contestant.library != "installed" and (
        _has_llamafile(library) != (contestant.library == "llamafile")
    ):
        return f"{library} was built the other way"
    if contestant.kernels == "off":
        return ""
    running = _probe(_KERNELS, contestant, around, str(library))
    found = running.get("kernels", "none")
    return "" if found == contestant.kernels else _no_kernels(running, found)


def _no_kernels(running: dict[str, Any], found: str) -> str:
    return str(running.get("problem")) or f"the engine computes with kernels: {found}"


_KERNELS = """
import ctypes, json, sys
from sdcpu.accel import load_door
door = load_door()
ctypes.CDLL(sys.argv[1])
if door is None or not hasattr(door, "kernels"):
    print(json.dumps({"problem": "no kernels were built with this sdcpu"}))
else:
    print(json.dumps({"kernels": door.kernels(sys.argv[1]), "problem": door.problem(sys.argv[1])}))
"""
_TORCH = """
import json, accelerate, diffusers, torch, transformers
packages = (torch, diffusers, transformers)
print(json.dumps({"versions": {each.__name__: each.__version__ for each in packages}}))
"""
_OPENVINO = """
import json, openvino
capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
print(json.dumps({"versions": {"openvino": openvino.__version__}, "capabilities": capabilities}))
"""


def _why_not_peer(contestant: Contestant, around: Surroundings) -> str:
    probe = _TORCH if contestant.kind == "torch" else _OPENVINO
    found = _probe(probe, contestant, around)
    around.versions.update(found.get("versions", {}))
    if "problem" in found:
        return f"{found['problem']} (pip install 'sdcpu[peers]')"
    capabilities = found.get("capabilities", ["BF16"])
    if contestant.precision == "bf16" and "BF16" not in capabilities:
        return "has no bf16 on such a processor and would compute in f32"
    return ""


def _probe(
    program: str, contestant: Contestant, around: Surroundings, *arguments: str
) -> dict[str, Any]:
    """What a small program in the contestant's own surroundings says, or its problem."""
    try:
        done = subprocess.run(
            [around.python(contestant), "-c", program, *arguments],
            env=around.environment(contestant) | {"SDCPU_ACCEL": contestant.kernels},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return {"problem": str(error)}
    if done.returncode:
        return {"problem": (done.stderr.strip().splitlines() or ["it died"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _has_llamafile(library: Path) -> bool:
    """Whether the fast products are compiled in; without them nothing has this name."""
    return b"llamafile_sgemm" in library.read_bytes()
