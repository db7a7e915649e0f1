"""The order in which ways to compute are tried, with made seconds and a made clock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdcpu.errors import BuildUnusableError, EngineCrashedError, NotEnoughMemoryError
from sdcpu.hardware import Hardware
from sdcpu.trials import ROUNDS, SIDES, Draw, Search, Trial, TrialResult, threads_to_try
from sdcpu.tuning import Tuning
from tests.unit.test_plan import MACHINE

ALL = ["int8", "bf16", "avx512", "avx2"]
START_SECONDS = 1.0
ONE_CORE = replace(MACHINE, usable_cores=1, usable_cpus=(0,))


class Bench:
    """A machine on which a picture takes what `speed` says, times its pixels."""

    def __init__(self, speed: Callable[[Tuning], float], largest: int = SIDES[-1]) -> None:
        self.now = 0.0
        self.trials: list[Trial] = []
        self.open_at_once = 0
        self._speed = speed
        self._largest = largest

    def run(
        self, budget: float = 50.0, hardware: Hardware = ONE_CORE, kernels: list[str] = ALL
    ) -> TrialResult:
        search = Search(self._open, budget=budget, clock=lambda: self.now)
        return self._drained(search.run(hardware, kernels))

    def _drained(self, trials: Generator[Trial, None, TrialResult]) -> TrialResult:
        while True:
            try:
                self.trials.append(next(trials))
            except StopIteration as end:
                result: TrialResult = end.value
                return result

    @contextmanager
    def _open(self, way: Tuning) -> Iterator[Draw]:
        assert self.open_at_once == 0, "two engines at a time take twice the memory"
        self.now += START_SECONDS
        seconds = self._speed(way)
        self.open_at_once += 1

        def draw(side: int) -> float:
            if side > self._largest:
                raise NotEnoughMemoryError("too large")
            self.now += seconds * (side / SIDES[-1]) ** 2
            return seconds * (side / SIDES[-1]) ** 2

        try:
            yield draw
        finally:
            self.open_at_once -= 1


def by_kernels(**seconds: float) -> Callable[[Tuning], float]:
    return lambda way: seconds[way.kernels]


def test_the_fastest_kernels_are_taken() -> None:
    bench = Bench(by_kernels(int8=2.0, bf16=1.5, avx512=3.0, avx2=4.0))
    result = bench.run()
    assert result.best == Tuning(kernels="bf16", threads=1, seconds=1.5)
    assert result.side == SIDES[-1]
    assert result.left_out == result.failed == ()
    assert {way.kernels: len(seconds) for way, seconds in result.seconds.items()} == {
        "int8": 2,  # near after the first round, not after the second
        "bf16": 2,
        "avx512": 1,
        "avx2": 1,
    }


def test_small_differences_change_nothing() -> None:
    bench = Bench(by_kernels(int8=2.0, bf16=1.96, avx512=1.98, avx2=4.0))
    result = bench.run(budget=500.0)
    assert result.best.kernels == "int8"
    turns = [trial.way.kernels for trial in bench.trials if trial.round > 1]
    assert turns == ["avx512", "bf16", "int8", "int8", "bf16", "avx512"]
    assert len(result.seconds[replace(result.best, seconds=0.0)]) == ROUNDS


def test_numbers_of_threads() -> None:
    hybrid = replace(MACHINE, usable_cores=6, usable_performance_cores=2, physical_cores=6)
    bench = Bench(lambda way: {"int8": 1.0}.get(way.kernels, 3.0) / min(way.threads, 6))
    result = bench.run(hardware=hybrid)
    assert (result.best.kernels, result.best.threads) == ("int8", 6)
    assert {way.threads for way in result.seconds if way.kernels == "int8"} == {2, 6, 8}
    assert {way.threads for way in result.seconds if way.kernels != "int8"} == {2}


def test_without_kernels_the_flags_are_tried() -> None:
    bench = Bench(lambda way: 2.0 if way.diffusion_conv_direct else 3.0)
    result = bench.run(kernels=[])
    assert result.best == Tuning(kernels="off", threads=1, seconds=2.0)
    slow = Bench(lambda way: 3.0 if way.diffusion_conv_direct else 2.0)
    assert not slow.run(kernels=[]).best.diffusion_conv_direct


def test_what_the_memory_does_not_hold_is_measured_smaller() -> None:
    seconds = by_kernels(int8=2.0, bf16=1.0, avx512=3.0, avx2=4.0)
    result = Bench(seconds, largest=SIDES[1]).run()
    assert (result.best.kernels, result.side) == ("bf16", SIDES[1])
    with pytest.raises(NotEnoughMemoryError):
        Bench(seconds, largest=0).run()


@pytest.mark.parametrize("error", [BuildUnusableError, EngineCrashedError])
def test_what_does_not_run_is_told_and_not_taken(error: type[Exception]) -> None:
    def speed(way: Tuning) -> float:
        if way.kernels in ("int8", "avx512"):
            raise error("no")
        return 1.0

    result = Bench(speed).run()
    assert result.best.kernels == "bf16"
    assert [way.kernels for way in result.failed] == ["int8", "avx512"]


def test_kernels_that_the_engine_refuses_leave_its_own() -> None:
    def speed(way: Tuning) -> float:
        if way.kernels != "off":
            raise BuildUnusableError("another engine")
        return 1.0

    assert Bench(speed).run().best.kernels == "off"
    with pytest.raises(BuildUnusableError, match="in no way"):
        Bench(lambda way: speed(replace(way, kernels="int8"))).run()


@given(
    seconds=st.lists(st.floats(0.05, 60), min_size=4, max_size=4),
    budget=st.floats(1, 60),
    cores=st.integers(1, 8),
)
@settings(deadline=None)
def test_the_budget_is_kept(seconds: list[float], budget: float, cores: int) -> None:
    """All but the first, smallest picture fits, however slow the machine is."""
    speeds = dict(zip(ALL, sorted(seconds), strict=True))
    slowest_first = seconds[0] / 16 + START_SECONDS
    # What is not known may take 2.5 times as long as the usual, and these may take more.
    surprise = max(0.0, speeds["avx2"] - 2.5 * speeds["int8"])
    bench = Bench(lambda way: speeds[way.kernels] / way.threads)
    machine = replace(MACHINE, usable_cores=cores)
    result = bench.run(budget=budget, hardware=machine)
    assert bench.now <= max(budget, slowest_first + seconds[0]) + surprise
    assert result.best.kernels == "int8" or speeds["int8"] > 0.97 * speeds[result.best.kernels]
    tried = set(result.seconds) | set(result.left_out)
    assert {way.kernels for way in tried} == set(ALL)


@pytest.mark.parametrize(
    ("facts", "numbers"),
    [
        ({}, [4, 8]),
        ({"usable_cpus": (0, 1, 2, 3)}, [4]),
        ({"cpu_quota": 2.5}, [2]),
        ({"cpu_quota": 6.0}, [4]),
        ({"usable_cores": 4, "usable_performance_cores": 2}, [2, 4, 8]),
    ],
)
def test_threads_to_try(facts: dict[str, object], numbers: list[int]) -> None:
    assert threads_to_try(replace(MACHINE, **facts)) == numbers  # type: ignore[arg-type]
