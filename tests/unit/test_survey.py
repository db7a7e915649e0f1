"""What the survey of the families makes of its runs."""

import math

import pytest
from survey.drawing import Run
from survey.findings import Finding
from survey.profiles import Operation, left_text, left_to_engine, read_profiles
from survey.rows import ROWS, Row

from sdcpu.families import FileRole
from tests.checkpoints import CHECKPOINTS
from tests.checkpoints.writer import TYPES

PRINTED = """
engine.cpp:1 - profile of a person
profile of sample: 2.000 s, 10.0 GFLOP, 5 GFLOP/s
   1000.0 ms  50.0 %     12 x    10.0 GFLOP    10 GFLOP/s  MUL_MAT/12/0 result[8,2,1,1] (with more)
     50.0 ms   2.5 %      3 x     0.0 GFLOP     0 GFLOP/s  ROPE/0/26 result[128,24,77,1] (engine)
     10.0 ms   0.5 %      1 x     0.0 GFLOP     0 GFLOP/s  CONT/0 result[4,4,4,1] (engine)
profile of decode: 1.000 s, 0.0 GFLOP, 0 GFLOP/s
    100.0 ms  10.0 %      3 x     0.0 GFLOP     0 GFLOP/s  CONT/0 result[4,4,4,1] (engine)
    200.0 ms  20.0 %      3 x     0.0 GFLOP     0 GFLOP/s  CONT/0 result[9,9,9,1] (engine)
""".splitlines()


def test_profiles_are_read_stage_by_stage() -> None:
    profiles = read_profiles(PRINTED)
    assert list(profiles) == ["sample", "decode"]
    assert profiles["sample"][:2] == [
        Operation("MUL_MAT q4_K f32", "result[8,2,1,1] (with more)", 0.5, 12, 10, False),
        Operation("ROPE f32 i32", "result[128,24,77,1]", 0.025, 3, 0, True),
    ]


def test_shapes_are_added_up_and_small_shares_not_named() -> None:
    profiles = read_profiles(PRINTED)
    assert left_to_engine(profiles["decode"]) == pytest.approx({"CONT f32": 0.3})
    assert left_text(profiles["sample"]) == "3.0 %: ROPE f32 i32 2.5 %"
    assert left_text([]) == "0.0 %"


def _run(text: float, step: float, colour: int) -> Run:
    picture = bytes([100, colour])
    return Run(seconds={"text": text, "sample": step}, pictures={"sample": picture})


@pytest.fixture
def finding() -> Finding:
    row = Row(name="flux", parts={}, stages=("text", "sample"), width=64, count=2, cfg_scale=7)
    finding = Finding(row)
    for number, (stock, ours) in enumerate([(8.0, 1.0), (9.0, 3.0), (10.0, 2.5)]):
        finding.add("stock", number, _run(1.0, stock, 100))
        finding.add("ours", number, _run(0.5, ours, 110))
    finding.last["profiled"] = Run(seconds={}, profiles=read_profiles(PRINTED))
    return finding


def test_a_row_has_a_line_for_each_stage(finding: Finding) -> None:
    assert [line.split() for line in finding.lines()] == [
        ["flux,", "64x256,", "2", "pictures,", "cfg", "7"],
        ["text", "1.00", "0.50", "2.0", "-", "0.0", "%"],
        ["step", "9.00", "2.50", "4.0", "31.1", "3.0", "%:", "ROPE", "f32", "i32", "2.5", "%"],
    ]


def test_a_video_tells_its_frames() -> None:
    row = Row(name="wan", parts={}, stages=("sample", "decode"), width=64, height=64, frames=5)
    assert row.title == "wan, 64x64, 5 frames"


def test_without_rounds_only_the_rest_is_told(finding: Finding) -> None:
    alone = Finding(finding.row, last={"profiled": finding.last["profiled"]})
    assert alone.lines()[2].split()[:5] == ["step", "-", "-", "-", "-"]
    assert alone.as_json()["stages"]["step"]["rounds"] == {}


def test_equal_pictures_are_infinitely_alike(finding: Finding) -> None:
    finding.add("ours", 3, _run(0.5, 1.0, 100))
    assert finding.psnr("sample") == math.inf
    assert finding.psnr("text") is None


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_rows_name_known_files(row: Row) -> None:
    for role, (checkpoint, kind) in row.parts.items():
        assert FileRole(role)
        assert checkpoint in CHECKPOINTS
        assert kind in TYPES
    assert row.width % 8 == row.height % 8 == 0
