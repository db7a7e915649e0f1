"""Finding the way to compute that is fastest on this machine: kernels, threads and flags in turn.

Each way draws the same small picture in an engine of its own, one after the other, so that no more
memory is taken than for drawing. The first round tries every way; those that come near the fastest
take part in further rounds, in turned order, and their medians decide. What would take longer than
the budget allows is left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdcpu.accel import are_kernels_there
from sdcpu.builds import find_build
from sdcpu.builds.recipes import CPU
from sdcpu.catalog import Catalog
from sdcpu.errors import BuildUnusableError, EngineError, NotEnoughMemoryError
from sdcpu.generator import ImageGenerator
from sdcpu.hardware import Hardware, busy_share, detect_hardware
from sdcpu.images import GeneratedImage
from sdcpu.kernels import AUTOMATIC, OFF, usable_kernels
from sdcpu.plan import EnginePlan, choose_threads
from sdcpu.quantization import quantize
from sdcpu.settings import Settings, load_settings
from sdcpu.tuning import Tuning, Tunings, circumstances_of

BUDGET_SECONDS = 50.0
"""How long all of it may take."""
SIDES = (128, 256, 512)
"""Pixels, width and height. At 512 the demo model's layers have the shapes of Stable Diffusion 1.5
at that size, on three of its four levels; smaller pictures favour what starts quickly."""
STEPS = 2
ROUNDS = 3
NEAR = (1.4, 1.15)
"""Ways that take more than this many times as long as the fastest are not tried again, after the
first round and after the second."""
CLEARLY = 0.97
"""Another way must take less than this share of the usual one's time: smaller differences pass."""
_GROWTH = 5.0
"""Times as long that a picture of the next size takes, at most."""
_SLOWER = 2.5
"""Times as long as the usual way that an unknown one may take."""
_PROMPT = "a red circle on a blue background"
_WARM_UP_SIDE = 64


