"""Compiling a build with tools that do what a test wants: whole, or nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdcpu.builds.compilation import UNFINISHED, CompileProgress, compile_build, suitable_jobs
from sdcpu.builds.installed import find_build, own_build, remove_build
from sdcpu.builds.recipes import RECIPES
from sdcpu.builds.records import read_record
from sdcpu.builds.tools import find_tools
from sdcpu.errors import BuildError, BuildNotInstalledError
from sdcpu.hardware import detect_hardware
from sdcpu.settings import Settings, load_settings
from tests.fake_tools import write_program, write_source, write_tools

CPU = RECIPES["cpu"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:/usr/bin:/bin")
    monkeypatch.delenv("CXX", raising=False)
    return load_settings({"SDCPU_BUILDS": str(tmp_path / "builds"), "SDCPU_CONFIG": "/none.toml"})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source.tar.gz")


def compile_cpu(settings: Settings, source: Path) -> list[CompileProgress]:
    return list(compile_build(CPU, source, settings, detect_hardware()))


def left_in(settings: Settings) -> set[str]:
    return {path.name for path in settings.builds_folder.iterdir()}


def test_a_build_appears_whole_with_its_record(
    tmp_path: Path, settings: Settings, source: Path
) -> None:
    write_tools(tmp_path / "tools")
    told = compile_cpu(settings, source)
    assert [event.stage for event in told] == ["unpack", "configure", "compile", "compile"]
    assert (told[-1].done, told[-1].total) == (2, 2)
    assert left_in(settings) == {"cpu", "cpu.log"}
    build, record = own_build("cpu", settings), read_record(settings.builds_folder / "cpu")
    assert build is not None
    assert record is not None
    assert build.library.read_text() == "library\n"
    assert "-DSD_BUILD_SHARED_LIBS=ON" in record.options
    assert set(record.features) < detect_hardware().cpu_features
    assert "avx2" not in detect_hardware().cpu_features or "avx2" in record.features
    assert "not drawn a picture yet" in build.problem
    assert find_build("cpu", settings).library != build.library


def test_the_log_says_why_and_the_old_build_stays(
    tmp_path: Path, settings: Settings, source: Path
) -> None:
    write_tools(tmp_path / "tools")
    compile_cpu(settings, source)
    breaks = "echo '[1/9] one'; echo 'x.cpp:3:1: error: no such thing'; echo tail; exit 1"
    write_tools(tmp_path / "tools", compile_with=breaks)
    with pytest.raises(BuildError, match=r"x\.cpp:3:1: error") as caught:
        compile_cpu(settings, source)
    assert str(settings.builds_folder / "cpu.log") in caught.value.hint
    assert own_build("cpu", settings) is not None
    assert left_in(settings) == {"cpu", "cpu.log"}


def test_a_compiler_that_makes_nothing(tmp_path: Path, settings: Settings, source: Path) -> None:
    write_tools(tmp_path / "tools", compile_with=":")
    with pytest.raises(BuildError, match="no library"):
        compile_cpu(settings, source)
    assert left_in(settings) == {"cpu.log"}


def test_leaving_early_ends_the_compilers(tmp_path: Path, settings: Settings, source: Path) -> None:
    pid_file = tmp_path / "pid"
    sleeps = f"echo '[1/9] one'; sleep 300 & echo $! > {pid_file}; wait"
    write_tools(tmp_path / "tools", compile_with=sleeps)
    events = compile_build(CPU, source, settings, detect_hardware())
    while next(events).stage != "compile":
        pass
    while not pid_file.is_file() or not pid_file.read_text().strip():
        time.sleep(0.01)
    events.close()  # type: ignore[attr-defined]
    assert left_in(settings) == {"cpu.log"}
    assert _has_ended(int(pid_file.read_text()))


def test_what_a_killed_compilation_left_is_removed_by_looking(
    tmp_path: Path, settings: Settings, source: Path
) -> None:
    write_tools(tmp_path / "tools", compile_with="echo '[1/9] one'; sleep 300")
    program = (
        "from pathlib import Path; from sdcpu.builds.compilation import compile_build\n"
        "from sdcpu.builds.recipes import RECIPES; from sdcpu.hardware import detect_hardware\n"
        "from sdcpu.settings import load_settings\n"
        f"for event in compile_build(RECIPES['cpu'], Path({str(source)!r}), load_settings(),"
        " detect_hardware()): print(event.stage, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SDCPU_BUILDS": str(settings.builds_folder)},
    )
    with child:
        assert child.stdout is not None
        while child.stdout.readline() != "compile\n":
            pass
        child.kill()
    assert len(left_in(settings)) == 2
    # Whoever looks at the builds sees none, and what was left is gone.
    assert own_build("cpu", settings) is None
    listed = subprocess.run(
        [sys.executable, "-m", "sdcpu", "builds"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SDCPU_BUILDS": str(settings.builds_folder)},
    )
    assert "cpu     chosen" in listed.stdout
    assert left_in(settings) == {"cpu.log"}


def test_what_a_killed_compilation_left_is_removed_by_the_next_one_too(
    tmp_path: Path, settings: Settings, source: Path
) -> None:
    settings.builds_folder.mkdir()
    (settings.builds_folder / f"{UNFINISHED}{2**22 + 1}-x").mkdir()
    write_tools(tmp_path / "tools")
    compile_cpu(settings, source)
    assert left_in(settings) == {"cpu", "cpu.log"}


def test_what_ends_us_politely_leaves_nothing(
    tmp_path: Path, settings: Settings, source: Path
) -> None:
    write_tools(tmp_path / "tools", compile_with="echo '[1/9] one'; sleep 300")
    child = subprocess.Popen(
        [sys.executable, "-m", "sdcpu", "builds", "install", "cpu", "--source", str(source)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SDCPU_BUILDS": str(settings.builds_folder)},
    )
    with child:
        assert child.stderr is not None
        while not child.stderr.readline().startswith("cpu: compile"):
            assert child.poll() is None
        child.terminate()
        child.stderr.read()  # to the end: nobody should write to a pipe that is closed
    assert child.returncode == 130
    assert left_in(settings) == {"cpu.log"}


@pytest.mark.parametrize(("patch", "is_enough"), [(239, False), (272, True)])
def test_old_headers_of_vulkan_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patch: int, is_enough: bool
) -> None:
    header = tmp_path / "include" / "vulkan" / "vulkan_core.h"
    header.parent.mkdir(parents=True)
    header.write_text(
        f"#define VK_HEADER_VERSION {patch}\n"
        "#define VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION(0, 1, 3, VK_HEADER_VERSION)\n"
    )
    write_tools(tmp_path / "tools")
    for name in ("c++", "glslc"):
        write_program(tmp_path / "tools", name, "#!/bin/sh\n")
    environment = {"PATH": str(tmp_path / "tools"), "VULKAN_SDK": str(tmp_path)}
    if is_enough:
        assert find_tools(RECIPES["vulkan"], environment).programs.keys() >= {"glslc"}
    else:
        with pytest.raises(BuildError, match=r"of version 1\.3\.239, and it needs 1\.3\.272"):
            find_tools(RECIPES["vulkan"], environment)


def _has_ended(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
                if stat.read().split()[2] == "Z":
                    return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return False


def test_another_version_of_the_source(tmp_path: Path, settings: Settings) -> None:
    write_tools(tmp_path / "tools")
    with pytest.raises(BuildError, match="is not the source of"):
        compile_cpu(settings, write_source(tmp_path / "old.tar.gz", version="0.1.0"))
    assert left_in(settings) == {"cpu.log"}


def test_a_source_that_is_no_archive(tmp_path: Path, settings: Settings) -> None:
    write_tools(tmp_path / "tools")
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(BuildError, match="cannot be unpacked"):
        compile_cpu(settings, tmp_path / "text")


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt", "sudo apt install nvidia-cuda-toolkit && pip install nvidia-cublas"),
        ("dnf", "sudo dnf install cuda-toolkit && pip install nvidia-cublas"),
        ("pacman", "sudo pacman -S cuda && pip install nvidia-cublas"),
    ],
)
def test_missing_tools_are_named_with_the_command(
    tmp_path: Path,
    settings: Settings,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    manager: str,
    command: str,
) -> None:
    write_tools(tmp_path / "tools")
    write_program(tmp_path / "tools", manager, "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    monkeypatch.setattr("sdcpu.builds.tools._CUDA_FOLDERS", ())
    monkeypatch.setattr("sdcpu.builds.tools._python_cuda_folders", list)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.delenv("CUDA_HOME", raising=False)
    with pytest.raises(BuildError, match="nvcc") as caught:
        list(compile_build(RECIPES["cuda"], source, settings, detect_hardware()))
    assert caught.value.hint == f"Install it: {command}"
    assert not settings.builds_folder.exists()


def test_removing_a_build(tmp_path: Path, settings: Settings, source: Path) -> None:
    write_tools(tmp_path / "tools")
    compile_cpu(settings, source)
    assert remove_build("cpu", settings) > 0
    assert left_in(settings) == set()
    for name in ("cpu", "../builds", "nothing"):
        with pytest.raises(BuildNotInstalledError):
            remove_build(name, settings)


def test_as_many_compilers_as_fit_the_memory() -> None:
    from dataclasses import replace

    machine = replace(
        detect_hardware(),
        usable_cpus=tuple(range(16)),
        cpu_quota=None,
        memory_available=6_500_000_000,
        memory_limit_available=None,
    )
    assert suitable_jobs(machine) == 4
    assert suitable_jobs(replace(machine, memory_available=1 << 40)) == 16
    assert suitable_jobs(replace(machine, memory_available=1)) == 1
