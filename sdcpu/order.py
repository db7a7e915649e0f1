"""One plan being carried out: what the engine is told for each picture, and what it tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.enlargement import Enlargement
from sdcpu.errors import CancelledError
from sdcpu.events import Preview, Progress
from sdcpu.images import MAX_SEED, GeneratedImage
from sdcpu.inputs import pixels_of
from sdcpu.jobs import (
    engine_job,
    engine_load,
    enlarged_picture,
    finished_picture,
    picture,
    preview_picture,
    progress_event,
    resized,
    tile_job,
    upscale_job,
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
from sdcpu.second_pass import SecondPass
from sdcpu.start_pictures import StartPictures, lay_out
from sdcpu.stopwatch import Stopwatch

if TYPE_CHECKING:
    from PIL.Image import Image


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
        second = self.plan.second_pass
        self._watch = Stopwatch(
            pictures=self.plan.request.count,
            expected=self.plan.stage_seconds,
            to_come=(
                *([] if second is not None and second.alone else ["sample"]),
                *(["upscale"] if self._is_worked_on else []),
            ),
        )

    def events(self) -> Iterator[Progress | Preview | GeneratedImage]:
        """Make the pictures one after the other.

        Raises:
            CancelledError: it was cancelled.
            EngineError: the engine failed.
        """
        pictures = lay_out(self.plan.request, self.plan.canvas)
        job = engine_job(self.plan, self.located, pictures)
        for told in self._told(Load(settings=engine_load(self.plan, self.located))):
            if not isinstance(told, Drawn):
                yield told
        for part in self._parts(job):
            for drawn in self._drawn(part, pictures):
                if not isinstance(drawn, Drawn):
                    yield drawn
                    continue
                finished = finished_picture(
                    self.plan,
                    pictures,
                    drawn.pixels,
                    index=self.first + self._done,
                    seed=drawn.seed,
                    seconds=self._watch.seconds,
                    notes=drawn.notes,
                )
                if not self._is_worked_on:
                    self._done += 1
                    yield finished
            if self._is_worked_on:
                image = yield from self._worked_on(finished.image, part)
                self._done += 1
                yield replace(finished, image=image, seconds=self._watch.seconds)

    @property
    def _is_worked_on(self) -> bool:
        """Whether something is done to each picture after it was drawn."""
        return self.plan.enlargement is not None or self.plan.second_pass is not None

    def _parts(self, job: GenerateSettings) -> list[GenerateSettings]:
        """The job as it is, or one for each picture where that is worked on afterwards."""
        if not self._is_worked_on:
            return [job]
        return [
            replace(job, seed=(job.seed + index) & MAX_SEED, count=1) for index in range(job.count)
        ]

    def _drawn(
        self, job: GenerateSettings, pictures: StartPictures
    ) -> Iterator[Progress | Preview | Drawn]:
        """What the engine draws for a job; of a picture that was brought along, all its tiles."""
        second = self.plan.second_pass
        if second is None or not second.alone or pictures.init is None:
            yield from self._told(Generate(settings=job))
            return
        image = yield from self._drawn_again(pictures.init.copy(), second, job)
        yield Drawn(index=0, seed=job.seed, pixels=pixels_of(image))

    def _worked_on(self, image: Image, job: GenerateSettings) -> Generator[Progress, None, Image]:
        """The second pass, then the upscaler."""
        second = self.plan.second_pass
        if second is not None and not second.alone:
            larger = image
            if second.enlargement is not None:
                larger = yield from self._enlarged(image, second.enlargement)
            image = yield from self._drawn_again(resized(larger, second.size), second, job)
        if self.plan.enlargement is not None:
            image = yield from self._enlarged(image, self.plan.enlargement)
        return image

    def _enlarged(self, image: Image, enlargement: Enlargement) -> Generator[Progress, None, Image]:
        message = upscale_job(self.plan, enlargement, self.located, image)
        pixels, seconds = yield from enlarge(self.process, message, self._event, self.is_cancelled)
        self.seconds["upscale"] += seconds
        return enlarged_picture(pixels, enlargement.size)

    def _drawn_again(
        self, image: Image, second: SecondPass, job: GenerateSettings
    ) -> Generator[Progress, None, Image]:
        """Draw the picture again tile by tile; each sees what was drawn of the ones before it."""
        done = 0
        for boxes in second.rows:
            top, bottom = boxes[0][1], boxes[0][3]
            row = image.crop((0, top, image.width, bottom))
            for left, _, right, _ in boxes:
                tile = row.crop((left, 0, right, row.height))
                tile = yield from self._tile_again(tile, second, job, done)
                second.join_tile(row, tile, left)
                done += 1
            second.join_row(image, row, top)
        return image

    def _tile_again(
        self, tile: Image, second: SecondPass, job: GenerateSettings, done: int
    ) -> Generator[Progress, None, Image]:
        """Draw one tile again; so many of the picture are done."""
        if self.is_cancelled():
            raise CancelledError("Cancelled before the picture was drawn again.")
        for answer in self.process.run(Generate(settings=tile_job(job, second, tile))):
            if isinstance(answer, Reached) and answer.stage == "sample":
                step = done * answer.steps + answer.step
                steps = second.tiles * answer.steps
                yield self._event(Reached(stage="upscale", step=step, steps=steps))
            elif isinstance(answer, Drawn):
                tile = picture(answer.pixels)
            elif isinstance(answer, Finished):
                self.seconds["upscale"] += sum(answer.stage_seconds.values())
        return tile

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
