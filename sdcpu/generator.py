"""Making pictures: find the model, download it, plan, run the engine."""

from __future__ import annotations

import secrets
import threading
from collections import ChainMap
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sdcpu.accel import are_kernels_there
from sdcpu.adapters import Adapters
from sdcpu.builds import Build
from sdcpu.catalog import Catalog
from sdcpu.default_model import Choice, choose_model, shipped_model, usual_video_model
from sdcpu.engine_choice import EngineChoice, check_devices
from sdcpu.engine_run import EngineRun
from sdcpu.errors import (
    BuildUnusableError,
    CancelledError,
    DownloadError,
    EngineBusyError,
    EngineError,
    InvalidRequestError,
    NotEnoughMemoryError,
    SdcpuError,
)
from sdcpu.events import DownloadProgress, Preview, Progress
from sdcpu.hardware import detect_hardware, process_memory
from sdcpu.images import GeneratedImage, ImageRequest, request_of
from sdcpu.jobs import check_inputs, check_threads
from sdcpu.kernels import OFF
from sdcpu.measurements import Measurements
from sdcpu.models import Model, ModelFile
from sdcpu.plan import EnginePlan, with_reason, words_note
from sdcpu.plan import make_plan as decide
from sdcpu.proving import prove_with_new_driver
from sdcpu.settings import Settings, load_settings, overridden
from sdcpu.start_pictures import start_size
from sdcpu.styles import apply_styles, load_styles, note_styles
from sdcpu.tuning import Tuning, Tunings, circumstances_of
from sdcpu.upscaler_files import find_upscaler
from sdcpu.variants import plan_variant
from sdcpu.videos import GeneratedVideo, VideoRequest, video_request_of

Event = EnginePlan | DownloadProgress | Progress | Preview | GeneratedImage | GeneratedVideo
"""What `ImageGenerator.stream` yields: the plan first, the finished pictures or the video last."""

_RANDOM_SEED_BITS = 32
"""The engine's noise, like torch's on a CPU, takes 32 bits of a seed; more would not change it."""


