"""A thread that draws: it takes the next job, has it drawn, and says what became of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from sdcpu.errors import (
    CancelledError,
    EngineCrashedError,
    EngineError,
    QueueFolderError,
    SdcpuError,
)
from sdcpu.events import DownloadProgress, Preview, Progress
from sdcpu.job_queue.desk import Desk
from sdcpu.job_queue.discretion import Discretion
from sdcpu.job_queue.drawings import Drawing
from sdcpu.job_queue.folder import QueueFolder, translated
from sdcpu.job_queue.intake import Checked, Intake, is_determined, plan_to_json
from sdcpu.job_queue.job import Job, JobError, JobKind, JobState, error_of
from sdcpu.job_queue.ledger import Ledger
from sdcpu.job_queue.makers import Enlarger, Happening, PictureMaker
from sdcpu.job_queue.pictures import copied
from sdcpu.job_queue.planner import Planner
from sdcpu.job_queue.recovery import MOST_ATTEMPTS, wanted_results
from sdcpu.job_queue.result_cache import result_key
from sdcpu.job_queue.results import result_of
from sdcpu.job_queue.warm_models import Maker, WarmModels
from sdcpu.job_queue.watch import JobWatch
from sdcpu.plan import EnginePlan
from sdcpu.upscaler import UpscalePlan

logger = logging.getLogger("sdcpu.job_queue")

_SECONDS_BETWEEN_TRIES = 1.0
"""Between two looks at a disk that is full."""

Outcome = Callable[[], None]
"""What has to be written down about a job whose drawing ended."""


class DrawingThread:
    """Draws on one device, one job at a time, until the ledger closes."""

    def __init__(
        self,
        name: str,
        *,
        ledger: Ledger,
        folder: QueueFolder,
        intake: Intake,
        planner: Planner,
        warm: WarmModels,
        discretion: Discretion,
        make: Callable[[str], Maker],
    ) -> None:
        """`make` makes the generator or the upscaler for a group."""
        self.warm = warm
        self._ledger, self._desk, self._folder = ledger, Desk(ledger), folder
        self._intake, self._planner, self._make = intake, planner, make
        self._name, self._discretion, self._troubled = name, discretion, False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the end, which comes when the ledger closes; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ledger.closing:
            try:
                self._do_next()
            except QueueFolderError as error:
                self._note_trouble(error.message)
                self._pause()
            except Exception as error:  # a mistake of ours must not end the thread
                logger.exception("An error that nobody expected")
                self._note_trouble(f"sdcpu made a mistake: {type(error).__name__}: {error}")
                self._pause()
        self.warm.close_all()

    def _do_next(self) -> None:
        """Draw the next job, or wait for one."""
        self._folder.check_space()
        # Who was in trouble does not wait for a job before he says that it is over.
        drawing = self._desk.take(0 if self._troubled else self.warm.seconds_to_idle())
        self._note_trouble("")
        self.warm.close_idle()
        if drawing is not None:
            self._write_down(self._drawn(drawing))
            self.warm.give_back(drawing.group)

    def _note_trouble(self, trouble: str) -> None:
        """Tell what keeps the thread from going on; "": nothing does."""
        self._troubled = bool(trouble)
        self._ledger.note_trouble(self._name, trouble)

    def _write_down(self, outcome: Outcome) -> None:
        """Write down what became of a job, and be it later: on a full disk nothing else can go on.

        Where the program ends before, the next one settles it.
        """
        while True:
            try:
                outcome()
            except QueueFolderError as error:
                self._note_trouble(error.message)
                if self._ledger.closing:
                    return
                self._pause()
            else:
                self._note_trouble("")
                return

    def _pause(self) -> None:
        ledger = self._ledger
        with ledger.changed:
            ledger.changed.wait_for(lambda: ledger.closing, _SECONDS_BETWEEN_TRIES)

    def _drawn(self, drawing: Drawing) -> Outcome:
        """Draw a job, and return what has to be written down."""
        try:
            return self._work(drawing)
        except CancelledError:
            return self._given_up(drawing) or partial(self._end, drawing, JobState.CANCELLED)
        except EngineCrashedError as error:
            self.warm.close(drawing.group)
            return self._given_up(drawing) or self._begun_again(drawing, error)
        except EngineError as error:
            return self._given_up(drawing) or self._failed(drawing, error_of(error))
        except SdcpuError as error:
            return self._failed(drawing, error_of(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
            self.warm.close(drawing.group)
            mistake = f"sdcpu made a mistake: {type(error).__name__}: {error}"
            return self._failed(drawing, JobError(code=SdcpuError.code, message=mistake))

    def _given_up(self, drawing: Drawing) -> Outcome | None:
        """What becomes of a job that was stopped from outside; None where it was not."""
        if drawing.cancelled:
            return partial(self._end, drawing, JobState.CANCELLED)
        if self._ledger.closing:
            return partial(self._desk.put_back, drawing, counted=False)
        return None

    def _begun_again(self, drawing: Drawing, error: EngineCrashedError) -> Outcome:
        if len(drawing.job.results) >= wanted_results(drawing.job):
            return partial(self._end, drawing, JobState.DONE)
        if drawing.job.attempts >= MOST_ATTEMPTS:
            return self._failed(drawing, error_of(error))
        said = self._discretion.sentence(error.message)
        note = f"It was begun again, because the engine ended: {said}"
        return partial(self._desk.put_back, drawing, note=note, counted=True)

    def _failed(self, drawing: Drawing, error: JobError) -> Outcome:
        sentence = self._discretion.sentence
        told = replace(error, message=sentence(error.message), hint=sentence(error.hint))
        return partial(self._end, drawing, JobState.FAILED, error=told)

    def _end(self, drawing: Drawing, state: JobState, **what: Any) -> None:
        self._desk.finish(drawing, state, **what)

    def _work(self, drawing: Drawing) -> Outcome:
        job = drawing.job
        done = len(job.results)
        if done >= wanted_results(job):
            return partial(self._end, drawing, JobState.DONE)
        checked = self._intake.drawable(job, drawing.group, drawing.seed, plan=not done)
        key = checked.key if not done else None
        if key is not None and self._answered(drawing, key):
            return partial(self._end, drawing, JobState.DONE, from_cache=True)
        key = self._stream(drawing, checked, done)
        return partial(self._end, drawing, JobState.DONE, key=key)

    def _answered(self, drawing: Drawing, key: str) -> bool:
        """Take the results of an identical job, where there is one."""
        source = self._ledger.cached(key)
        if source is None:
            return False
        for result in source.results:
            origin = self._folder.job(source.id) / result.file

            def write(path: Any, origin: Any = origin) -> None:
                with translated(path.parent):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    copied(origin, path)

            self._desk.keep_result(drawing, result, write)
        return True

    def _stream(self, drawing: Drawing, checked: Checked, done: int) -> str | None:
        """Have what is left of a job drawn; the key that its results are kept for."""
        job = drawing.job
        watch = JobWatch(pictures=wanted_results(job), done=done)
        key, finished = None, 0
        with closing(self._events(drawing, checked)) as events:
            for event in events:
                self._check_wanted(drawing)
                self.warm.close_idle(used=drawing.group)
                if isinstance(event, EnginePlan | UpscalePlan):
                    self._planned(drawing, event, watch)
                    # What was planned anew in the middle is not one way of drawing any more.
                    key = None if done or finished else self._key(job, checked, event)
                elif isinstance(event, Progress | DownloadProgress):
                    self._desk.note_progress(drawing, watch.seen(event))
                elif isinstance(event, Preview):
                    self._desk.note_preview(drawing, event.image)
                else:
                    result, write = result_of(event, job, first=done)
                    self._desk.keep_result(drawing, result, write)
                    for note in getattr(event, "notes", ()):
                        self._desk.note(drawing, note)
                    finished += 1
        return key

    def _events(self, drawing: Drawing, checked: Checked) -> Generator[Happening, None, None]:
        if checked.plan is not None and self.warm.has_others(drawing.group):
            card = isinstance(checked.plan, EnginePlan) and checked.plan.card is not None
            self.warm.make_room(drawing.group, checked.plan.memory_needed, on_card=card)
        maker: Any = self.warm.take(drawing.group, partial(self._make, drawing.group))
        drawing.stop = maker.cancel
        self._check_wanted(drawing)
        values = dict(checked.values)
        if drawing.job.kind is JobKind.UPSCALE:
            enlarger: Enlarger = maker
            return enlarger.stream(values["image"], scale=values["factor"])
        generator: PictureMaker = maker
        if drawing.job.kind is JobKind.VIDEO:
            return generator.stream_video(**values)
        return generator.stream(**values)

    def _check_wanted(self, drawing: Drawing) -> None:
        """A cancel may come before the generator takes one: it is looked for at every event."""
        if drawing.cancelled or self._ledger.closing:
            raise CancelledError("The job was cancelled.")

    def _planned(self, drawing: Drawing, plan: EnginePlan | UpscalePlan, watch: JobWatch) -> None:
        self._intake.check_size(plan)
        watch.plan(seconds_expected=plan.seconds_expected, download_size=plan.download_size)
        self._desk.note_plan(drawing, self._discretion.plan(plan_to_json(plan)))

    def _key(self, job: Job, checked: Checked, plan: EnginePlan | UpscalePlan) -> str | None:
        if not is_determined(job.kind, job.request):
            return None
        return result_key(plan, self._planner.located(plan), checked.pictures)
