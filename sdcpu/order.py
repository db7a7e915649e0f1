"""One plan being carried out: what the engine is told for each picture, and what it tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdcpu.errors import CancelledError
from sdcpu.events import Preview, Progress
from sdcpu.images import MAX_SEED, GeneratedImage
from sdcpu.jobs import (
    engine_job,
    engine_load,
    finished_picture,
    preview_picture,
    progress_event,
    upscale_job,
    upscaled_picture,
)
from sdcpu.models import ModelFile
from sdcpu.plan import EnginePlan
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Drawn,
    Finished,
    Generate,
    GenerateSettings,
    Load,
    Pixels,
    Previewed,
    Reached,
    Upscale,
    Upscaled,
)
from sdcpu.start_pictures import lay_out
from sdcpu.stopwatch import Stopwatch


@dataclass(kw_only=True)
class Order:
    """The pictures of one plan whose files are all here."""

    plan: EnginePlan
    located: Mapping[ModelFile, Path | None]
    process: EngineProcess
    is_cancelled: Callable[[], bool]
    first: int = 0
    """Pictures of the request that were done before, by another build."""
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Spent in each stage so far."""
    _done: int = 0

    def __post_init__(self) -> None:
        self._watch = Stopwatch(pictures=self.plan.request.count, expected=self.plan.stage_seconds)

    def events(self) -> Iterator[Progress | Preview | GeneratedImage]:
        """Make the pictures one after the other.

        Raises:
            CancelledError: it was cancelled.
            EngineError: the engine failed.
        """
        pictures = lay_out(self.plan.request, self.plan.canvas)
        job = engine_job(self.plan, self.located, pictures)
        yield from self._progress(Load(settings=engine_load(self.plan, self.located)))
        for part in self._parts(job):
            for told in self._told(Generate(settings=part)):
                if not isinstance(told, Drawn):
                    yield told
                    continue
                picture = finished_picture(
                    self.plan,
                    pictures,
                    told.pixels,
                    index=self.first + self._done,
                    seed=told.seed,
                    seconds=self._watch.seconds,
                    notes=told.notes,
                )
                if not self._is_worked_on:
                    self._done += 1
                    yield picture
            if self._is_worked_on:
                picture = yield from self._upscaled(picture)
                self._done += 1
                yield replace(picture, seconds=self._watch.seconds)

    @property
    def _is_worked_on(self) -> bool:
        """Whether something is done to each picture after it was drawn."""
        return self.plan.enlargement is not None

    def _parts(self, job: GenerateSettings) -> list[GenerateSettings]:
        """The job as it is, or one for each picture where that is worked on afterwards."""
        if not self._is_worked_on:
            return [job]
        return [
            replace(job, seed=(job.seed + index) & MAX_SEED, count=1) for index in range(job.count)
        ]

    def _upscaled(self, picture: GeneratedImage) -> Generator[Progress, None, GeneratedImage]:
        if self.plan.enlargement is None:
            return picture
        pixels, seconds = yield from enlarge(
            self.process,
            upscale_job(self.plan, self.located, picture),
            self._event,
            self.is_cancelled,
        )
        self.seconds["upscale"] += seconds
        return upscaled_picture(self.plan, picture, pixels)

    def _told(self, message: Load | Generate) -> Iterator[Progress | Preview | Drawn]:
        """What the engine tells of a message; the seconds of its stages are added up."""
        if self.is_cancelled():
            raise CancelledError("Cancelled before the picture was begun.")
        for answer in self.process.run(message):
            if isinstance(answer, Reached):
                yield self._event(answer)
            elif isinstance(answer, Previewed):
                yield preview_picture(answer)
            elif isinstance(answer, Drawn):
                yield answer
            elif isinstance(answer, Finished):
                for stage, seconds in answer.stage_seconds.items():
                    self.seconds[stage] += seconds

    def _progress(self, message: Load) -> Iterator[Progress]:
        return (told for told in self._told(message) if isinstance(told, Progress))

    def _event(self, reached: Reached) -> Progress:
        numbered = replace(reached, picture=self._done + 1)
        return progress_event(numbered, self._watch, self.plan.request.count)


def enlarge(
    process: EngineProcess,
    message: Upscale,
    event: Callable[[Reached], Progress],
    is_cancelled: Callable[[], bool],
) -> Generator[Progress, None, tuple[Pixels, float]]:
    """Make a picture larger; return its pixels and the seconds that took.

    Raises:
        CancelledError: it was cancelled.
        EngineError: the engine failed.
    """
    pixels, seconds = message.picture, 0.0
    if is_cancelled():
        raise CancelledError("Cancelled before the picture was enlarged.")
    for answer in process.run(message):
        if isinstance(answer, Reached) and answer.stage == "upscale":
            yield event(answer)
        elif isinstance(answer, Upscaled):
            pixels = answer.pixels
        elif isinstance(answer, Finished):
            seconds = sum(answer.stage_seconds.values())
    return pixels, seconds
