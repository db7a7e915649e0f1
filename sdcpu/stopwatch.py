"""How long the stages of a picture took, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

_STAGES = ("load", "text", "sample", "decode", "upscale")
"""In their order; all but the first come again for every picture."""


class Stopwatch:
    """Turns what the engine reaches into seconds per stage and seconds left.

    Until a step was seen, the estimate is the expected seconds of the plan; from then on what was
    measured with this very request counts, and the plan only for what comes for the first time.
    """

    def __init__(
        self,
        *,
        pictures: int,
        expected: Mapping[str, float] | None = None,
        to_come: Collection[str] = ("sample",),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start; `expected` are seconds of each stage for all pictures together.

        `to_come` are the stages without which there is no estimate; others are short beside them.
        """
        self._clock = clock
        self._pictures = pictures
        self._to_come = frozenset(to_come)
        # Seconds of each stage of one picture.
        self._costs = {stage: 0.0 for stage in _STAGES if stage not in to_come}
        for stage, seconds in (expected or {}).items():
            self._costs[stage] = seconds if stage == "load" else seconds / pictures
        self._start = self._stage_start = self._last = clock()
        self._stage, self._step = "", 0
        self._picture = 1
        self._seconds: dict[str, float] = {}

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
        # Fewer steps than before: the stage begins again, as when a picture is enlarged twice.
        if (stage, picture) != (self._stage, self._picture) or step < self._step:
            # With a step already done, it began when the last one ended.
            self._begin(stage, picture, at=self._last if step else now)
        self._last, self._step = now, step
        spent = now - self._stage_start
        if step and steps:
            self._costs[stage] = spent / step * steps
            left = self._costs[stage] - spent
        else:
            left = max(0.0, self._costs.get(stage, 0.0) - spent)
        known = self._to_come <= self._costs.keys()
        return left + self._of_later_stages() if known else None

    def _begin(self, stage: str, picture: int, *, at: float) -> None:
        if self._stage:
            spent = at - self._stage_start
            self._costs[self._stage] = spent
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + spent
        self._stage, self._picture, self._stage_start = stage, picture, at

    def _of_later_stages(self) -> float:
        rest = sum(self._costs[stage] for stage in _STAGES[_STAGES.index(self._stage) + 1 :])
        whole_picture = sum(self._costs[stage] for stage in _STAGES[1:])
        return rest + whole_picture * (self._pictures - self._picture)
