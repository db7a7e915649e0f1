"""What `sdcpu bench` prints about what was measured."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu import trials
from sdcpu.cli.commands import run
from sdcpu.trials import Trial, TrialResult
from sdcpu.tuning import Tuning, Tunings

INT8, BF16, AVX2 = (Tuning(kernels=name, threads=2) for name in ("int8", "bf16", "avx2"))
RESULT = TrialResult(
    best=replace(BF16, seconds=1.26, picture="a picture of 512x512 with demo in 2 steps"),
    side=512,
    seconds={INT8: (1.5, 1.6, 1.7), BF16: (1.26,)},
    left_out=(AVX2,),
    failed=(),
)


@pytest.fixture(autouse=True)
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDCPU_STATE", str(tmp_path))
    monkeypatch.setenv("SDCPU_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("SDCPU_ACCEL", raising=False)
    monkeypatch.delenv("SDCPU_THREADS", raising=False)
    return tmp_path


def measuring(monkeypatch: pytest.MonkeyPatch, result: TrialResult) -> None:
    def find_fastest(*_: object, **__: object) -> Iterator[Trial | TrialResult]:
        yield Trial(way=INT8, side=512, seconds=1.5, round=1)
        yield result

    monkeypatch.setattr(trials, "find_fastest", find_fastest)


def test_the_table_and_the_conclusion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(monkeypatch, RESULT)
    assert run(["bench"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["SECONDS", "RATIO", "PICTURES", "WAY"]
    assert lines[1].split()[:4] == ["1.26", "1.00", "1", "bf16"]
    assert lines[2].split()[:4] == ["1.60", "1.27", "3", "int8"]
    assert "avx2 kernels with 2 threads: no time left" in lines[3]
    assert lines[-1] == (
        "bf16 kernels with 2 threads: 1.3 s for a picture of 512x512 with demo in 2 steps; "
        "that is what sdcpu will use from now on"
    )
    assert err == "int8 kernels with 2 threads: 1.50 s for 512x512\n"


def test_what_weakens_the_conclusion_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDCPU_THREADS", "1")
    measuring(monkeypatch, replace(RESULT, busy=0.5, seconds={BF16: (1.26,)}))
    assert run(["bench"]) == 0
    out, err = capsys.readouterr()
    assert "nothing is remembered" in out
    assert "50% busy" in err
    assert "in your settings win" in err


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    measuring(monkeypatch, RESULT)
    assert run(["bench", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["best"]["kernels"] == "bf16"
    assert report["remembered"]
    assert report["ways"][0]["seconds"] == [1.5, 1.6, 1.7]


def test_forgetting(own_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Tunings(own_machine).remember("here", INT8)
    assert run(["bench", "--forget", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"forgotten": True}
    assert Tunings(own_machine).find("here") is None
