"""The stages of the engine's work, and the seconds spent in each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

Stage = Literal["load", "text", "sample", "decode", "upscale"]


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
