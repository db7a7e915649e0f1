"""How long the stages of a picture took, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


class Stopwatch:
    """Turns what the engine reaches into seconds per stage and seconds left.

    Until a step was seen, the estimate is the expected seconds of the plan; from then on the steps
    of this very picture count, and the plan only for what comes after them.
    """

    def __init__(
        self,
        *,
        pictures: int,
        expected: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._pictures = pictures
        self._expected = dict(expected or {})
        self._start = self._stage_start = clock()
        self._stage = ""
        self._seconds: dict[str, float] = {}
        self._step_seconds: float | None = None
        self._steps_before = 0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._start

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Seconds spent in each stage so far."""
        now = self._clock()
        running = {self._stage: self._seconds.get(self._stage, 0.0) + now - self._stage_start}
        return self._seconds | (running if self._stage else {})

    def reached(self, stage: str, step: int = 0, steps: int = 0, picture: int = 1) -> float | None:
        """Note that a stage began or a step ended; return the seconds left, None while unknown."""
        now = self._clock()
        if stage != self._stage:
            if self._stage:
                spent = now - self._stage_start
                self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + spent
            self._stage, self._stage_start = stage, now
            self._step_seconds = None if stage != "sample" else self._step_seconds
        if stage == "sample":
            return self._left_sampling(now, step, steps, picture)
        if stage == "decode":
            return self._left_decoding(now, step, steps)
        return self._sum_expected(after=stage)

    def _left_sampling(self, now: float, step: int, steps: int, picture: int) -> float | None:
        done = (picture - 1) * steps + step
        if done and step:
            self._step_seconds = (now - self._stage_start) / done
        decoding = self._expected.get("decode", 0.0)
        if self._step_seconds is None:
            expected = self._expected.get("sample")
            return None if expected is None else expected + decoding
        return self._step_seconds * (steps * self._pictures - done) + decoding

    def _left_decoding(self, now: float, step: int, steps: int) -> float | None:
        spent = now - self._stage_start
        if step and steps:
            return spent / step * (steps - step)
        expected = self._expected.get("decode")
        return None if expected is None else max(0.0, expected - spent)

    def _sum_expected(self, *, after: str) -> float | None:
        order = ("load", "text", "sample", "decode")
        if "sample" not in self._expected:
            return None
        return sum(self._expected.get(stage, 0.0) for stage in order[order.index(after) :])
