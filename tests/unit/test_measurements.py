"""What this machine measured before, and what it lets us expect."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdcpu.measurements import (
    FILE_NAME,
    MAX_CURVES,
    MAX_POINTS,
    MAX_SAMPLES,
    Conditions,
    Measurements,
    format_duration,
)

CONDITIONS = Conditions(
    machine="Some CPU | cpu 0.4.7",
    threads=2,
    family="sd1",
    tensor_type="q8_0",
    weights=1_600_000_000,
    width=512,
    height=512,
    passes=4,
    decoder="tiny",
)
SECONDS = {"load": 2.0, "text": 0.5, "sample": 54.0, "decode": 4.1}


def test_nothing_is_expected_before_anything_was_measured(tmp_path: Path) -> None:
    assert Measurements(tmp_path).estimate(CONDITIONS) is None
    assert Measurements(tmp_path).stages(CONDITIONS) == {}


def test_the_same_request_takes_the_same_time_again(tmp_path: Path) -> None:
    Measurements(tmp_path).record(CONDITIONS, SECONDS)
    again = Measurements(tmp_path)
    assert again.estimate(CONDITIONS) == pytest.approx(60.6)
    assert again.stages(CONDITIONS) == pytest.approx(SECONDS)


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"passes": 8}, {"sample": 108.0}),
        ({"count": 3}, {"text": 1.5, "sample": 162.0, "decode": 12.3}),
        ({"weights": 800_000_000}, {"load": 1.0}),
    ],
)
def test_more_work_takes_more_time(
    tmp_path: Path, change: dict[str, int], stages: dict[str, float]
) -> None:
    measurements = Measurements(tmp_path)
    measurements.record(CONDITIONS, SECONDS)
    expected = measurements.stages(replace(CONDITIONS, **change))  # type: ignore[arg-type]
    assert expected == pytest.approx(SECONDS | stages)


@pytest.mark.parametrize(
    "change",
    [
        {"machine": "Another CPU | cpu 0.4.7"},
        {"threads": 4},
        {"family": "sdxl"},
        {"tensor_type": "q4_0"},
        {"flash_attention": True},
        {"loras": 1},
        {"control": True},
        {"references": 2},
        {"diffusion_conv_direct": True},
        {"decoder": "full"},
        {"tile_size": 32},
        {"vae_conv_direct": True},
    ],
    ids=str,
)
def test_other_circumstances_know_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    measurements = Measurements(tmp_path)
    measurements.record(CONDITIONS, SECONDS)
    assert measurements.estimate(replace(CONDITIONS, **change)) is None  # type: ignore[arg-type]


def test_another_size_is_scaled(tmp_path: Path) -> None:
    measurements = Measurements(tmp_path)
    measurements.record(CONDITIONS, SECONDS)
    larger = measurements.stages(replace(CONDITIONS, width=1024))
    assert 2 < larger["sample"] / SECONDS["sample"] < 2.5
    assert larger["decode"] == pytest.approx(2 * SECONDS["decode"])


def test_two_sizes_tell_how_the_time_grows(tmp_path: Path) -> None:
    measurements = Measurements(tmp_path)
    for side in (256, 512):
        work = side**2 / 512**2
        conditions = replace(CONDITIONS, width=side, height=side)
        measurements.record(conditions, {"sample": 40 * work**1.5, "decode": 4 * work})
    third = measurements.stages(replace(CONDITIONS, width=768, height=768))
    assert third["sample"] == pytest.approx(40 * 2.25**1.5, rel=0.01)


def test_one_disturbed_run_does_little(tmp_path: Path) -> None:
    measurements = Measurements(tmp_path)
    for sample in (50.0, 52.0, 500.0):
        measurements.record(CONDITIONS, SECONDS | {"sample": sample})
    assert measurements.stages(CONDITIONS)["sample"] == pytest.approx(52.0)


def test_a_model_that_was_loaded_already_says_nothing_about_loading(tmp_path: Path) -> None:
    measurements = Measurements(tmp_path)
    measurements.record(CONDITIONS, SECONDS)
    measurements.record(CONDITIONS, SECONDS | {"load": 0.0})
    assert measurements.stages(CONDITIONS)["load"] == pytest.approx(2.0)


def test_two_processes_keep_each_others_measurements(tmp_path: Path) -> None:
    one, other = Measurements(tmp_path), Measurements(tmp_path)
    one.record(CONDITIONS, SECONDS)
    other.record(replace(CONDITIONS, family="sd2"), SECONDS)
    both = Measurements(tmp_path)
    assert both.estimate(CONDITIONS) is not None
    assert both.estimate(replace(CONDITIONS, family="sd2")) is not None


def test_the_file_stays_small(tmp_path: Path) -> None:
    measurements = Measurements(tmp_path)
    for number in range(MAX_SAMPLES + MAX_POINTS + 5):
        conditions = replace(CONDITIONS, width=64 * (1 + number))
        measurements.record(conditions, SECONDS)
        measurements.record(CONDITIONS, SECONDS)
    for number in range(MAX_CURVES):
        measurements.record(replace(CONDITIONS, family=f"family {number}"), {"text": 1.0})
    written = json.loads((tmp_path / FILE_NAME).read_text(encoding="utf-8"))
    assert len(written["curves"]) == MAX_CURVES
    assert all(len(points) <= MAX_POINTS for points in written["curves"].values())
    samples = [len(s) for points in written["curves"].values() for s in points.values()]
    assert max(samples) <= MAX_SAMPLES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"format": 1}',
        b'{"format": 99, "curves": {}}',
        b'{"format": 1, "curves": []}',
        b'{"format": 1, "curves": {"a": 3}}',
        b'{"format": 1, "curves": {"a": {"x": [1]}}}',
        b'{"format": 1, "curves": {"a": {"1": ["long"]}}}',
        b'{"format": 1, "curves": {"a": {"1": [-1]}}}',
        b'{"format": 1, "curves": {"a": {"1": [Infinity]}}}',
        b'{"format": 1, "curves": {"a": {"1": 7}}}',
        b"[" * 100_000,
    ],
    ids=lambda content: repr(content[:40]),
)
def test_a_broken_file_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    measurements = Measurements(tmp_path)
    assert measurements.estimate(CONDITIONS) is None
    measurements.record(CONDITIONS, SECONDS)
    assert Measurements(tmp_path).estimate(CONDITIONS) is not None


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    measurements = Measurements(tmp_path / "file")
    measurements.record(CONDITIONS, SECONDS)
    assert measurements.estimate(CONDITIONS) is not None, "it is remembered until the end"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_temporary_file_is_left(tmp_path: Path) -> None:
    Measurements(tmp_path).record(CONDITIONS, SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@given(
    side=st.integers(64, 2048),
    seconds=st.dictionaries(
        st.sampled_from(("load", "text", "sample", "decode")), st.floats(-1, 1e6), max_size=4
    ),
)
def test_estimates_are_never_negative(
    tmp_path_factory: pytest.TempPathFactory, side: int, seconds: dict[str, float]
) -> None:
    measurements = Measurements(tmp_path_factory.mktemp("state"))
    measurements.record(CONDITIONS, seconds)
    estimate = measurements.estimate(replace(CONDITIONS, width=side, height=side))
    assert estimate is None or estimate > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "under 1 s"),
        (0.99, "under 1 s"),
        (1.2, "about 1 s"),
        (19.4, "about 19 s"),
        (21, "about 20 s"),
        (57, "about 55 s"),
        (58, "about 1 min"),
        (64, "about 1 min"),
        (66, "about 1 min 10 s"),
        (131, "about 2 min 10 s"),
        (594, "about 9 min 50 s"),
        (600, "about 10 min"),
        (1490, "about 25 min"),
        (3569, "about 59 min"),
        (3600, "about 1 h"),
        (4900, "about 1 h 20 min"),
        (90_000, "about 25 h"),
    ],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
