"""What happened while something was made: seconds per stage, memory of parent and children.

The report is for programs (`sdcpu generate --report FILE`): plain values that JSON can carry.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sdcpu.errors import InvalidRequestError
from sdcpu.events import DownloadProgress, Progress
from sdcpu.hardware import process_memory
from sdcpu.whole_file import written_whole

if TYPE_CHECKING:
    pass

Event = TypeVar("Event")

MAX_SAMPLES = 2000
"""When there are more, every second one is dropped and the interval doubles."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MemorySample:
    """The memory at one moment."""

    seconds: float
    """Since the beginning."""
    stage: str
    parent: int
    """Bytes of this process that are in memory (resident set)."""
    children: int
    """Bytes of the processes below it: the engine."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StageReport:
    """One stage, all its visits together."""

    stage: str
    seconds: float
    parent_peak: int
    """Bytes."""
    children_peak: int


class Recorder:
    """Watches work that yields events; a thread samples the memory meanwhile.

    >>> with Recorder() as recorder:
    ...     for event in recorder.watch(iter([Progress(stage="load")])):
    ...         pass
    >>> [stage.stage for stage in recorder.stages()]
    ['start', 'load']
    """

    def __init__(self, *, interval: float = 0.05) -> None:
        self.samples: list[MemorySample] = []
        self._interval = interval
        """Seconds between two samples."""
        self._began = time.monotonic()
        self._stage = "start"
        self._stage_began = self._began
        self._stage_seconds: dict[str, float] = {}
        self._sampling = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample_on, name="sdcpu-memory", daemon=True)

    def __enter__(self) -> Recorder:
        """Begin to sample."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the last stage and the sampling."""
        self._reach("")
        self._ended.set()
        self._thread.join()

    def watch(self, events: Iterator[Event]) -> Iterator[Event]:
        """Pass the events on and note the stages they tell of."""
        for event in events:
            if isinstance(event, DownloadProgress):
                self._reach("download")
            elif isinstance(event, Progress):
                self._reach(event.stage)
            yield event

    def stages(self) -> list[StageReport]:
        """The stages in the order in which they were first reached."""
        return [
            StageReport(
                stage=stage,
                seconds=round(seconds, 3),
                parent_peak=max((s.parent for s in self.samples if s.stage == stage), default=0),
                children_peak=max(
                    (s.children for s in self.samples if s.stage == stage), default=0
                ),
            )
            for stage, seconds in self._stage_seconds.items()
        ]

    @property
    def memory_peak(self) -> int:
        """Bytes of all processes together at the worst moment."""
        return max((sample.parent + sample.children for sample in self.samples), default=0)

    def _reach(self, stage: str) -> None:
        if stage == self._stage:
            return
        self._sample()  # so that no stage is too short to be seen
        now = time.monotonic()
        spent = self._stage_seconds.get(self._stage, 0.0)
        self._stage_seconds[self._stage] = spent + now - self._stage_began
        self._stage, self._stage_began = stage, now

    def _sample_on(self) -> None:
        while not self._ended.wait(self._interval):
            self._sample()

    def _sample(self) -> None:
        import psutil

        this_process = psutil.Process()
        below = this_process.children(recursive=True)
        with self._sampling:
            self.samples.append(
                MemorySample(
                    seconds=round(time.monotonic() - self._began, 3),
                    stage=self._stage,
                    parent=process_memory(this_process.pid),
                    children=sum(process_memory(child.pid) for child in below),
                )
            )
            if len(self.samples) > MAX_SAMPLES:
                del self.samples[::2]
                self._interval *= 2


def write_report(path: Path, report: Mapping[str, object]) -> None:
    """Write a report as JSON, in one piece or not at all.

    Raises:
        InvalidRequestError: it cannot be written there.
    """
    text = json.dumps(plain(report), indent=2, ensure_ascii=False) + "\n"
    try:
        with written_whole(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise InvalidRequestError(
            f"The report cannot be written to {path}: {error.strerror or error}."
        ) from error


def plain(value: object) -> object:
    """Turn values of ours into what JSON can carry; pictures become their size.

    >>> plain({"folder": Path("models"), "features": frozenset({"fma", "avx2"})})
    {'folder': 'models', 'features': ['avx2', 'fma']}
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    size = getattr(value, "size", None)
    return f"picture of {size[0]}x{size[1]}" if isinstance(size, tuple) else str(value)
