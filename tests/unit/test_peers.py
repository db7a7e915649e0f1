"""What the comparison with other programs makes of its measurements."""

import pytest
from contest.contestants import CONTESTANTS
from contest.job import Job, StepClock, job_text
from contest.peer_picture import noise_spreads
from contest.report import Result, aims, table

from tests import reference_picture


def _result() -> Result:
    result = Result()
    for number, (ours, theirs) in enumerate([(1.0, 2.0), (4.0, 4.0), (1.2, 3.0)]):
        result.add("ours-int8", "step", number, ours)
        result.add("openvino-bf16", "step", number, theirs)
    result.add("stock", "step", 0, 20.0)
    return result


def test_a_ratio_compares_within_a_round_only() -> None:
    result = _result()
    assert result.median("ours-int8", "step") == 1.2
    assert result.ratio("ours-int8", "openvino-bf16", "step") == 0.5  # not 1.2 / 3.0
    assert result.ratio("stock", "openvino-bf16", "step") == 10.0
    assert result.ratio("stock", "torch-f32", "step") is None


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (bytes([0, 100]), bytes([0, 100]), 0.0),
        (bytes([10, 110]), bytes([0, 100]), 0.2),
        (bytes([50, 50]), bytes([0, 100]), 1.0),
        (bytes([1, 2, 3]), bytes([0, 100]), None),
    ],
)
def test_pictures_differ_by_a_share_of_their_spread(
    one: bytes, other: bytes, difference: float | None
) -> None:
    result = Result(pictures={"one": one, "other": other})
    assert result.difference("one", "other") == difference


def test_the_table_says_who_was_left_out_and_why() -> None:
    result = _result()
    result.skipped["torch-f32"] = "no torch"
    titles = {"ours-int8": "Ours", "openvino-bf16": "OpenVINO", "torch-f32": "PyTorch"}
    lines = table(result, titles, ["step"], against="openvino-bf16", reference="torch-f32")
    assert [line.split() for line in lines] == [
        ["step,", "s", "rounds", "picture"],
        ["Ours", "1.20", "(0.50)", "3", "-"],
        ["OpenVINO", "3.00", "(1.00)", "3", "-"],
        ["PyTorch:", "no", "torch"],
    ]


@pytest.mark.parametrize(
    ("name", "coarse", "cell"),
    [
        ("ours-int8", False, ["20.0%", "wrong!"]),
        ("ours-int8", True, ["20.0%"]),
        ("ours-int8-q4_0", False, ["20.0%"]),
    ],
)
def test_another_picture_is_marked(name: str, coarse: bool, cell: list[str]) -> None:
    result = Result(pictures={name: bytes([10, 110]), "torch-f32": bytes([0, 100])})
    result.add(name, "vae", 0, 1.0)
    row = table(
        result, {name: "Ours"}, ["vae"], against="stock", reference="torch-f32", coarse=coarse
    )[1]
    assert row.split() == ["Ours", "1.00", "1", *cell]


def test_aims_take_the_fastest_of_ours() -> None:
    result = _result()
    result.add("ours-avx2", "step", 0, 9.0)
    result.add("ours-int8-q4_0", "memory", 0, 1.9e9)
    assert [line.rsplit(" ", 1) for line in aims(result)] == [
        ["step: ours-int8 / openvino-bf16 = 0.50, at most 0.70 is the aim:", "reached"],
        ["memory: ours-int8-q4_0 1.90 GB, under 1.80:", "missed"],
    ]


def test_the_first_step_does_not_count() -> None:
    times = iter([100.0, 101.0, 103.0, 104.0])
    clock = StepClock(lambda: next(times))
    for _ in range(4):
        clock.step_ended()
    assert clock.step_seconds() == {"step": 1.0}


def test_a_single_step_is_no_measurement() -> None:
    clock = StepClock()
    clock.step_ended()
    assert clock.step_seconds() == {}


def test_peers_and_engine_add_noise_alike() -> None:
    assert (noise_spreads() == reference_picture.noise_spreads()).all()


def test_every_contestant_has_a_name_of_its_own() -> None:
    names = [contestant.name for contestant in CONTESTANTS]
    assert len(names) == len(set(names))


def test_a_job_goes_through_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from contest.job import read_job

    job = Job(kind="warm", width=64, height=128, threads=2, picture="a.png", files={"model": "b"})
    monkeypatch.setattr("sys.argv", ["program", job_text(job)])
    assert read_job() == job
