"""Seconds and memory of the stages."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from sdcpu import report
from sdcpu.errors import InvalidRequestError
from sdcpu.events import DownloadProgress, Progress


def slow_events() -> Iterator[DownloadProgress | Progress]:
    yield DownloadProgress(file="model.gguf", done=1, total=2)
    yield Progress(stage="load")
    time.sleep(0.15)
    yield Progress(stage="sample", step=0, steps=2)
    time.sleep(0.1)
    yield Progress(stage="sample", step=1, steps=2)
    time.sleep(0.1)


def test_seconds_of_each_stage() -> None:
    with report.Recorder(interval=0.01) as recorder:
        events = list(recorder.watch(slow_events()))
    assert events == list(slow_events())
    stages = {stage.stage: stage for stage in recorder.stages()}
    assert list(stages) == ["start", "download", "load", "sample"]
    assert 0.14 <= stages["load"].seconds < 2
    assert 0.19 <= stages["sample"].seconds < 2
    assert stages["load"].parent_peak > 1_000_000
    assert [sample.seconds for sample in recorder.samples] == sorted(
        sample.seconds for sample in recorder.samples
    )


def test_memory_of_children_is_seen() -> None:
    program = "data = b'x' * 50_000_000; print('ready', flush=True); input()"
    with report.Recorder(interval=0.01) as recorder:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        for _ in recorder.watch(iter([Progress(stage="load")])):
            time.sleep(0.1)
        child.communicate(b"\n")
    peaks = {stage.stage: stage.children_peak for stage in recorder.stages()}
    assert peaks["load"] > 50_000_000
    assert recorder.memory_peak > peaks["load"]


def test_long_work_keeps_few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_SAMPLES", 10)
    with report.Recorder(interval=0.001) as recorder:
        time.sleep(0.3)
    assert 1 <= len(recorder.samples) <= 10


@dataclass(frozen=True)
class Thing:
    path: Path
    features: frozenset[str]
    picture: Image.Image
    parts: tuple[int, ...] = (1, 2)


def test_plain_values() -> None:
    thing = Thing(Path("models"), frozenset({"b", "a"}), Image.new("L", (3, 4)))
    plain = report.plain({1: thing, "none": None})
    assert plain == {
        "1": {
            "path": "models",
            "features": ["a", "b"],
            "picture": "picture of 3x4",
            "parts": [1, 2],
        },
        "none": None,
    }
    assert json.loads(json.dumps(plain)) == plain


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    report.write_report(tmp_path / "report.json", {"stages": (1, 2)})
    assert json.loads((tmp_path / "report.json").read_text()) == {"stages": [1, 2]}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    with pytest.raises(InvalidRequestError, match="cannot be written"):
        report.write_report(tmp_path / "missing" / "report.json", {})
