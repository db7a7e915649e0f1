"""How far a picture is, in one number and a few words."""

from __future__ import annotations

import time
from collections.abc import Callable

from sdcpu.agents.studio import Told, Waiting
from sdcpu.events import DownloadProgress, Progress
from sdcpu.figures import size_text
from sdcpu.measurements import format_duration
from sdcpu.plan import EnginePlan
from sdcpu.upscaler import UpscalePlan

WHOLE = 100.0
_DOING = {
    "download": "downloading",
    "load": "loading the model",
    "text": "reading the prompt",
    "sample": "drawing",
    "decode": "decoding",
    "upscale": "enlarging",
}
_LITTLE = 0.01
"""By how much the number grows at least: clients are promised that it does."""


class ProgressLine:
    """Keeps what was told last, and turns it into a line at any time.

    The number only ever grows: from 0, and to `WHOLE` when the picture is done. Between two events
    it goes on with the clock, because a step can take a minute.

    >>> line = ProgressLine(clock=iter([0.0, 3.0, 4.0]).__next__)
    >>> line.hear(Progress(stage="sample", step=1, steps=4, seconds_left=9.0))
    >>> line.now()
    (33.33, 'drawing, step 1 of 4, about 8 s left')
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._told_at = self._began
        self._left: float | None = None
        self._doing = "waiting"
        self._number = 0.0

    def hear(self, event: Told) -> None:
        """Take note of an event."""
        if isinstance(event, Waiting):
            others = "another picture" if event.before == 1 else f"{event.before} other pictures"
            self._note(f"waiting for {others}", None)
        elif isinstance(event, EnginePlan | UpscalePlan):
            self._began = self._clock()
            self._note(f"planned, with {event.model.name}", event.seconds_expected)
        elif isinstance(event, DownloadProgress):
            total = f" of {size_text(event.total)}" if event.total else ""
            self._note(
                f"downloading {event.file}, {size_text(event.done)}{total}", event.seconds_left
            )
        elif isinstance(event, Progress):
            counts = event.stage in {"sample", "upscale"} and event.step
            step = f", step {event.step} of {event.steps}" if counts else ""
            self._note(_DOING[event.stage] + step, event.seconds_left)

    def now(self) -> tuple[float, str]:
        """The number, 0 to less than `WHOLE`, and what is being done with the time that is left."""
        now = self._clock()
        number, text = 0.0, self._doing
        if self._left is not None:
            left = max(0.0, self._left - (now - self._told_at))
            elapsed = now - self._began
            number = WHOLE * elapsed / (elapsed + left) if elapsed + left else 0.0
            text = f"{self._doing}, {format_duration(left)} left"
        self._number = round(min(max(number, self._number + _LITTLE), WHOLE - _LITTLE), 2)
        return self._number, text

    def _note(self, doing: str, left: float | None) -> None:
        self._doing, self._left, self._told_at = doing, left, self._clock()
