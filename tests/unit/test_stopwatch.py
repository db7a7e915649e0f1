"""Seconds per stage and seconds left, on a clock of our own."""

import pytest

from sdcpu.stopwatch import Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_stages_add_up() -> None:
    clock = Clock()
    watch = Stopwatch(pictures=1, clock=clock)
    for stage, seconds in (("load", 2.0), ("text", 0.5), ("sample", 8.0), ("decode", 1.5)):
        watch.reached(stage)
        clock.now += seconds
    assert watch.stage_seconds == {"load": 2.0, "text": 0.5, "sample": 8.0, "decode": 1.5}
    assert watch.seconds == 12.0


def test_nothing_is_known_before_the_first_step() -> None:
    watch = Stopwatch(pictures=1, clock=Clock())
    assert watch.reached("load") is None
    assert watch.reached("sample", 0, 4) is None


def test_the_plan_is_believed_until_a_step_was_seen() -> None:
    clock = Clock()
    expected = {"load": 1.0, "text": 1.0, "sample": 8.0, "decode": 3.0}
    watch = Stopwatch(pictures=1, expected=expected, clock=clock)
    assert watch.reached("load") == 13.0
    assert watch.reached("text") == 12.0
    assert watch.reached("sample", 0, 4) == 11.0
    clock.now += 5.0
    assert watch.reached("sample", 1, 4) == pytest.approx(3 * 5.0 + 3.0)
    assert watch.reached("decode") == 3.0
    clock.now += 1.0
    assert watch.reached("decode", 1, 4) == pytest.approx(3.0)


def test_all_pictures_of_a_request_count() -> None:
    clock = Clock()
    watch = Stopwatch(pictures=3, clock=clock)
    watch.reached("sample", 0, 2)
    clock.now += 4.0
    assert watch.reached("sample", 2, 2, picture=1) == pytest.approx(8.0)
    clock.now += 2.0
    assert watch.reached("sample", 1, 2, picture=2) == pytest.approx(6.0)


def test_what_the_first_picture_took_is_expected_of_the_next() -> None:
    clock = Clock()
    expected = {"load": 1.0, "text": 2.0, "sample": 80.0, "decode": 6.0}
    watch = Stopwatch(pictures=2, expected=expected, clock=clock)
    assert watch.reached("load") == 89.0
    for stage, seconds in (("load", 2.0), ("text", 0.5), ("sample", 8.0), ("decode", 1.5)):
        watch.reached(stage)
        clock.now += seconds
    assert watch.reached("text", picture=2) == pytest.approx(0.5 + 8.0 + 1.5)
    clock.now += 0.5
    assert watch.reached("sample", 0, 4, picture=2) == pytest.approx(8.0 + 1.5)
    clock.now += 1.0
    assert watch.reached("sample", 1, 4, picture=2) == pytest.approx(3 * 1.0 + 1.5)
    clock.now += 3.0
    assert watch.reached("decode", picture=2) == pytest.approx(1.5)
    assert watch.stage_seconds == {"load": 2.0, "text": 1.0, "sample": 12.0, "decode": 1.5}


def test_a_stage_that_comes_again_is_counted_anew() -> None:
    clock = Clock()
    watch = Stopwatch(pictures=1, to_come=("upscale",), clock=clock)
    watch.reached("upscale", 0, 4)
    clock.now += 40.0
    watch.reached("upscale", 4, 4)
    watch.reached("upscale", 0, 9)
    clock.now += 1.0
    assert watch.reached("upscale", 1, 9) == pytest.approx(8.0)
    assert watch.stage_seconds == {"upscale": 41.0}
