"""Finding the engine's library without importing the binding."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from sdcpu.binding import BINDING_MODULE, BINDING_VERSION
from sdcpu.builds import find_build, list_builds
from sdcpu.errors import BuildNotInstalledError, BuildUnusableError
from sdcpu.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        cache_folder=tmp_path,
        state_folder=tmp_path,
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


def test_looking_does_not_load_the_binding(settings: Settings) -> None:
    before = set(sys.modules)
    list_builds(settings)
    assert not any(name.startswith(BINDING_MODULE) for name in set(sys.modules) - before)
