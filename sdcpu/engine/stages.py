"""The stages of the engine's work, and the seconds spent in each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

Stage = Literal["load", "text", "sample", "decode", "upscale"]


def stage_begun(said: str) -> Stage | None:
    """The stage that a line in the engine's log begins; the engine tells no stages otherwise."""
    video = "generate_video "
    if said.startswith("generating image: "):
        return "sample"
    if said.startswith(video) and said[len(video) :][:1].isdigit():  # not "… completed in 3.00s"
        return "sample"
    if said.startswith("decoding ") and said.endswith(" latents"):
        return "decode"
    return "decode" if said.startswith("generating latent video completed") else None


class StepCount:
    """Steps counted through two samplings in a row: a video's model for strong noise comes first.

    >>> count = StepCount()
    >>> count.expect(5)
    >>> [count.counted(step, steps) for step, steps in ((0, 2), (1, 2), (2, 2), (0, 3), (1, 3))]
    [(0, 5), (1, 5), (2, 5), (2, 5), (3, 5)]
    """

    def __init__(self) -> None:
        self._expected = 0
        self._before = self._last = 0

    def expect(self, steps: int) -> None:
        """Count up to so many steps; without this, every sampling is counted by itself."""
        self._expected = steps

    def counted(self, step: int, steps: int) -> tuple[int, int]:
        """The step among all, and how many there are."""
        if not self._expected:
            return step, steps
        if step < self._last:
            self._before += self._last
        self._last = step
        return self._before + step, self._expected


class StageClock:
    """Seconds spent in each stage; `ended` is told of each that ends."""

    def __init__(self, ended: Callable[[Stage], None]) -> None:
        self.stage: Stage | None = None
        self._ended = ended
        self._since = 0.0
        self._seconds: dict[str, float] = {}

    def enter(self, stage: Stage) -> None:
        """Begin a stage; the one before it ends."""
        self.finish()
        self.stage = stage
        self._since = time.perf_counter()

    def finish(self) -> dict[str, float]:
        """End the stage; return the seconds of all."""
        if self.stage is not None:
            spent = time.perf_counter() - self._since
            self._seconds[self.stage] = self._seconds.get(self.stage, 0.0) + spent
            self._ended(self.stage)
            self.stage = None
        return self._seconds
