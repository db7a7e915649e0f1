"""Several requests drawn one after the other by one generator, whose model stays loaded."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from sdcpu.events import Progress
from sdcpu.images import GeneratedImage

AnyEvent_co = TypeVar("AnyEvent_co", covariant=True)


class Streaming(Protocol[AnyEvent_co]):
    """What draws: an `ImageGenerator`, or a `RemoteGenerator`."""

    def stream(self, prompt: str, **request: Any) -> Generator[AnyEvent_co, None, None]:
        """Draw, seen as it happens."""


def stream_series(
    generator: Streaming[AnyEvent_co], requests: Sequence[Mapping[str, Any]]
) -> Generator[AnyEvent_co | Progress | GeneratedImage, None, None]:
    """Draw requests one after the other; pictures and progress count through all of them.

    Each request is keywords of `ImageRequest`. Its plan comes before its pictures. Leaving the
    iterator early cancels what is being drawn.

    Raises:
        SdcpuError: any of ours; what comes after the request that failed is not drawn.

    >>> from sdcpu import ImageGenerator, expand_prompt
    >>> prompts = expand_prompt("a {red|green} circle on white")
    >>> with ImageGenerator("demo") as generator:
    ...     events = stream_series(generator, [{"prompt": p, "steps": 1} for p in prompts])
    ...     [event.index for event in events if isinstance(event, GeneratedImage)]
    [0, 1]
    """
    counts = [request.get("count") or 1 for request in requests]
    pictures, before = sum(counts), 0
    began = time.monotonic()
    for request, count in zip(requests, counts, strict=True):
        with closing(generator.stream(**request)) as events:
            for event in events:
                if isinstance(event, Progress):
                    later = None
                    if before + count == pictures:
                        later = 0.0
                    elif before:
                        seconds_each = (time.monotonic() - began) / before
                        later = seconds_each * (pictures - before - count)
                    yield _counted(event, before, pictures, later)
                elif isinstance(event, GeneratedImage):
                    yield replace(event, index=before + event.index)
                else:
                    yield event
        before += count


def _counted(event: Progress, before: int, pictures: int, later: float | None) -> Progress:
    """Progress among all pictures; `later` are the seconds of requests that follow, if known."""
    known = event.seconds_left is not None and later is not None
    return replace(
        event,
        picture=before + event.picture,
        pictures=pictures,
        seconds_left=(event.seconds_left or 0.0) + (later or 0.0) if known else None,
    )
