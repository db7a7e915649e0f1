"""How many workers are fastest on this machine with a model: measured, and kept in a small file.

One engine divides each operation among its threads and waits for the last of them; two engines
with half as many threads wait less, and read the weights twice. Which of it costs more depends on
the machine and the model, so it is measured: `sdcpu bench --workers`.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sdcpu.builds import find_build
from sdcpu.builds.recipes import CPU
from sdcpu.errors import InvalidRequestError, NotEnoughMemoryError, SdcpuError, SettingsError
from sdcpu.generator import ImageGenerator
from sdcpu.hardware import Hardware, detect_hardware
from sdcpu.plan import choose_threads
from sdcpu.settings import Settings, load_settings
from sdcpu.tuning import circumstances_of
from sdcpu.whole_file import written_whole

FILE_NAME = "workers.json"
FORMAT = 1
MOST_KEPT = 64
"""Models and machines that are remembered; the oldest go first."""
MAX_WORKERS = 64
ROUNDS = 3
CLEARLY = 0.95
"""Several workers must take less than this share of one's time: they take more memory."""
_PICTURES = 4
"""Drawn in each trial, by each worker the same number."""
_PROMPT = "a red circle on a blue background"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerTrial:
    """Some pictures that so many workers drew side by side."""

    workers: int
    threads: int
    """Of each."""
    seconds: float
    """For one picture, on the average."""
    round: int
    """Counted from 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerResult:
    """What came out."""

    best: int
    """Workers."""
    seconds: dict[int, tuple[float, ...]] = field(hash=False)
    """For each number of workers the seconds for one picture, of each round."""
    model: str


class WorkerCounts:
    """The file with what was measured.

    >>> WorkerCounts(Path("/nowhere")).find("some machine", "demo") is None
    True
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME

    def find(self, circumstances: str, model: str) -> int | None:
        """How many workers were fastest; None when that was never measured."""
        return self._read().get(f"{circumstances} | {model}")

    def remember(self, circumstances: str, model: str, workers: int) -> None:
        """Keep how many were fastest.

        Raises:
            SettingsError: the file cannot be written.
        """
        known = self._read()
        known.pop(key := f"{circumstances} | {model}", None)
        newest = dict(list({**known, key: workers}.items())[-MOST_KEPT:])
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.file) as stream:
                written = json.dumps({"format": FORMAT, "workers": newest}, indent=1)
                stream.write(written.encode())
        except OSError as error:
            raise SettingsError(
                f"What was measured cannot be kept in {self.file}: {error.strerror or error}",
                hint="Name a folder that can be written: SDCPU_STATE.",
            ) from error

    def forget(self) -> bool:
        """Remove the file; whether there was one."""
        was_there = self.file.is_file()
        self.file.unlink(missing_ok=True)
        return was_there

    def _read(self) -> dict[str, int]:
        try:
            written = json.loads(self.file.read_text(encoding="utf-8"))
            if written["format"] != FORMAT:
                return {}
            return {
                str(key): count
                for key, count in written["workers"].items()
                if type(count) is int and 1 <= count <= MAX_WORKERS
            }
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return {}


def measured_workers(settings: Settings, model: str) -> int:
    """How many workers were fastest with a model here; 1 where that was never measured."""
    circumstances = circumstances_of(detect_hardware(), find_build(CPU, settings))
    return WorkerCounts(settings.state_folder).find(circumstances, model) or 1


def share_of(
    hardware: Hardware, threads: int | None, memory_limit: int | None, workers: int
) -> tuple[int, int]:
    """Threads and bytes of memory for each of several workers, out of what is allowed or free."""
    free = hardware.memory_available
    if hardware.memory_limit_available is not None:
        free = min(free, hardware.memory_limit_available)
    own = max(1, choose_threads(hardware, threads)[0] // workers)
    return own, (memory_limit or free) // workers


def measure_workers(
    model: str | Path = "demo",
    *,
    settings: Settings | None = None,
    counts: Sequence[int] | None = None,
    rounds: int = ROUNDS,
) -> Iterator[WorkerTrial | WorkerResult]:
    """Draw the same pictures with different numbers of workers by turns, and remember the best.

    Numbers that do not fit the memory are left out. `counts` are what is tried; None: 1, 2, 4 and
    so on, up to the number of cores. The result comes last.

    Raises:
        InvalidRequestError: there is nothing to compare: the machine has a single core.
        SettingsError: what was found cannot be kept.
    """
    settings = settings or load_settings()
    hardware = detect_hardware()
    cores = hardware.usable_cores
    counts = counts or [count for count in (1, 2, 4, 8, 16, 32) if count <= cores]
    if len(counts) < 2:
        raise InvalidRequestError("With a single core, one worker is as fast as any.")
    seconds: dict[int, list[float]] = {}
    name = str(model)
    for number in range(rounds):
        for count in counts if number % 2 == 0 else list(reversed(counts)):
            threads, memory = share_of(hardware, settings.threads, settings.memory_limit, count)
            with ExitStack() as stack:
                try:
                    generators = [
                        stack.enter_context(
                            ImageGenerator(
                                model, threads=threads, memory_limit=memory, settings=settings
                            )
                        )
                        for _ in range(count)
                    ]
                    name = generators[0].plan(_PROMPT).model.name
                except NotEnoughMemoryError:
                    continue
                each = max(1, _PICTURES // count)
                _draw_together(generators, 1)  # loads the models
                taken = _draw_together(generators, each) / (each * count)
            seconds.setdefault(count, []).append(taken)
            yield WorkerTrial(workers=count, threads=threads, seconds=taken, round=number + 1)
    medians = {count: statistics.median(each) for count, each in seconds.items()}
    best = min(medians, key=lambda count: medians[count], default=1)
    if best != 1 and medians[best] > CLEARLY * medians.get(1, float("inf")):
        best = 1
    circumstances = circumstances_of(hardware, find_build(CPU, settings))
    WorkerCounts(settings.state_folder).remember(circumstances, name, best)
    yield WorkerResult(
        best=best, seconds={count: tuple(each) for count, each in seconds.items()}, model=name
    )


def _draw_together(generators: Sequence[ImageGenerator], pictures: int) -> float:
    """Let each draw so many pictures at the same time; the seconds until the last is done."""
    errors: list[SdcpuError] = []

    def draw(generator: ImageGenerator) -> None:
        try:
            for seed in range(pictures):
                generator.generate(_PROMPT, seed=seed)
        except SdcpuError as error:
            errors.append(error)

    threads = [threading.Thread(target=draw, args=(generator,)) for generator in generators]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return time.monotonic() - began
