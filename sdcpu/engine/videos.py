"""Frames that the native engine hands out, taken over one by one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sdcpu.native import copy_pixels
from sdcpu.protocol import Pixels


def frames_taken(result: Any, count: int, free: Callable[[Any], None]) -> Generator[Pixels]:
    """Copies of `count` frames; each buffer is freed once it is copied, or the iterator closed.

    So a long video is in memory about once, not twice. `result` is what generate_video() returned.
    """
    done = 0
    try:
        while done < count:
            if not result[done].data:
                return
            pixels = copy_pixels(result[done])
            free(result[done].data)
            done += 1
            yield pixels
    finally:
        for index in range(done, count):
            free(result[index].data)
        free(result)
