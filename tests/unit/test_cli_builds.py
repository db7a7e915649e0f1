"""`sdcpu builds` and the cards in `sdcpu doctor`, without compilers or cards."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdcpu.cli.commands import run
from sdcpu.gpus import APIS, Api, Driver
from sdcpu.settings import load_settings
from tests.fake_cards import CARD, DRIVER, install_card_build

SOFTWARE = Driver(
    api="vulkan",
    installed=True,
    devices=(
        type(CARD)(api="vulkan", index=0, name="llvmpipe", kind="software", memory_total=1 << 30),
    ),
)


@pytest.fixture(autouse=True)
def _own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDCPU_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("SDCPU_BUILDS", str(tmp_path / "builds"))
    monkeypatch.setenv("SDCPU_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SDCPU_OFFLINE", "1")
    monkeypatch.setenv("PATH", str(tmp_path / "no tools"))
    # Starting the engine is what tests/native is for.
    monkeypatch.setattr("sdcpu.cli.doctor._engine", lambda: iter(()))
    see(monkeypatch, SOFTWARE)


def see(monkeypatch: pytest.MonkeyPatch, *drivers: Driver) -> None:
    def detect(apis: Sequence[Api] = APIS) -> tuple[Driver, ...]:
        known = {driver.api: driver for driver in drivers}
        return tuple(known.get(api, Driver(api=api)) for api in apis)

    monkeypatch.setattr("sdcpu.gpus.detect_gpus", detect)
    monkeypatch.setattr("sdcpu.builds.states.detect_gpus", detect)


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """State and explanation of each build."""
    assert run(["builds", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    return {row["name"]: (row["state"], row["explanation"]) for row in rows}


def test_the_list_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    states = listed(capsys)
    assert states["cpu"] == ("chosen", "")
    assert states["cuda"] == ("no card", "no driver")
    assert states["vulkan"] == ("no card", "only llvmpipe, a program that plays a card")
    assert run(["builds"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("cpu     chosen")


def test_a_card_without_a_build(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    see(monkeypatch, DRIVER)
    monkeypatch.setattr("sdcpu.builds.tools._CUDA_FOLDERS", ())
    state, explanation = listed(capsys)["cuda"]
    assert state == "lacks tools"
    assert "nvcc" in explanation


def test_a_driver_that_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Driver(api="cuda", installed=True, problem="it does not answer")
    see(monkeypatch, broken)
    assert listed(capsys)["cuda"] == ("no card", "it does not answer")
    assert run(["doctor"]) == 0
    assert "cuda        its driver cannot be used: it does not answer" in capsys.readouterr().out


def test_a_proved_build_is_chosen_and_its_driver_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_card_build(load_settings())
    see(monkeypatch, DRIVER)
    states = listed(capsys)
    assert states["cuda"] == ("chosen", "It takes 1 s for a step.")
    assert states["cpu"][0] == "usable"
    see(monkeypatch)
    states = listed(capsys)
    assert states["cpu"][0] == "chosen"
    assert states["cuda"][0] == "unusable"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["install", "nothing"], "no engine build 'nothing'"),
        (["install", "rocm"], "missing are CMake"),
        (["prove", "cuda"], "no engine build 'cuda' that was compiled here"),
        (["remove", "cuda"], "no engine build 'cuda' that was compiled here"),
    ],
)
def test_what_cannot_be_done(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")
    assert run(["builds", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_nothing_to_prove(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["builds", "prove"]) == 0
    assert "sdcpu builds install NAME" in capsys.readouterr().err


def test_removing(capsys: pytest.CaptureFixture[str]) -> None:
    library = install_card_build(load_settings())
    assert run(["builds", "remove", "cuda"]) == 0
    assert "cuda removed" in capsys.readouterr().out
    assert not library.exists()


def test_doctor_shows_the_cards(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    see(monkeypatch, DRIVER)
    assert run(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "0: NVIDIA Test, discrete, 8.6 GB, 7.5 GB free, compute capability 8.6" in shown
