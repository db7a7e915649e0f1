"""The tools of builds for cards of AMD, Intel and Apple: found, or how to get them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sdcpu.builds import tools
from sdcpu.builds.recipes import RECIPES
from sdcpu.builds.tools import find_tools
from sdcpu.errors import BuildError
from tests.fake_tools import write_program


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Linux with CMake, Ninja, a compiler and apt, and nothing of any maker of cards."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(tools, "_ROCM_FOLDERS", (str(tmp_path / "rocm"),))
    monkeypatch.setattr(tools, "_ONEAPI_FOLDER", tmp_path / "oneapi")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "bin"))
    for name in ("cmake", "ninja", "c++", "apt"):
        write_program(tmp_path / "bin", name, "#!/bin/sh\n")
    return {"PATH": str(tmp_path / "bin")}


def missing(name: str, environment: dict[str, str]) -> tuple[str, str]:
    with pytest.raises(BuildError) as caught:
        find_tools(RECIPES[name], environment)
    return str(caught.value.details.get("missing", "")), caught.value.hint


def test_tools_of_amd(tmp_path: Path, environment: dict[str, str]) -> None:
    names, hint = missing("rocm", environment)
    assert names == "hipcc hipblas"
    assert hint == "Install it: sudo apt install hipcc libhipblas-dev librocblas-dev"
    (tmp_path / "rocm").mkdir()
    write_program(tmp_path / "rocm/bin", "hipcc", "#!/bin/sh\n")
    assert missing("rocm", environment)[0] == "hipblas"
    for library in ("hipblas", "rocblas"):
        folder = tmp_path / "rocm/include" / library
        folder.mkdir(parents=True)
        (folder / f"{library}.h").touch()
    found = find_tools(RECIPES["rocm"], environment)
    assert found.programs["hipcc"] == str(tmp_path / "rocm/bin/hipcc")


def test_rocm_elsewhere(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "own").mkdir()
    write_program(tmp_path / "own/bin", "hipcc", "#!/bin/sh\n")
    assert missing("rocm", {**environment, "ROCM_PATH": str(tmp_path / "own")})[0] == "hipblas"


def test_tools_of_intel(tmp_path: Path, environment: dict[str, str]) -> None:
    names, hint = missing("sycl", environment)
    assert names == "icpx"
    assert "sudo apt install intel-oneapi-compiler-dpcpp-cpp" in hint
    (tmp_path / "oneapi").mkdir()
    (tmp_path / "oneapi/setvars.sh").touch()
    assert missing("sycl", environment)[1].endswith(f". {tmp_path}/oneapi/setvars.sh")
    write_program(tmp_path / "bin", "icpx", "#!/bin/sh\n")
    assert find_tools(RECIPES["sycl"], environment).options == (
        f"-DCMAKE_C_COMPILER={tmp_path}/bin/icx",
        f"-DCMAKE_CXX_COMPILER={tmp_path}/bin/icpx",
    )


def test_tools_of_apple(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BuildError, match="cannot be made on this system"):
        find_tools(RECIPES["metal"], environment)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert find_tools(RECIPES["metal"], environment).programs.keys() == {"cmake", "ninja", "c++"}
    (tmp_path / "bin" / "c++").unlink()
    (tmp_path / "bin" / "cmake").unlink()
    write_program(tmp_path / "bin", "brew", "#!/bin/sh\n")
    (tmp_path / "bin" / "apt").unlink()
    names, hint = missing("metal", environment)
    assert names == "cmake c++"
    assert hint == "Install it: brew install cmake && xcode-select --install"
