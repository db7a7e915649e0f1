"""Which graphs a cancel ends in the middle, and that the engine is left alone where it differs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sdcpu.process import EngineProcess
from tests.native.accel.engine_graphs import Graph, Handle, engine_path, libraries, require
from tests.native.accel.graphs import library_file

ROWS = np.arange(3, dtype=np.int32)


def look_up(graph: Graph) -> Handle:
    """What a text encoder begins with: the vectors of its tokens."""
    return graph.do("get_rows", graph.leaf(np.ones((10, 8))), graph.integers(ROWS))


def convolve(graph: Graph) -> Handle:
    """What decoders are made of."""
    kernel, picture = graph.leaf(np.ones((4, 4, 3, 3))), graph.leaf(np.ones((1, 4, 8, 8)))
    return graph.do("conv_2d_direct", kernel, picture, 1, 1, 1, 1, 1, 1)


def embed_time(graph: Graph) -> Handle:
    """What diffusion models begin with."""
    return graph.do("timestep_embedding", graph.leaf(np.ones(1)), 8, 10000)


GRAPHS: dict[str, tuple[tuple[Callable[[Graph], Handle], ...], bool]] = {
    "text encoder": ((look_up,), False),
    "text encoder with convolutions": ((look_up, convolve), False),
    "nothing that is known": ((), False),
    "decoder": ((convolve,), True),
    "diffusion model": ((embed_time,), True),
    "diffusion model that looks up": ((embed_time, look_up), True),
}
"""Graphs of these parts, and whether they may end early."""


@pytest.fixture
def wanted_cancel() -> Iterator[None]:
    """A cancel that has come before the graphs."""
    ours = libraries().ours
    ours.sdcpu_door_cancel(1)
    yield
    ours.sdcpu_door_cancel(0)


@pytest.mark.usefixtures("wanted_cancel")
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("kernels", ["off", "avx2"])
def test_only_graphs_that_may_end_early_do(name: str, kernels: str) -> None:
    """The engine asserts that a text encoder gave a result: ending one would end the process."""
    require(kernels)
    parts, may_end = GRAPHS[name]
    with Graph() as graph:
        graph.output(graph.do("silu", graph.leaf(np.ones(8))))
        for part in parts:
            graph.output(part(graph))
        assert graph.run(kernels) == (1 if may_end else 0)
        if not may_end:
            np.testing.assert_allclose(graph.values(graph.outputs[0]), 0.7310586, rtol=1e-5)
        libraries().ours.sdcpu_door_cancel(0)
        assert graph.run(kernels) == 0


DIFFERENCES = {
    "ggml 9.9.9 instead of": 'const char *ggml_version(void) { return "9.9.9"; }',
    "operation ": 'const char *ggml_op_name(int i) { return "FUSED"; }',
    "function ": 'const char *ggml_unary_op_name(int i) { return "FUSED"; }',
    "type ": "long ggml_blck_size(int type) { return 64; }",
    "parameters of an operation": """
        void *ggml_conv_2d_direct(void *c, void *k, void *x, int a, int b, int d, int e, int f,
                                  int g) {
            return next("ggml_conv_2d_direct")(c, k, x, b, a, d, e, f, g);
        }""",
    "function of an operation": """
        void *ggml_silu(void *c, void *x) { return next("ggml_relu")(c, x); }""",
    "do not pass here": "int ggml_graph_compute_with_ctx(void *c, void *g, int n) { return 0; }",
}
"""What is said of an engine that differs, and how it does."""

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
typedef void *(*function)();
static function next(const char *name) { return (function)dlsym(RTLD_NEXT, name); }
void *unused(void) { return next("ggml_version"); }
"""

ASK = """
import ctypes, sys
ours = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
engine = ctypes.CDLL(sys.argv[2])
for function in (ours.sdcpu_accel_variant, ours.sdcpu_accel_problem):
    function.restype = ctypes.c_char_p
    print(function(sys.argv[2].encode()).decode())
"""


def different_engine(folder: Path, source: str) -> Path:
    """A library that is the engine but for some functions."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (folder / "shim.c").write_text(SHIM + source)
    engine, shim = engine_path(), folder / "libshim.so"
    options = ["-w", "-std=gnu11", "-shared", "-fPIC", "-Wl,--no-as-needed"]
    files = [str(folder / "shim.c"), str(engine), "-o", str(shim)]
    subprocess.run([compiler, *options, *files, f"-Wl,-rpath,{engine.parent}", "-ldl"], check=True)
    return shim


def ask(engine: Path) -> tuple[str, str]:
    """Which kernels run with this engine, and why none do."""
    answer = subprocess.run(
        [sys.executable, "-c", ASK, str(library_file()), str(engine)],
        env={**os.environ, "SDCPU_ACCEL": "auto"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    kernels, problem = answer.stdout.split("\n")[:2]
    return kernels, problem


@pytest.mark.parametrize("words", DIFFERENCES)
def test_kernels_stay_off_with_an_engine_that_differs(words: str, tmp_path: Path) -> None:
    kernels, problem = ask(different_engine(tmp_path, DIFFERENCES[words]))
    assert kernels == "off"
    assert words in problem


def test_kernels_run_with_the_engine_behind_another_library(tmp_path: Path) -> None:
    """So the differences above are what keeps them off."""
    kernels, problem = ask(different_engine(tmp_path, ""))
    assert (kernels != "off", problem) == (True, "")


def test_a_user_is_told_that_kernels_stay_off(tmp_path: Path) -> None:
    shim = different_engine(tmp_path, DIFFERENCES["ggml 9.9.9 instead of"])
    environment = {**os.environ, "SDCPU_ACCEL": "auto", "STABLE_DIFFUSION_CPP_LIB": str(shim)}
    with EngineProcess(environment=environment) as engine:
        started = engine.start()
    assert started.kernels == "off"
    assert started.cancels_in_place
    assert any("stay off, because ggml 9.9.9" in note for note in started.notes)
