"""An engine that was compiled with our kernels in it, as on macOS and Windows: the same pictures.

`scripts/inside` compiles it, for minutes; SDCPU_TEST_INSIDE names the folder of one that is there.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdcpu.accel import is_inside
from sdcpu.families import FileRole
from sdcpu.hardware import detect_hardware
from sdcpu.kernels import usable_kernels
from sdcpu.process import EngineProcess
from tests.native.accel.test_pictures import draw

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="compared with the way that Linux has"),
]


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the binding with this engine is installed."""
    if kept := os.environ.get("SDCPU_TEST_INSIDE"):
        return Path(kept).absolute()
    subprocess.run([ROOT / "scripts" / "inside"], check=True)
    return ROOT / "build" / "inside"


@pytest.fixture(scope="module")
def library(folder: Path) -> Path:
    return folder / "stable_diffusion_cpp" / "lib" / "libstable-diffusion.so"


@pytest.mark.parametrize("kernels", usable_kernels(detect_hardware().cpu_features, built=True))
def test_pictures_are_the_same_in_both_ways(
    library: Path, demo_files: dict[FileRole, Path], kernels: str
) -> None:
    inside, interposed = (draw(demo_files, kernels, library=path) for path in (library, None))
    assert [one.tobytes() for one in inside] == [other.tobytes() for other in interposed]


def test_it_is_known_and_switched_as_the_other_way(library: Path) -> None:
    assert is_inside(library)
    for kernels in (*usable_kernels(detect_hardware().cpu_features, built=True), "off"):
        environment = {**os.environ, "SDCPU_ACCEL": kernels}
        with EngineProcess(library=library, environment=environment) as process:
            started = process.start()
            assert (started.kernels, started.kernels_way) == (kernels, "inside")
            assert started.cancels_in_place
            libraries = Path(f"/proc/{process.pid}/maps").read_text()
        assert str(library) in libraries
        assert "libsdcpu_accel" not in libraries


def test_operations_are_right(library: Path) -> None:
    """The tests of every operation, on the kernels in this library."""
    environment = {**os.environ, "SDCPU_ACCEL_TEST_LIBRARY": str(library)}
    command = [sys.executable, "-m", "pytest", "-q", "tests/native/accel"]
    # How an engine is told that differs, is another thing inside it: the tests below see to it.
    for other in ("pictures", "door"):
        command += ["--ignore", f"tests/native/accel/test_{other}.py"]
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


ANOTHER_ENGINE = {
    "ggml 0.9.9 instead of 0.9.8": 'const char *ggml_version(void) { return "0.9.9"; }',
    # The first tensor is that of the trial, before any of the engine's own.
    "sizes of a tensor": """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdint.h>
        #include <stdlib.h>
        typedef char *(*new_tensor)(void *, int, int64_t, int64_t, int64_t, int64_t);
        char *ggml_new_tensor_4d(void *at, int type, int64_t a, int64_t b, int64_t c, int64_t d) {
            static int calls;
            void *engine = dlopen(getenv("STABLE_DIFFUSION_CPP_LIB"), RTLD_LAZY | RTLD_NOLOAD);
            new_tensor real = (new_tensor)dlsym(engine, "ggml_new_tensor_4d");
            return real(at, type, a, b, c, d) + (calls++ ? 0 : 8);
        }""",
}
"""What a library that is preloaded pretends, by what is said about it."""


@pytest.mark.parametrize("difference", ANOTHER_ENGINE)
def test_kernels_stay_off_in_an_engine_that_is_not_the_known_one(
    folder: Path, library: Path, demo_files: dict[FileRole, Path], tmp_path: Path, difference: str
) -> None:
    source, preloaded = tmp_path / "another.c", tmp_path / "another.so"
    source.write_text(ANOTHER_ENGINE[difference])
    subprocess.run(["cc", "-shared", "-fPIC", "-o", preloaded, source, "-ldl"], check=True)
    pretending = {"LD_PRELOAD": str(preloaded)}

    report = subprocess.run(
        [sys.executable, "-m", "sdcpu", "doctor", "--json"],
        cwd=ROOT,
        env={**os.environ, **pretending, "PYTHONPATH": f"{folder}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    said = [finding["text"] for finding in json.loads(report)]
    assert f"Our kernels stay off, because {difference}." in said
    assert any(text.startswith("off, in the engine, not ") for text in said)

    pictures = draw(demo_files, "auto", library=library, more=pretending)
    stock = draw(demo_files, "auto", library=library, more={"SDCPU_ACCEL": "off"})
    assert [one.tobytes() for one in pictures] == [other.tobytes() for other in stock]
