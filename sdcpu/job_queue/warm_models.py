"""Models that stay loaded between jobs, until they idle for too long or others need the room."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sdcpu.fitting import SAFETY_MARGIN, find_room
from sdcpu.hardware import Hardware, detect_hardware, process_memory
from sdcpu.job_queue.makers import Enlarger, PictureMaker

Maker = PictureMaker | Enlarger


@dataclass(slots=True)
class _Warm:
    maker: Maker
    used: float
    """When it was given back last."""


class WarmModels:
    """The generators and upscalers of one drawing thread, by what is loaded in them (the group).

    One thread takes and gives back; others may ask what is loaded.
    """

    def __init__(
        self,
        *,
        keep_alive_seconds: float,
        memory_limit: int | None,
        clock: Callable[[], float] = time.monotonic,
        hardware: Callable[[], Hardware] = detect_hardware,
        memory_of: Callable[[int | None], int] = process_memory,
    ) -> None:
        """`memory_limit`: bytes that all of them together may hold; None: what is free."""
        self._keep_alive = keep_alive_seconds
        self._memory_limit = memory_limit
        self._clock, self._hardware, self._memory_of = clock, hardware, memory_of
        self._lock = threading.Lock()
        self._warm: OrderedDict[str, _Warm] = OrderedDict()  # the longest unused first

    def groups(self) -> list[str]:
        """What is loaded."""
        with self._lock:
            return list(self._warm)

    def memory(self) -> int:
        """Bytes that all engines hold."""
        return sum(self._held(warm) for _, warm in self._items())

    def report(self) -> list[dict[str, Any]]:
        """What is loaded, for people: name, bytes, and seconds since it was used."""
        now = self._clock()
        return [
            {"name": group, "memory": self._held(warm), "idle_seconds": max(0.0, now - warm.used)}
            for group, warm in self._items()
        ]

    def take(self, group: str, make: Callable[[], Maker]) -> Maker:
        """The maker that has the group loaded, or will have; it is used from now on."""
        warm = self._warm.get(group) or _Warm(make(), 0.0)
        warm.used = self._clock()
        with self._lock:
            self._warm[group] = warm
            self._warm.move_to_end(group)
        return warm.maker

    def give_back(self, group: str) -> None:
        """The maker is not used any more, for now."""
        if group in self._warm:
            self._warm[group].used = self._clock()
        self.close_idle()

    def has_others(self, group: str) -> bool:
        """Whether something else is loaded, which may have to give way."""
        return any(other != group for other in self._warm)

    def make_room(self, group: str, needed: int, *, on_card: bool = False) -> None:
        """Close what was not used for the longest time until `needed` bytes are free for a group.

        Of a card's memory nobody says how much the others hold: all of them give way.
        """
        for other in [name for name in self.groups() if name != group]:
            if not on_card and self._fits(group, needed):
                return
            self.close(other)

    def close_idle(self, *, used: str | None = None) -> None:
        """Close what was idle for too long; the group that is `used` is not idle."""
        now = self._clock()
        for group, warm in self._items():
            if group != used and now - warm.used >= self._keep_alive:
                self.close(group)

    def seconds_to_idle(self) -> float | None:
        """Seconds until something will have been idle for too long; None: nothing ever will."""
        if not self._warm or math.isinf(self._keep_alive):
            return None
        oldest = min(warm.used for _, warm in self._items())
        return max(0.0, oldest + self._keep_alive - self._clock())

    def close(self, group: str) -> None:
        """End the engine of a group."""
        with self._lock:
            warm = self._warm.pop(group, None)
        if warm is not None:
            warm.maker.close()

    def close_all(self) -> None:
        """End all engines."""
        for group in self.groups():
            self.close(group)

    def _fits(self, group: str, needed: int) -> bool:
        own = self._held(self._warm[group]) if group in self._warm else 0
        room = find_room(self._hardware(), None, own)
        wanted = needed * (1 + SAFETY_MARGIN)
        others = self.memory() - own
        within = self._memory_limit is None or needed + others <= self._memory_limit
        return wanted <= room.size and within

    def _items(self) -> list[tuple[str, _Warm]]:
        with self._lock:
            return list(self._warm.items())

    def _held(self, warm: _Warm) -> int:
        return self._memory_of(warm.maker.engine_pid)
