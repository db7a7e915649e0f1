"""Batches on a Dask cluster of real processes, in which the engine is faked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from sdcpu.batch import Batch, BatchSummary, LineDone, LineFailed, LineProgress
from sdcpu.cli.commands import run
from sdcpu.errors import InvalidRequestError, RemoteError, SettingsError
from sdcpu.recipe import read_recipe
from sdcpu.settings import Settings, load_settings
from tests.dask_workers import DaskCluster, dask_cluster

SMALL = {"width": 64, "height": 64, "steps": 2}


@pytest.fixture(scope="module")
def environment(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    own = tmp_path_factory.mktemp("cluster's machine")
    folders = {"SDCPU_CACHE": demo_folder, "SDCPU_STATE": own, "SDCPU_CONFIG": own / "config.toml"}
    folders |= {"SDCPU_TEST_DRAWN": own / "drawn.txt"}
    return {**os.environ, "SDCPU_OFFLINE": "1", **{k: str(path) for k, path in folders.items()}}


@pytest.fixture(scope="module")
def cluster(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("cluster"), 3, environment) as made:
        yield made


@pytest.fixture
def settings(tmp_path: Path, demo_folder: Path) -> Settings:
    empty = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(empty, cache_folder=demo_folder, state_folder=tmp_path / "state", offline=True)


def batch_of(path: Path, settings: Settings, cluster: DaskCluster, **options: Any) -> Batch:
    return Batch(
        path,
        path.parent / "out",
        model="demo",
        defaults=SMALL,
        settings=settings,
        cluster=cluster.address,
        **options,
    )


def drawn(environment: dict[str, str]) -> list[str]:
    path = Path(environment["SDCPU_TEST_DRAWN"])
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_lines_are_drawn_and_noted_as_on_one_machine(
    tmp_path: Path, settings: Settings, cluster: DaskCluster
) -> None:
    path = tmp_path / "prompts.jsonl"
    lines = [
        {"prompt": "a {red|green} circle", "seed": 3, "count": 2},
        {"prompt": "killed"},
        {"prompt": "a cat", "output": "cats/cat.webp"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    events = list(batch_of(path, settings, cluster).draw())
    done = {event.line.number: event for event in events if isinstance(event, LineDone)}
    assert done[1].seeds == (3, 4, 3, 4)
    assert [read_recipe(file)["seed"] for file in done[1].files] == [3, 4, 3, 4]
    assert [read_recipe(file)["prompt"] for file in done[1].files] == [
        *["a red circle"] * 2,
        *["a green circle"] * 2,
    ]
    assert done[3].files == (tmp_path / "out" / "cats" / "cat.webp",)
    (failed,) = [event for event in events if isinstance(event, LineFailed)]
    assert (failed.line.number, failed.error.code) == (2, "engine_crashed")
    summary = events[-1]
    assert isinstance(summary, BatchSummary)
    assert (summary.drawn, summary.failed, summary.pictures) == (2, 1, 5)
    assert summary.workers == len(cluster.workers)
    assert [event for event in events if isinstance(event, LineProgress)]
    again = list(batch_of(path, settings, cluster, resume=True).draw())
    assert [event.line.number for event in again if isinstance(event, LineDone)] == []


def test_a_lost_worker_costs_no_picture(
    tmp_path: Path, settings: Settings, cluster: DaskCluster, environment: dict[str, str]
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"number {n}\n" for n in range(40)), encoding="utf-8")
    before = len(drawn(environment))
    there: dict[Path, int] = {}
    events = batch_of(path, settings, cluster).draw()
    done = []
    for event in events:
        if isinstance(event, LineDone):
            done.append(event.line.number)
            if len(done) == 12:
                there = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*.png")}
                cluster.kill(0)
        assert not isinstance(event, LineFailed)
    assert sorted(done) == list(range(1, 41))
    assert {file: file.stat().st_mtime_ns for file in there} == there
    noted = (tmp_path / "out" / "prompts.txt.journal").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(json.loads(line)["line"] for line in noted) == list(range(1, 41))
    finished = [line.split() for line in drawn(environment)[before:]]
    assert len({process for process, _ in finished}) == 3
    twice = {
        int(line) for line, times in Counter(line for _, line in finished).items() if times > 1
    }
    assert not twice & set(done[:12]), "what was saved is not drawn again"
    assert len(finished) - 40 <= 2, "only what the lost worker had not handed over"


def test_leaving_early_cancels_on_the_cluster(
    tmp_path: Path, settings: Settings, cluster: DaskCluster, environment: dict[str, str]
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("one\n" + "slow\n" * 3 + "two\n" * 20, encoding="utf-8")
    began = time.monotonic()
    with closing(batch_of(path, settings, cluster).draw()) as events:
        for event in events:
            if isinstance(event, LineProgress) and event.line.fields["prompt"] == "slow":
                break
    assert time.monotonic() - began < 30
    before = len(drawn(environment))
    time.sleep(1)
    assert len(drawn(environment)) == before
    with Client(scheduler_file=cluster.address, set_as_default=False) as client:
        assert not any(client.processing().values())


def test_ctrl_c_cancels_and_resuming_goes_on(
    tmp_path: Path, cluster: DaskCluster, environment: dict[str, str]
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"number {n}\n" for n in range(30)), encoding="utf-8")
    command = [sys.executable, "-m", "sdcpu", "batch", str(path), "-m", "demo", "-W", "64", "-H"]
    command += ["64", "-o", str(tmp_path / "out"), "--dask", cluster.address]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(5):
            assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert "--resume goes on" in process.stderr.read()
    there = len(list((tmp_path / "out").glob("*.png")))
    assert 5 <= there < 30
    result = subprocess.run(
        [*command, "--resume", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    summary = json.loads(result.stdout)["summary"]
    assert (summary["skipped"], summary["drawn"]) == (there, 30 - there)


def test_what_cannot_be_is_said(
    tmp_path: Path, settings: Settings, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("one\n", encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="its own number of workers"):
        batch_of(path, settings, cluster, workers=2)
    nowhere = DaskCluster("tcp://127.0.0.1:9", [])
    monkeypatch.setattr("sdcpu.batch.cluster._PATIENCE", 0.5)
    with pytest.raises(RemoteError, match="no Dask cluster at"):
        list(batch_of(path, settings, nowhere).draw())
    assert not (tmp_path / "out").exists()
    monkeypatch.delitem(sys.modules, "sdcpu.batch.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError) as raised:
        list(batch_of(path, settings, cluster).draw())
    assert 'pip install "sdcpu[dask]"' in raised.value.hint
    assert run(["batch", str(path), "--dask", "tcp://127.0.0.1:9", "-o", str(tmp_path)]) == 1


def test_a_worker_without_sdcpu_is_named(
    tmp_path: Path, settings: Settings, environment: dict[str, str]
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("one\n", encoding="utf-8")
    hide = "import sys; sys.modules['sdcpu'] = None\n"
    program = [sys.executable, "-c", f"{hide}from distributed.cli.dask_worker import main; main()"]
    with (
        dask_cluster(tmp_path, 1, environment, worker=program) as bare,
        pytest.raises(RemoteError, match="has no sdcpu") as raised,
    ):
        list(batch_of(path, settings, bare).draw())
    assert 'pip install "sdcpu[dask]"' in raised.value.hint
