"""The plan of a video being carried out: what the engine is told, and what it tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sdcpu.errors import CancelledError
from sdcpu.events import Preview, Progress
from sdcpu.jobs import engine_load, preview_picture, progress_event
from sdcpu.models import ModelFile
from sdcpu.plan import EnginePlan
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Finished,
    FrameDrawn,
    GenerateVideo,
    Load,
    Pixels,
    Previewed,
    Reached,
)
from sdcpu.start_pictures import lay_out
from sdcpu.stopwatch import Stopwatch
from sdcpu.video_jobs import finished_video, video_job
from sdcpu.videos import GeneratedVideo


@dataclass(kw_only=True)
class VideoOrder:
    """The video of one plan whose files are all here."""

    plan: EnginePlan
    located: Mapping[ModelFile, Path | None]
    process: EngineProcess
    is_cancelled: Callable[[], bool]
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Spent in each stage so far."""

    def events(self) -> Iterator[Progress | Preview | GeneratedVideo]:
        """Make the video; frames are told as they come, the video last.

        Raises:
            CancelledError: it was cancelled.
            EngineError: the engine failed.
        """
        job = video_job(self.plan, self.located, lay_out(self.plan.request, self.plan.canvas))
        watch = Stopwatch(pictures=1, expected=self.plan.stage_seconds)
        frames: list[Pixels] = []
        load = Load(settings=engine_load(self.plan, self.located))
        for message in (load, GenerateVideo(settings=job)):
            if self.is_cancelled():
                raise CancelledError("Cancelled before the video was begun.")
            for answer in self.process.run(message):
                if isinstance(answer, Reached):
                    yield progress_event(answer, watch, 1)
                elif isinstance(answer, Previewed):
                    yield preview_picture(answer)
                elif isinstance(answer, FrameDrawn):
                    frames.append(answer.pixels)
                    yield Progress(stage="decode", step=answer.index + 1, steps=answer.frames)
                elif isinstance(answer, Finished):
                    for stage, seconds in answer.stage_seconds.items():
                        self.seconds[stage] += seconds
        yield finished_video(self.plan, frames, watch.seconds)