class ImageGenerator:
    """Makes pictures with one model, which stays loaded between them.

    Without a model, the best one for this machine is taken: one that is here, else the recommended
    one is downloaded, else the small one that ships with sdcpu. Use it as a context manager, or
    call `close()`: the engine is a process of its own, and leaving ends it.

    >>> with ImageGenerator("demo") as generator:
    ...     picture = generator.generate("a red circle on a blue background", seed=7)
    >>> picture.width
    256
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        threads: int | None = None,
        memory_limit: int | str | None = None,
        build: str | None = None,
        device: int | None = None,
        accel: str | None = None,
        offline: bool | None = None,
        settings: Settings | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        """Prepare; what is None comes from the settings.

        `tuning` says how to compute where the settings leave that open; None: as `sdcpu bench`
        found it to be the fastest here, if it ever ran.
        """
        self._settings = overridden(
            settings or load_settings(),
            threads=threads,
            memory_limit=memory_limit,
            build=build,
            device=device,
            accel=accel,
            offline=offline,
        )
        check_threads(self._settings.threads)
        self._name = self._settings.default_model if model is None else model
        self._catalog = Catalog(self._settings)
        self._adapters = Adapters(self._catalog, self._settings)
        self._measurements = Measurements(self._settings.state_folder)
        self._tuning = tuning
        self._engines = EngineChoice(self._settings)
        self._run = EngineRun(self._engines, self._measurements)
        self._choice: Choice | None = None
        self._news = ""
        self._busy = threading.Lock()
        self.memory_returned = 0
        """Bytes that others hold and will have given back when this one draws: a plan counts on
        them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def generate(self, prompt: str, **request: Any) -> GeneratedImage:
        """Make one picture; the keywords are those of `ImageRequest`.

        Raises:
            SdcpuError: any of ours, see `sdcpu.errors`.

        >>> with ImageGenerator("demo") as generator:
        ...     generator.generate("a yellow star on a black background", steps=2).height
        256
        """
        if request.get("count", 1) != 1:
            raise InvalidRequestError(
                "generate() makes one picture.", hint="Several: generate_many(prompt, count=4)."
            )
        return self.generate_many(prompt, **request)[0]

    def generate_many(self, prompt: str, **request: Any) -> list[GeneratedImage]:
        """Make `count` pictures, whose seeds count up."""
        events = self.stream(prompt, **request)
        return [event for event in events if isinstance(event, GeneratedImage)]

    def stream(self, prompt: str, **request: Any) -> Generator[Event, None, None]:
        """Do the same work, seen as it happens; leaving the iterator early cancels it.

        First comes the `EnginePlan`, last the `GeneratedImage`s.

        >>> with ImageGenerator("demo") as generator:
        ...     events = generator.stream("a green heart on a white background", seed=1, steps=1)
        ...     steps = [event.step for event in events if isinstance(event, Progress)]
        >>> max(steps) >= 1
        True
        """
        asked = request_of(prompt, request)
        return note_styles(self._stream(self._styled(asked)), asked)

    def generate_video(self, prompt: str, **request: Any) -> GeneratedVideo:
        """Make a video; the keywords are those of `VideoRequest`.

        Raises:
            SdcpuError: any of ours; InvalidRequestError for a model that makes pictures.

        >>> with ImageGenerator("wan21-t2v-1_3b") as generator:  # doctest: +SKIP
        ...     generator.generate_video("waves on a beach", frames=17).save("waves.mp4")
        """
        *_, last = self.stream_video(prompt, **request)
        assert isinstance(last, GeneratedVideo), "a video ends with itself"  # noqa: S101
        return last

    def stream_video(self, prompt: str, **request: Any) -> Generator[Event, None, None]:
        """Do the same, seen as it happens: `EnginePlan` first, `GeneratedVideo` last."""
        asked = video_request_of(prompt, request)
        self._name_video_model(asked)
        return note_styles(self._stream(self._styled(asked)), asked)

    def plan(self, prompt: str = "", **request: Any) -> EnginePlan:
        """Say how a picture would be made; downloads and loads nothing.

        Raises:
            NotEnoughMemoryError: it would not fit, with figures and ways out.
        """
        choice = self._chosen()
        return self._planned(choice, self._styled(request_of(prompt, request)))

    def plan_video(self, prompt: str = "", **request: Any) -> EnginePlan:
        """Say how a video would be made; as `plan`."""
        asked = video_request_of(prompt, request)
        self._name_video_model(asked)
        return self._planned(self._chosen(), self._styled(asked))

    @property
    def makes_videos(self) -> bool:
        """Whether its model makes videos, not pictures."""
        return self._chosen().model.kind == "video"

    def cancel(self) -> None:
        """Stop the picture that is being made, from any thread; it ends with CancelledError."""
        self._run.cancel()

    def close(self) -> None:
        """End the engine's process; a later call starts it again."""
        self._run.close()

    @property
    def engine_pid(self) -> int | None:
        """The engine's process, while there is one."""
        return self._run.pid

    def _name_video_model(self, request: VideoRequest) -> None:
        """Without a name, take the smallest model that makes such videos."""
        if self._name is None:
            models = self._catalog.registry.models.values()
            self._name = usual_video_model(models, from_picture=request.init_image is not None)

    def _styled(self, request: ImageRequest) -> ImageRequest:
        styles = load_styles(self._settings.styles_file) if request.styles else {}
        return apply_styles(request, styles)

    def _stream(self, request: ImageRequest) -> Generator[Event, None, None]:
        if not self._busy.acquire(blocking=False):
            raise EngineBusyError(
                "This generator is making another picture.",
                hint="Wait for it, or use a second ImageGenerator.",
            )
        try:
            self._run.begin()
            request = request if request.seed is not None else _with_seed(request)
            self._news = prove_with_new_driver(self._engines, self._settings)
            known = self._chosen()
            here: dict[ModelFile, Path | None] = {}
            plan = None
            if known.model.family:
                # Too little memory, or a size that cannot be, should show before the download.
                check_inputs(request, self._adapters.join(known.model, request).model)
                plan = self._planned(known, request)
                known = self._settled(known, plan)
                here = self._catalog.locate(plan.model)
                yield plan
            choice = yield from self._fetched(known)
            adapted = self._adapters.join(choice.model, request)
            for addition in adapted.additions:
                yield from self._downloaded(addition)
            if upscaler := self._upscaler(request):
                yield from self._downloaded(upscaler)
            if plan is None or choice != known:
                check_inputs(request, adapted.model)
            if plan is None or choice != known or self._catalog.locate(adapted.model) != here:
                plan = self._planned(choice, request)
                yield plan
            try:
                yield from self._started_and_drawn(choice, plan)
            except (BuildUnusableError, EngineError) as error:
                if not plan.build.is_gpu or isinstance(error, EngineBusyError):
                    raise
                yield from self._drawn_by_processor(choice, plan, request, error)
        finally:
            self._busy.release()

    def _started_and_drawn(self, choice: Choice, plan: EnginePlan) -> Iterator[Event]:
        started = self._run.start(plan)
        check_devices(plan.build, started)
        if started.kernels != plan.kernels:
            # An engine that our kernels do not know: what suits them would cost time now.
            self._settings = replace(self._settings, accel=OFF)
            plan = self._planned(choice, plan.request)
            yield plan
        located = self._catalog.locate(plan.model)
        if upscaler := self._upscaler(plan.request):
            located |= self._catalog.locate(upscaler)
        yield from self._run.draw(plan, located)

    def _drawn_by_processor(
        self, choice: Choice, failed: EnginePlan, request: ImageRequest, error: SdcpuError
    ) -> Iterator[Event]:
        """Draw what a card left undone: one that is lost or full must not cost the picture."""
        self.close()
        self._engines.give_up_cards()
        done = self._run.pictures_done
        left = replace(request, seed=(request.seed or 0) + done, count=request.count - done)
        name = failed.card.name if failed.card else failed.build.name
        reason = f"The {name} failed, so the processor draws: {error.message}"
        yield (plan := with_reason(self._planned(choice, left), reason))
        yield from self._started_and_drawn(choice, plan)

    def _chosen(self) -> Choice:
        if self._choice is None:
            self._choice = (
                Choice(model=self._catalog.find(self._name), reason="")
                if self._name is not None
                else choose_model(
                    self._catalog.registry.models.values(),
                    is_here=self._catalog.is_here,
                    fits=self._fits,
                    may_download=not self._settings.offline,
                )
            )
        return self._choice

    def _fits(self, model: Model) -> bool:
        try:
            self._planned(Choice(model=model, reason=""), ImageRequest(prompt=""))
        except NotEnoughMemoryError:
            return False
        return True

    def _settled(self, choice: Choice, plan: EnginePlan) -> Choice:
        """Keep to the quantisation that the first picture is drawn with."""
        for variant in choice.model.variants:
            if variant.name == plan.model.name:
                self._choice = choice = replace(choice, model=variant)
        return choice

    def _planned(self, choice: Choice, request: ImageRequest) -> EnginePlan:
        plan = self._engines.plan(
            lambda build: self._with_variant(choice.model, request, build), self._run.library
        )
        for reason in filter(None, (words_note(plan), choice.reason, self._news)):
            plan = with_reason(plan, reason)
        return plan

    def _with_variant(self, model: Model, request: ImageRequest, build: Build) -> EnginePlan:
        return plan_variant(
            model, lambda variant: self._decided(variant, request, build), self._catalog.is_here
        )

    def _decided(self, model: Model, request: ImageRequest, build: Build) -> EnginePlan:
        adapted = self._adapters.join(model, request)
        upscaler = self._upscaler(request)
        parts = [part for part in (adapted.model, upscaler) if part is not None]
        located = [path for part in parts for path in self._catalog.locate(part).items()]
        hardware = detect_hardware()
        remembered = Tunings(self._settings.state_folder)
        plan = decide(
            adapted.model,
            adapted.request,
            hardware,
            build,
            headers=ChainMap(*map(self._catalog.headers, parts)),
            measurements=self._measurements,
            threads=self._settings.threads,
            memory_limit=self._settings.memory_limit,
            memory_held=process_memory(self.engine_pid) + self.memory_returned,
            accel=self._settings.accel,
            kernels_built=are_kernels_there(build.library),
            tuning=self._tuning or remembered.find(circumstances_of(hardware, build)),
            missing_files=[file for file, path in located if path is None],
            card=self._engines.card(build),
            start=start_size(request),
            upscaler=upscaler,
        )
        for note in reversed(adapted.notes):
            plan = with_reason(plan, note)
        return plan

    def _upscaler(self, request: ImageRequest) -> Model | None:
        """What enlarges the finished pictures; None where nothing does."""
        again = request.hires is not None and request.upscaler is not None
        wanted = request.upscale is not None or again
        return find_upscaler(request.upscaler, self._catalog.registry) if wanted else None

    def _fetched(self, choice: Choice) -> Generator[DownloadProgress, None, Choice]:
        """Download the model; where we chose it and it cannot be had, the shipped one steps in."""
        try:
            yield from self._downloaded(choice.model)
            completed = self._catalog.completed(choice.model)
            if completed != choice.model:
                yield from self._downloaded(completed)
                self._choice = replace(choice, model=completed)
        except DownloadError as error:
            if self._name is not None or choice.model.built_in:
                raise
            shipped = shipped_model(self._catalog.registry.models.values())
            yield from self._downloaded(shipped)
            self._choice = Choice(
                model=shipped,
                reason=f"{choice.model.name} cannot be downloaded now ({error.message}): drawing "
                f"with {shipped.name}, the small model that ships with sdcpu.",
            )
        return self._chosen()

    def _downloaded(self, model: Model) -> Iterator[DownloadProgress]:
        for progress in self._catalog.fetch(model, self._run.quantize):
            if self._run.is_cancelled:
                raise CancelledError(
                    "The download was cancelled.", hint="The next one goes on where it stopped."
                )
            yield progress


def _with_seed(request: ImageRequest) -> ImageRequest:
    return replace(request, seed=secrets.randbits(_RANDOM_SEED_BITS))