Draw = Callable[[int], float]
"""Draws a picture of so many pixels in width and height; the seconds that it took."""
OpenWay = Callable[[Tuning], AbstractContextManager[Draw]]
"""Makes an engine ready for a way to compute, warmed up; BuildUnusableError where it cannot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One picture that was drawn to measure."""

    way: Tuning
    side: int
    seconds: float
    round: int
    """Counted from 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """What came out."""

    best: Tuning
    side: int
    seconds: dict[Tuning, tuple[float, ...]] = field(hash=False)
    """For each way that was tried the seconds of its pictures of that size."""
    left_out: tuple[Tuning, ...]
    """The ways that the time did not suffice for."""
    failed: tuple[Tuning, ...]
    """The ways that should run here and do not."""
    busy: float = 0.0
    """The share of the processor that other programs took before the first trial, 0 to 1."""

    @property
    def conclusive(self) -> bool:
        """Whether ways were compared at all: a single one, for want of time, says nothing."""
        return len(self.seconds) > 1 or not self.left_out


def find_fastest(
    model: str | Path = "demo",
    *,
    settings: Settings | None = None,
    budget: float = BUDGET_SECONDS,
) -> Iterator[Trial | TrialResult]:
    """Measure this machine, remember what is fastest, and tell it; the result comes last.

    The model must be on this disk. From then on every plan on this machine uses what was found,
    where nothing else is asked for; when the time did not suffice to compare, nothing is kept.

    Raises:
        ModelNotDownloadedError: the model is not here.
        NotEnoughMemoryError: not even a small picture fits.
        SettingsError: what was found cannot be kept.
    """
    settings = replace(
        settings or load_settings(), threads=None, accel=AUTOMATIC, build=CPU, offline=True
    )
    hardware, build = detect_hardware(), find_build(CPU, settings)
    catalog = Catalog(settings)
    for _ in catalog.fetch(catalog.find(model), quantize):
        pass  # what ships with the package is spelled out; other models must be here

    @contextmanager
    def open_way(way: Tuning) -> Iterator[Draw]:
        with ImageGenerator(model, settings=settings, tuning=way) as generator:
            _draw(generator, way, _WARM_UP_SIDE, steps=1)
            yield lambda side: _draw(generator, way, side, steps=STEPS)

    busy = busy_share()
    kernels = usable_kernels(hardware.cpu_features, built=are_kernels_there(build.library))
    result = yield from Search(open_way, budget=budget).run(hardware, kernels)
    side, name = result.side, Path(catalog.find(model).name).name
    best = replace(result.best, picture=f"a picture of {side}x{side} with {name} in {STEPS} steps")
    if result.conclusive:
        Tunings(settings.state_folder).remember(circumstances_of(hardware, build), best)
    yield replace(result, best=best, busy=busy)


def threads_to_try(hardware: Hardware) -> list[int]:
    """Numbers of threads that could be the fastest, the usual one first.

    One for each core, one for each hardware thread, one for each performance core; never more than
    a container may use.
    """
    usual, _ = choose_threads(hardware, None)
    quota = hardware.cpu_quota or len(hardware.usable_cpus)
    others = (
        hardware.usable_cores,
        len(hardware.usable_cpus),
        hardware.usable_performance_cores or usual,
    )
    return list(dict.fromkeys([usual, *(count for count in others if count <= max(1, quota))]))


class Search:
    """The order of the trials, and what becomes of their seconds."""

    def __init__(
        self,
        open_way: OpenWay,
        *,
        budget: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_way
        self._clock = clock
        self._deadline = clock() + budget
        self._side = SIDES[0]
        self._seconds: dict[Tuning, list[float]] = {}
        self._overhead = 0.0
        """Seconds to start an engine and warm it up."""
        self._left_out: dict[Tuning, None] = {}
        self._failed: dict[Tuning, None] = {}

    def run(
        self, hardware: Hardware, kernels: Sequence[str]
    ) -> Generator[Trial, None, TrialResult]:
        """Try the kernels or, without any, the flags; then numbers of threads with the best.

        Raises:
            BuildUnusableError: the engine draws in no way at all.
        """
        usual, *other_threads = threads_to_try(hardware)
        by_kernels = [Tuning(kernels=name, threads=usual) for name in kernels]
        by_kernels += [Tuning(kernels=OFF, threads=usual, diffusion_conv_direct=False)]
        first = yield from self._find_size(by_kernels, len(other_threads))
        if first.kernels == OFF:
            # Without our kernels it depends on the machine whether im2col pays.
            ways = [first, replace(first, diffusion_conv_direct=True)]
        else:
            ways = [way for way in by_kernels[by_kernels.index(first) :] if way.kernels != OFF]
        best = yield from self._contest(ways)
        if other_threads:
            by_threads = [replace(best, threads=count) for count in other_threads]
            best = yield from self._contest([best, *by_threads])
        return TrialResult(
            best=replace(best, seconds=statistics.median(self._seconds[best])),
            side=self._side,
            seconds={way: tuple(seconds) for way, seconds in self._seconds.items()},
            left_out=tuple(self._left_out),
            failed=tuple(self._failed),
        )

    def _find_size(self, ways: list[Tuning], more: int) -> Generator[Trial, None, Tuning]:
        """Draw larger and larger with the first way that runs, while the budget allows the rest."""
        for number, way in enumerate(ways):
            begin = self._clock()
            try:
                with self._open(way) as draw:
                    self._overhead = self._clock() - begin
                    calls = max(1, len(ways) - number - 2) + 2 * (ROUNDS - 1) + 2 * more
                    for side in SIDES:
                        try:
                            seconds = draw(side)
                        except NotEnoughMemoryError:
                            if way in self._seconds:
                                break  # a smaller picture must do
                            raise
                        self._side = side
                        yield Trial(way=way, side=side, seconds=seconds, round=1)
                        self._seconds = {way: [seconds]}
                        larger = seconds * _GROWTH
                        needed = larger + calls * (self._overhead + larger)
                        if self._clock() + needed > self._deadline:
                            break
            except (BuildUnusableError, EngineError):
                self._failed[way] = None
            else:
                return way
        raise BuildUnusableError(
            "The engine draws in no way at all.", hint="sdcpu doctor says why."
        )

    def _contest(self, ways: Sequence[Tuning]) -> Generator[Trial, None, Tuning]:
        """Let ways draw by turns; return the first of those that are clearly fastest."""
        for number in range(1, ROUNDS + 1):
            tried = [way for way in ways if way in self._seconds]
            turn = [way for way in ways if way not in self._seconds]
            if number > 1:
                limit = NEAR[number - 2] * self._fastest(tried)
                near = [way for way in tried if self._median(way) <= limit]
                turn = near[:: -1 if number % 2 == 0 else 1] if len(near) > 1 else []
            for way in turn:
                yield from self._try(way, number)
        tried = [way for way in ways if way in self._seconds]
        fastest = self._fastest(tried)
        return next(way for way in tried if self._median(way) * CLEARLY <= fastest)

    def _try(self, way: Tuning, number: int) -> Iterator[Trial]:
        known = self._seconds.get(way)
        slowest = max(map(max, self._seconds.values()))
        expected = max(known) if known else min(_SLOWER * self._fastest(self._seconds), 2 * slowest)
        if self._clock() + self._overhead + expected > self._deadline:
            if not known:
                self._left_out[way] = None
            return
        begin = self._clock()
        try:
            with self._open(way) as draw:
                self._overhead = min(self._overhead, self._clock() - begin)
                seconds = draw(self._side)
        except (BuildUnusableError, EngineError):
            self._failed[way] = None
            return
        self._seconds.setdefault(way, []).append(seconds)
        yield Trial(way=way, side=self._side, seconds=seconds, round=number)

    def _median(self, way: Tuning) -> float:
        return statistics.median(self._seconds[way])

    def _fastest(self, ways: Iterable[Tuning]) -> float:
        return min(self._median(way) for way in ways)


def _draw(generator: ImageGenerator, way: Tuning, side: int, *, steps: int) -> float:
    """Seconds of a picture; BuildUnusableError when another way was taken than the wanted one."""
    seconds = 0.0
    for event in generator.stream(_PROMPT, width=side, height=side, steps=steps, seed=1):
        if isinstance(event, EnginePlan) and event.kernels != way.kernels:
            raise BuildUnusableError(f"The kernels {way.kernels!r} do not run here.")
        if isinstance(event, GeneratedImage):
            seconds = event.seconds
    return seconds
