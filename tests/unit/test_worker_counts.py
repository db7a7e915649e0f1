"""How many workers are best: what is remembered, and each one's share of the machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.batch.worker_counts import MOST_KEPT, WorkerCounts, share_of
from sdcpu.hardware import detect_hardware


def test_what_was_measured_is_remembered(tmp_path: Path) -> None:
    counts = WorkerCounts(tmp_path / "state")
    assert counts.find("this", "demo") is None
    counts.remember("this", "demo", 2)
    counts.remember("this", "sd-turbo", 1)
    counts.remember("other", "demo", 4)
    again = WorkerCounts(tmp_path / "state")
    assert [again.find("this", "demo"), again.find("this", "sd-turbo")] == [2, 1]
    assert again.find("other", "demo") == 4
    for number in range(MOST_KEPT):
        counts.remember("this", f"model {number}", 1)
    assert again.find("this", "demo") is None
    assert again.forget()
    assert not again.forget()


@pytest.mark.parametrize(
    "written",
    ["", "[]", '{"format": 2}', '{"format": 1, "workers": []}', "\udcff"],
)
def test_a_damaged_file_counts_as_empty(written: str, tmp_path: Path) -> None:
    counts = WorkerCounts(tmp_path)
    counts.file.write_text(written, encoding="utf-8", errors="surrogateescape")
    assert counts.find("this", "demo") is None


def test_only_sensible_numbers_are_taken(tmp_path: Path) -> None:
    counts = WorkerCounts(tmp_path)
    counts.file.write_text(
        '{"format": 1, "workers": {"a | demo": 2, "b | demo": 0, "c | demo": "2"}}', "utf-8"
    )
    assert [counts.find(name, "demo") for name in "abc"] == [2, None, None]


def test_workers_share_threads_and_memory() -> None:
    hardware = replace(
        detect_hardware(), usable_cores=8, memory_available=16_000, memory_limit_available=None
    )
    assert share_of(hardware, 8, None, 2) == (4, 8_000)
    assert share_of(hardware, 8, 10_000, 4) == (2, 2_500)
    assert share_of(hardware, 2, None, 8) == (1, 2_000)
    held = replace(hardware, memory_limit_available=4_000)
    assert share_of(held, 8, None, 2) == (4, 2_000)
