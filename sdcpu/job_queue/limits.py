"""How much a queue takes, and how much it keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sdcpu.errors import SettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueLimits:
    """Limits of a queue.

    Raises:
        SettingsError: a number that is no limit.

    >>> QueueLimits(most_pictures=4).most_pictures
    4
    """

    most_waiting: int = 200
    """Jobs that may wait at once."""
    most_pixels: int = 4_194_304
    """Of one result, enlarging included: 2048x2048."""
    most_pictures: int = 16
    """Of one job."""
    most_steps: int = 150
    """Of one picture, in each of its passes."""
    most_frames: int = 161
    """Of one video."""
    most_kept_jobs: int = 1000
    """Finished jobs that are kept; beyond, the oldest are deleted with their files."""
    cached_results: int = 100
    """Jobs whose results answer an identical request, where a seed is given; 0: none."""
    keep_alive_seconds: float = 300.0
    """How long a model stays loaded when nothing is drawn with it; 0: not at all, inf: always."""

    def __post_init__(self) -> None:
        least = {"cached_results": 0, "keep_alive_seconds": 0}
        for name in self.__slots__:
            value = getattr(self, name)
            if math.isnan(value) or value < least.get(name, 1):
                raise SettingsError(
                    f"{value} is no limit for {name.replace('_', ' ')}.",
                    hint=f"Give at least {least.get(name, 1)}.",
                )
