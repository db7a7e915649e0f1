"""Finding the engine's library without importing the binding."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from sdcpu.binding import BINDING_MODULE, BINDING_VERSION
from sdcpu.builds import Build, find_build, list_builds
from sdcpu.builds.compilation import cmake_options
from sdcpu.builds.installed import device_environment, own_build
from sdcpu.builds.recipes import RECIPES
from sdcpu.builds.records import BuildRecord, read_record, write_record
from sdcpu.builds.tools import Tools
from sdcpu.errors import BuildNotInstalledError, BuildUnusableError
from sdcpu.hardware import detect_hardware
from sdcpu.settings import Settings
from tests.fake_cards import CARD, DRIVER, install_card_build


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        cache_folder=tmp_path,
        state_folder=tmp_path,
        builds_folder=tmp_path / "builds",
        config_file=tmp_path / "config.toml",
        models_file=tmp_path / "models.toml",
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed binding without a library in it."""
    spec = ModuleSpec(BINDING_MODULE, None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(metadata, "version", lambda name: BINDING_VERSION)
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "lib").mkdir()
    return tmp_path


def library(package: Path, name: str = "libstable-diffusion.so") -> Path:
    path = package / "lib" / name
    path.write_bytes(b"\x7fELF")
    return path


def test_the_installed_binding(package: Path, settings: Settings) -> None:
    path = library(package)
    (build,) = list_builds(settings)
    assert (build.name, build.library, build.usable) == ("cpu", path, True)
    assert find_build("cpu", settings) == find_build("auto", settings) == build


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ("win32", "stable-diffusion.dll"),
        ("win32", "libstable-diffusion.dll"),
        ("darwin", "libstable-diffusion.dylib"),
    ],
)
def test_library_names_of_other_platforms(
    package: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, platform: str, name: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    path = library(package, name)
    assert find_build("auto", settings).library == path


def test_no_binding_at_all(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert list_builds(settings) == ()
    with pytest.raises(BuildNotInstalledError, match="not installed") as caught:
        find_build("auto", settings)
    assert BINDING_VERSION in caught.value.hint


def test_a_name_that_is_not_there(package: Path, settings: Settings) -> None:
    library(package)
    with pytest.raises(BuildNotInstalledError, match="'cuda'") as caught:
        find_build("cuda", settings)
    assert "cpu" in caught.value.hint


def test_another_version_of_the_binding(
    package: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    library(package)
    monkeypatch.setattr(metadata, "version", lambda name: "0.5.0")
    with pytest.raises(BuildUnusableError, match=r"0\.5\.0 is installed"):
        find_build("auto", settings)


def test_metadata_that_is_gone(
    package: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    library(package)
    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(BuildUnusableError, match="unknown is installed"):
        find_build("cpu", settings)


def test_a_library_that_is_gone(package: Path, settings: Settings) -> None:
    with pytest.raises(BuildUnusableError, match=r"libstable-diffusion\.so is missing"):
        find_build("cpu", settings)


def test_cuda_is_compiled_for_the_cards_that_are_here() -> None:
    cards = (CARD, replace(CARD, index=1, capability="9.0"), replace(CARD, index=2))
    driver = replace(DRIVER, devices=cards, library="/lib/libcuda.so.1")
    options = cmake_options(RECIPES["cuda"], Tools(options=("-DX=1",)), [driver])
    assert "-DCMAKE_CUDA_ARCHITECTURES=86-real;90-real" in options
    assert "-DCUDA_cuda_driver_LIBRARY=/lib/libcuda.so.1" in options
    assert "-DX=1" in options
    assert "-DGGML_CUDA_NO_VMM=ON" not in options


def test_only_the_chosen_card_is_seen() -> None:
    build = Build(name="cuda", title="", library=Path("lib.so"), version="1", usable=True)
    assert device_environment(build, 1)["CUDA_VISIBLE_DEVICES"] == "1"
    assert device_environment(replace(build, name="vulkan"), 2)["GGML_VK_VISIBLE_DEVICES"] == "2"
    assert device_environment(replace(build, name="cpu"), 1) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace('"library"', '"librarian"'),
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
    ],
)
def test_a_record_that_cannot_be_read_is_no_build(
    settings: Settings, change: Callable[[str], str]
) -> None:
    folder = install_card_build(settings).parent
    assert own_build("cuda", settings) is not None
    record = folder / "build.json"
    record.write_text(change(record.read_text()))
    assert own_build("cuda", settings) is None


def test_a_build_for_another_processor(settings: Settings) -> None:
    folder = install_card_build(settings).parent
    record = read_record(folder)
    assert record is not None
    write_record(folder, replace(record, features=("avx2", "avx1024")))
    features = frozenset({"avx2", "fma"})
    with pytest.MonkeyPatch.context() as patch:
        machine = replace(detect_hardware(), cpu_features=features)
        patch.setattr("sdcpu.builds.installed.detect_hardware", lambda: machine)
        with pytest.raises(BuildUnusableError, match=r"processor lacks .*: avx1024\."):
            find_build("cuda", settings)
        unknown = replace(machine, cpu_features=frozenset())
        patch.setattr("sdcpu.builds.installed.detect_hardware", lambda: unknown)
        assert find_build("cuda", settings).usable


def test_a_build_of_another_engine_or_with_another_library(settings: Settings) -> None:
    library = install_card_build(settings)
    library.write_text("another one")
    with pytest.raises(BuildUnusableError, match="library has changed"):
        find_build("cuda", settings)
    library.unlink()
    with pytest.raises(BuildUnusableError, match="is missing"):
        find_build("cuda", settings)
    write_record(library.parent, BuildRecord(binding_version="0.1", library=library.name))
    with pytest.raises(BuildUnusableError, match=r"of the engine 0\.1"):
        find_build("cuda", settings)


def test_looking_does_not_load_the_binding(settings: Settings) -> None:
    before = set(sys.modules)
    list_builds(settings)
    assert not any(name.startswith(BINDING_MODULE) for name in set(sys.modules) - before)
