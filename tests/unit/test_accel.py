"""Our native code, as far as it can be asked without an engine."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

import sdcpu.accel
from sdcpu import accel

SOURCES = Path(sdcpu.accel.__file__).parent


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A library of an engine that was compiled with our code."""
    (tmp_path / "sdcpu-kernels.txt").touch()
    return tmp_path / "libstable-diffusion.so"


def test_kernels_are_there_in_either_way(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = tmp_path / "elsewhere" / engine.name
    monkeypatch.setattr(accel, "library_path", lambda: None)
    assert accel.are_kernels_there(engine)
    assert not accel.are_kernels_there(stock)
    monkeypatch.setattr(accel, "library_path", lambda: tmp_path / "libsdcpu_accel.so")
    assert accel.are_kernels_there(stock)


@pytest.mark.skipif(accel.library_path() is None, reason="the native library was not built")
def test_nothing_is_interposed_before_an_engine_that_has_the_kernels(engine: Path) -> None:
    assert accel.load_door(engine) is None


def test_an_engine_with_the_kernels_of_another_version_is_used_without_them() -> None:
    offered = {name: object() for name in accel._FUNCTIONS}
    del offered["sdcpu_accel_print_profile"]
    assert accel.door_inside(SimpleNamespace(**offered)) is None  # type: ignore[arg-type]


def test_the_native_code_exports_what_is_asked_for() -> None:
    text = (SOURCES / "hooks.cpp").read_text()
    exported = set(re.findall(r"SDCPU_EXPORTED .*?(sdcpu_\w+)\(", text))
    assert exported == set(accel._FUNCTIONS)


def test_cmake_arguments_survive_a_folder_with_blanks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my programs"
    folder.mkdir()
    (folder / "inside_engine.cmake").touch()
    monkeypatch.setattr(accel, "__path__", [str(tmp_path), str(folder)])
    (argument,) = shlex.split(accel.cmake_arguments())
    assert Path(argument.partition("=")[2]).samefile(folder / "inside_engine.cmake")


def test_an_engine_with_the_kernels_offers_every_function_that_they_ask_for() -> None:
    asked = set(re.findall(r'"(ggml_\w+)"', (SOURCES / "engine.cpp").read_text()))
    offered = set(
        re.findall(r"SDCPU_FUNCTION\((ggml_\w+)\)", (SOURCES / "engine_functions.h").read_text())
    )
    renamed = {"ggml_backend_graph_compute", "ggml_cpu_extra_compute_forward"}
    assert asked == offered | renamed
    for name in renamed:
        assert f"{name}_of_engine" in (SOURCES / "inside.cpp").read_text()
        assert name in (SOURCES / "inside_engine.cmake").read_text()


def test_both_builds_prove_the_same_version_of_ggml() -> None:
    (here,) = re.findall(r'known_version = "([\d.]+)"', (SOURCES / "engine.cpp").read_text())
    text = (SOURCES / "inside_engine.cmake").read_text()
    assert re.findall(r"SDCPU_GGML_VERSION ([\d.]+)\)", text) == [here]
