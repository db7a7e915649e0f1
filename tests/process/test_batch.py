"""Batches over a faked engine in real processes: order, failures, resuming, several workers."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sdcpu import engine_run
from sdcpu.batch import (
    Batch,
    BatchSummary,
    Journal,
    LineDone,
    LineFailed,
    LineProgress,
    WorkerResult,
    WorkerTrial,
    measure_workers,
)
from sdcpu.batch.worker_counts import WorkerCounts
from sdcpu.builds import find_build
from sdcpu.builds.recipes import CPU
from sdcpu.cli.commands import run
from sdcpu.errors import EngineCrashedError, InvalidRequestError, NotEnoughMemoryError
from sdcpu.events import Progress
from sdcpu.hardware import detect_hardware
from sdcpu.process import EngineProcess
from sdcpu.recipe import read_recipe
from sdcpu.settings import Settings, load_settings
from sdcpu.tuning import circumstances_of
from tests.engines import command

OPTIONS: dict[str, Any] = {"model": "demo", "defaults": {"width": 64, "height": 64, "steps": 2}}


@pytest.fixture
def settings(tmp_path: Path, demo_folder: Path) -> Settings:
    """A machine with the demo model and nothing else."""
    empty = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(empty, cache_folder=demo_folder, state_folder=tmp_path / "state", offline=True)


@pytest.fixture(autouse=True)
def _fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = partial(EngineProcess, command=command())
    monkeypatch.setattr(engine_run, "EngineProcess", fake)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("one\ntwo\nkilled\nfour\n", encoding="utf-8")
    return path


def draw(
    path: Path, settings: Settings, **options: Any
) -> tuple[list[LineDone], list[LineFailed], BatchSummary]:
    """Draw a batch to its end: the lines that were drawn, those that failed, the summary."""
    batch = Batch(path, path.parent / "out", settings=settings, **OPTIONS | options)
    events = list(batch.draw())
    summary = events[-1]
    assert isinstance(summary, BatchSummary)
    done = [event for event in events if isinstance(event, LineDone)]
    return done, [event for event in events if isinstance(event, LineFailed)], summary


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def test_a_line_that_fails_does_not_stop_the_others(prompts: Path, settings: Settings) -> None:
    done, failed, summary = draw(prompts, settings)
    assert [event.line.number for event in done] == [1, 2, 4]
    (failure,) = failed
    assert (failure.line.number, type(failure.error)) == (3, EngineCrashedError)
    assert (summary.drawn, summary.failed, summary.pictures) == (3, 1, 3)
    out = prompts.parent / "out"
    assert list(pictures(out)) == ["0001-one.png", "0002-two.png", "0004-four.png"]
    assert read_recipe(out / "0001-one.png")["seed"] == done[0].seeds[0]
    with closing(Journal(out / "prompts.txt.journal", resume=True)) as journal:
        assert [("error" in record, record["line"]) for record in journal.records()] == [
            (False, 1),
            (False, 2),
            (True, 3),
            (False, 4),
        ]


def test_an_engine_that_dies_once_costs_nothing(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDCPU_TEST_MARK", str(tmp_path / "mark"))
    path = tmp_path / "prompts.txt"
    path.write_text("{one|killed once}\nthree\n", encoding="utf-8")
    done, failed, _ = draw(path, settings)
    assert not failed
    assert [len(event.files) for event in done] == [2, 1]
    assert (tmp_path / "mark").exists()


def test_lines_of_one_model_follow_one_another(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,model\none,\ntwo,demo-base\nthree,demo\n", encoding="utf-8")
    events = list(Batch(path, tmp_path / "out", settings=settings, **OPTIONS).draw())
    assert [event.line.number for event in events if isinstance(event, LineDone)] == [2, 4, 3]
    told = [event.event for event in events if isinstance(event, LineProgress)]
    loads = [event for event in told if isinstance(event, Progress) and event.stage == "load"]
    assert len(loads) == 2


def test_resuming_draws_what_is_missing_and_nothing_twice(
    prompts: Path, settings: Settings
) -> None:
    out = prompts.parent / "out"
    draw(prompts, settings)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    with pytest.raises(InvalidRequestError, match="was drawn into") as raised:
        draw(prompts, settings)
    assert "--resume" in raised.value.hint
    prompts.write_text("one\ntwo\nthree\nfour\nfive\n", encoding="utf-8")
    done, failed, summary = draw(prompts, settings, resume=True)
    assert [event.line.number for event in done] == [3, 5]
    assert (failed, summary.skipped, summary.pictures) == ([], 3, 2)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (out / "0002-two.png").unlink()
    done, _, _ = draw(prompts, settings, resume=True)
    assert [event.line.number for event in done] == [2]


def test_a_picture_that_was_not_noted_is_not_drawn_again(prompts: Path, settings: Settings) -> None:
    prompts.write_text("one\n{two|three}\n", encoding="utf-8")
    draw(prompts, settings)
    out = prompts.parent / "out"
    kept = pictures(out)
    journal = out / "prompts.txt.journal"
    head, first, second = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(head + first + second[:20])  # killed while it wrote
    (out / "0002-three-2.png").unlink()
    first_made = (out / "0002-two-1.png").stat().st_mtime_ns
    done, _, summary = draw(prompts, settings, resume=True)
    assert [event.line.number for event in done] == [2]
    assert summary.skipped == 1
    assert (out / "0002-two-1.png").stat().st_mtime_ns == first_made
    assert pictures(out) == kept, "the same seed as in the first run"


def test_a_file_of_somebody_else_is_not_replaced(prompts: Path, settings: Settings) -> None:
    out = prompts.parent / "out"
    out.mkdir()
    (out / "0002-two.png").write_bytes(b"mine")
    done, failed, _ = draw(prompts, settings)
    assert [event.line.number for event in done] == [1, 4]
    assert "exists already" in failed[0].error.message
    assert (out / "0002-two.png").read_bytes() == b"mine"
    done, _, _ = draw(prompts, settings, force=True)
    assert [event.line.number for event in done] == [1, 2, 4]


def test_two_at_once_are_refused(prompts: Path, settings: Settings) -> None:
    out = prompts.parent / "out"
    with closing(Batch(prompts, out, settings=settings, **OPTIONS).draw()) as events:
        next(events)
        with pytest.raises(InvalidRequestError, match="Another sdcpu is drawing"):
            draw(prompts, settings, resume=True)
    done, _, summary = draw(prompts, settings, resume=True)
    assert len(done) + summary.skipped == 3
    assert [path.name for path in out.glob(".*")] == []


def test_a_journal_that_is_none_is_refused(prompts: Path, settings: Settings) -> None:
    out = prompts.parent / "out"
    out.mkdir()
    for content in ("", "[]\n", '{"format": 99, "seed": 1}\n', '{"format": 1, "seed": 1}\n{}\n'):
        (out / "prompts.txt.journal").write_text(content, encoding="utf-8")
        with pytest.raises(InvalidRequestError, match="no journal"):
            draw(prompts, settings, resume=True)


def test_two_workers_draw_all_lines(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(["killed", *(f"number {n}" for n in range(20))]), encoding="utf-8")
    batch = Batch(path, tmp_path / "out", settings=settings, workers=2, threads=2, **OPTIONS)
    events = list(batch.draw())
    done = [event.line.number for event in events if isinstance(event, LineDone)]
    assert sorted(done) == list(range(2, 22))
    assert [event.line.number for event in events if isinstance(event, LineFailed)] == [1]
    assert {event.worker for event in events if isinstance(event, LineProgress)} == {0, 1}
    with closing(Journal(batch.journal_path, resume=True)) as journal:
        assert [record["line"] for record in journal.records()] == list(range(1, 22))


def test_workers_that_do_not_fit_are_refused(prompts: Path, settings: Settings) -> None:
    with pytest.raises(NotEnoughMemoryError, match="8 workers do not fit") as raised:
        draw(prompts, settings, workers=8, memory_limit="2 GB")
    assert "fewer" in raised.value.hint


def test_as_many_workers_as_were_measured_to_be_best(prompts: Path, settings: Settings) -> None:
    prompts.write_text("one\ntwo\nthree\n", encoding="utf-8")
    assert draw(prompts, settings, workers="auto")[2].workers == 1
    trials = list(measure_workers("demo", settings=settings, counts=[1, 2], rounds=2))
    result = trials.pop()
    assert isinstance(result, WorkerResult)
    tried = [trial.workers for trial in trials if isinstance(trial, WorkerTrial)]
    assert tried == [1, 2, 2, 1], "by turns"
    assert {count: len(seconds) for count, seconds in result.seconds.items()} == {1: 2, 2: 2}
    machine = circumstances_of(detect_hardware(), find_build(CPU, settings))
    counts = WorkerCounts(settings.state_folder)
    assert counts.find(machine, "demo") == result.best
    counts.remember(machine, "demo", 2)
    done, _, summary = draw(prompts, settings, workers="auto", force=True)
    assert (len(done), summary.workers) == (3, 2)
    _, _, summary = draw(prompts, settings, workers="auto", force=True, memory_limit="1400 MB")
    assert summary.workers == 1, "two do not fit"


@pytest.mark.parametrize("workers", [1, 2])
def test_leaving_early_ends_at_once(tmp_path: Path, settings: Settings, workers: int) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("one\nslow\nslow too\n", encoding="utf-8")
    began = time.monotonic()
    batch = Batch(path, tmp_path / "out", settings=settings, workers=workers, **OPTIONS)
    with closing(batch.draw()) as events:
        for event in events:
            if isinstance(event, LineProgress) and event.line.number == 2:
                break
    assert time.monotonic() - began < 20
    assert not list((tmp_path / "out").glob("*slow.png"))


@pytest.fixture
def machine(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same machine for the command, which is called in an empty folder."""
    monkeypatch.setenv("SDCPU_CACHE", str(settings.cache_folder))
    monkeypatch.setenv("SDCPU_STATE", str(settings.state_folder))
    monkeypatch.setenv("SDCPU_CONFIG", str(settings.config_file))
    monkeypatch.setenv("SDCPU_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("machine")
def test_the_command_prints_paths_and_a_summary(
    prompts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["batch", "prompts.txt", "-m", "demo", "-W", "64", "-H", "64", "-o", "out"]
    assert run(arguments) == 1, "a line failed"
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "out/0001-one.png",
        "out/0002-two.png",
        "out/0004-four.png",
    ]
    assert "4 lines: 4 pictures to draw" in captured.err
    assert "line 3: The engine" in captured.err
    assert "4 lines: 3 drawn (3 pictures), 1 failed" in captured.err
    prompts.write_text("one\ntwo\nthree\nfour\n", encoding="utf-8")
    assert run([*arguments, "--resume", "--json", "-q"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert captured.err == ""
    assert (report["summary"]["drawn"], report["summary"]["skipped"]) == (1, 3)
    assert [line["line"] for line in report["lines"]] == [1, 2, 3, 4]
    assert all(Path(name).is_file() for line in report["lines"] for name in line["files"])


@pytest.mark.usefixtures("machine")
def test_broken_lines_are_named_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.csv").write_text("prompt,steps\none,two\nthree,4\n", encoding="utf-8")
    arguments = ["batch", "p.csv", "-m", "demo", "-W", "64", "-H", "64", "-o", "out"]
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[0] == (
        "line 2: The field steps is 'two'; it must be a whole number."
    )
    assert "--keep-going" in captured.err
    assert not Path("out").exists()
    assert run([*arguments, "--check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["broken_count"] == 1
    assert run([*arguments, "--keep-going"]) == 1
    assert capsys.readouterr().out == "out/0003-three.png\n"
    Path("empty.txt").touch()
    assert run(["batch", "empty.txt"]) == 2
    assert "no requests" in capsys.readouterr().err


KILLED = """
import sys
from functools import partial
from pathlib import Path
from sdcpu import engine_run
from sdcpu.batch import Batch, LineDone
from sdcpu.process import EngineProcess
from tests.engines import command

engine_run.EngineProcess = partial(EngineProcess, command=command())
path = Path(sys.argv[1])
batch = Batch(path, path.parent / "out", model="demo", resume=True,
              defaults={"width": 64, "height": 64, "steps": 2})
for event in batch.draw():
    if isinstance(event, LineDone):
        print(event.line.number, flush=True)
"""


def test_a_killed_batch_goes_on(prompts: Path, settings: Settings) -> None:
    prompts.write_text("".join(f"number {n}\n" for n in range(60)), encoding="utf-8")
    environment = {
        **os.environ,
        "SDCPU_CACHE": str(settings.cache_folder),
        "SDCPU_STATE": str(settings.state_folder),
        "SDCPU_CONFIG": str(settings.config_file),
        "SDCPU_OFFLINE": "1",
    }
    arguments = [sys.executable, "-c", KILLED, str(prompts)]
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 5:
                os.killpg(process.pid, signal.SIGKILL)
                break
    out = prompts.parent / "out"
    made = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 5 <= len(made) < 60
    done, failed, summary = draw(prompts, settings, resume=True)
    assert failed == []
    assert summary.skipped + len(done) == 60
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert len(list(out.glob("*.png"))) == 60
    lines = (out / "prompts.txt.journal").read_text(encoding="utf-8").splitlines()
    numbers = [json.loads(line)["line"] for line in lines[1:]]
    assert sorted(numbers) == list(range(1, 61)), "each is noted once"
