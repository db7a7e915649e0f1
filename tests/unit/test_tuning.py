"""What is remembered as the fastest way on this machine, and when it is ignored."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdcpu import tuning as tuning_module
from sdcpu.builds import Build
from sdcpu.errors import SettingsError
from sdcpu.tuning import FILE_NAME, MAX_MACHINES, Tuning, Tunings, circumstances_of
from tests.unit.test_plan import MACHINE

TUNING = Tuning(kernels="bf16", threads=3, seconds=1.25, picture="a picture")


def test_what_is_remembered_is_found_again(tmp_path: Path) -> None:
    tunings = Tunings(tmp_path / "state")
    tunings.remember("here", TUNING)
    assert Tunings(tmp_path / "state").find("here") == TUNING
    assert tunings.find("elsewhere") is None


def test_forgetting(tmp_path: Path) -> None:
    tunings = Tunings(tmp_path)
    assert not tunings.forget()
    tunings.remember("here", TUNING)
    assert tunings.forget()
    assert tunings.find("here") is None


def test_the_oldest_are_dropped(tmp_path: Path) -> None:
    tunings = Tunings(tmp_path)
    for number in range(MAX_MACHINES + 1):
        tunings.remember(f"machine {number}", TUNING)
        tunings.remember("machine 1", TUNING)  # still in use
    assert tunings.find("machine 0") is None
    assert tunings.find("machine 1") == tunings.find(f"machine {MAX_MACHINES}") == TUNING


@pytest.mark.parametrize(
    "change",
    [
        {"threads": "2"},
        {"threads": True},
        {"threads": 0},
        {"kernels": "avx1024"},
        {"seconds": None},
        {"unknown": 1},
    ],
)
def test_what_we_did_not_write_counts_as_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    tunings = Tunings(tmp_path)
    tunings.remember("here", TUNING)
    written = json.loads(tunings.file.read_text())
    written["machines"]["here"].update(change)
    tunings.file.write_text(json.dumps(written))
    assert tunings.find("here") is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "machines": {}}', "\0", "[" * 60_000]
)
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path: Path, text: str) -> None:
    tunings = Tunings(tmp_path)
    (tmp_path / FILE_NAME).write_text(text)
    assert tunings.find("here") is None
    tunings.remember("here", TUNING)
    assert tunings.find("here") == TUNING


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tunings = Tunings(tmp_path / "file")
    with pytest.raises(SettingsError, match="cannot be kept"):
        tunings.remember("here", TUNING)
    assert not tunings.forget()


def test_circumstances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change of processor, cores, engine or kernels makes them others."""
    engine, kernels = tmp_path / "engine.so", tmp_path / "kernels.so"
    engine.write_bytes(b"engine")
    kernels.write_bytes(b"kernels 1")
    monkeypatch.setattr(tuning_module, "library_path", lambda: kernels)
    build = Build(name="cpu", title="", library=engine, version="0.4.7", usable=True)
    seen = [circumstances_of(MACHINE, build)]
    assert circumstances_of(MACHINE, build) == seen[0]
    seen += [
        circumstances_of(replace(MACHINE, **change), build)
        for change in (
            {"cpu_name": "Another CPU"},
            {"usable_cores": 3},
            {"usable_cpus": (0, 1)},
            {"cpu_quota": 1.5},
        )
    ]
    seen.append(circumstances_of(MACHINE, replace(build, version="0.4.8")))
    tuning_module._identity.cache_clear()
    engine.write_bytes(b"another engine")
    seen.append(circumstances_of(MACHINE, build))
    tuning_module._identity.cache_clear()
    kernels.write_bytes(b"kernels 2")  # as long as before
    seen.append(circumstances_of(MACHINE, build))
    tuning_module._identity.cache_clear()
    assert len(set(seen)) == len(seen)


def test_titles() -> None:
    assert TUNING.title == "bf16 kernels with 3 threads"
    own = Tuning(kernels="off", threads=1)
    assert own.title == "the engine's own kernels with 1 thread and direct convolutions"
    plain = replace(own, diffusion_conv_direct=False)
    assert plain.title == "the engine's own kernels with 1 thread"
