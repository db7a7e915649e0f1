"""Libraries of the engine that were compiled for another processor."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from sdcpu import proving
from sdcpu.binding import BINDING_MODULE, BINDING_VERSION
from sdcpu.builds import find_build, library_to_load, list_builds
from sdcpu.builds.compiled_for import compiled_for
from sdcpu.builds.records import BuildRecord, Proof, Verdict, library_mark, write_record
from sdcpu.builds.states import build_states
from sdcpu.errors import BuildUnusableError, EngineCrashedError
from sdcpu.hardware import detect_hardware
from sdcpu.process import EngineProcess
from sdcpu.settings import Settings, child_environment

OURS = """
int ggml_cpu_has_avx2(void) { return 1; }
int ggml_cpu_has_fma(void) { return 1; }
int ggml_cpu_has_avx512(void) { return HAS_AVX512; }
int ggml_cpu_has_neon(void) { return 0; }
int ggml_cpu_has_patience(void) { return 1; }
int count;
int ggml_cpu_has_f16c(void) { return count; }
"""
ILLEGAL = "__attribute__((constructor)) static void start(void) { __builtin_trap(); }"

linux = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="reads libraries of Linux on x86-64",
)


def compiled(path: Path, source: str = OURS, **macros: int) -> Path:
    """Compile a library as the engine is, which is with optimisation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    defined = [f"-D{name}={value}" for name, value in macros.items()]
    command = ["gcc", "-shared", "-fPIC", "-O2", "-xc", "-", *defined, "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True, timeout=60)
    return path


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
    """An installed binding whose library needs AVX-512, on a processor that has AVX2."""
    path = compiled(tmp_path / "package/lib/libstable-diffusion.so", HAS_AVX512=1)
    spec = ModuleSpec(BINDING_MODULE, None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "package")]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    machine = replace(detect_hardware(), cpu_features=frozenset({"avx2", "fma"}))
    monkeypatch.setattr("sdcpu.builds.installed.detect_hardware", lambda: machine)
    return path


def install_own(settings: Settings, verdict: Verdict, **macros: int) -> Path:
    folder = settings.builds_folder / "cpu"
    library = compiled(folder / "libstable-diffusion.so", OURS, **macros)
    proof = Proof(verdict=verdict, reason="It takes 1 s.", library=library_mark(library))
    record = BuildRecord(binding_version=BINDING_VERSION, library=library.name, proofs={"": proof})
    write_record(folder, record)
    return library


@linux
def test_what_a_library_was_compiled_for_is_read_off_it(tmp_path: Path) -> None:
    path = compiled(tmp_path / "lib.so", HAS_AVX512=1)
    assert compiled_for(path) == {"avx2", "fma", "avx512f"}
    compiled(path, HAS_AVX512=0)
    assert compiled_for(path) == {"avx2", "fma"}
    path.write_bytes(path.read_bytes()[:4000])
    assert compiled_for(path) == frozenset()
    path.write_bytes(b"")
    assert compiled_for(path) == frozenset()


@linux
def test_the_installed_engine_says_what_it_says_when_it_runs() -> None:
    library = library_to_load()
    assert library is not None
    with EngineProcess(library=library, environment=child_environment(SDCPU_ACCEL="off")) as engine:
        said = engine.start().system_info
    found = compiled_for(library)
    for feature, words in (("avx2", "AVX2 = 1"), ("avx512f", "AVX512 = 1"), ("fma", "FMA = 1")):
        assert (feature in found) == (words in said)


@linux
def test_a_package_for_another_processor_is_noticed_before_it_runs(
    settings: Settings, package: Path
) -> None:
    with pytest.raises(BuildUnusableError, match=r"lacks what it was compiled for: avx512f\.") as e:
        find_build("auto", settings)
    assert "sdcpu builds install cpu" in e.value.hint
    assert "--no-cache-dir" in e.value.hint
    states = {state.name: state for state in build_states(settings)}
    assert states["cpu"].state == "unusable"


@linux
def test_one_that_was_compiled_here_steps_in(settings: Settings, package: Path) -> None:
    library = install_own(settings, "slower", HAS_AVX512=0)
    assert find_build("auto", settings).library == library
    install_own(settings, "faster", HAS_AVX512=1)  # in a folder that came from another machine
    with pytest.raises(BuildUnusableError, match="avx512f"):
        find_build("auto", settings)


@linux
@pytest.mark.parametrize("verdict", ["faster", "slower", "fails"])
def test_one_that_was_compiled_here_is_chosen_when_it_is_faster(
    settings: Settings, package: Path, verdict: Verdict
) -> None:
    compiled(package, HAS_AVX512=0)
    library = install_own(settings, verdict, HAS_AVX512=0)
    (build,) = list_builds(settings)
    assert build.library == (library if verdict == "faster" else package)
    assert build.note == (
        "" if verdict == "faster" else "The one that was compiled here is not used: it takes 1 s."
    )
    (state,) = (state for state in build_states(settings) if state.name == "cpu")
    assert state.state == "chosen"
    assert state.explanation == (build.note or "It takes 1 s.")


@linux
def test_an_illegal_instruction_is_an_error_that_says_so(tmp_path: Path) -> None:
    library = compiled(tmp_path / "libstable-diffusion.so", ILLEGAL)
    with (
        EngineProcess(library=library, environment=child_environment()) as engine,
        pytest.raises(EngineCrashedError, match="built for another kind of processor") as caught,
    ):
        engine.start()
    assert caught.value.details["signal"] == "SIGILL"


@linux
def test_what_is_compared_where_the_package_does_not_run(settings: Settings, package: Path) -> None:
    install_own(settings, "faster", HAS_AVX512=0)
    own = find_build("cpu", settings)
    assert proving._reference(own, settings) is None
    card = replace(own, name="cuda")
    assert proving._reference(card, settings) == own
