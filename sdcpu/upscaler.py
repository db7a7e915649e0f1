"""Enlarging pictures with an upscaler, without a model that draws."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sdcpu.accel import are_kernels_there
from sdcpu.builds import Build
from sdcpu.catalog import Catalog
from sdcpu.engine_choice import EngineChoice
from sdcpu.engine_run import EngineRun
from sdcpu.enlargement import Enlargement, plan_enlargement
from sdcpu.errors import EngineBusyError, InvalidRequestError
from sdcpu.events import DownloadProgress, Progress
from sdcpu.figures import size_text
from sdcpu.fitting import find_room, find_room_on
from sdcpu.hardware import detect_hardware
from sdcpu.inputs import picture_size, pixels_of, read_picture
from sdcpu.jobs import check_threads, enlarged_picture
from sdcpu.kernels import OFF, choose_kernels
from sdcpu.measurements import Conditions, Measurements, format_duration
from sdcpu.memory import ENGINE_PROCESS, PARENT_PROCESS, kernel_work_areas
from sdcpu.models import Model
from sdcpu.plan import choose_threads
from sdcpu.protocol import Upscale
from sdcpu.recipe import read_recipe, save_picture
from sdcpu.settings import Settings, load_settings, overridden
from sdcpu.stopwatch import Stopwatch
from sdcpu.tuning import Tunings, circumstances_of
from sdcpu.upscaler_files import find_upscaler

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.images import ImageSource

SCALES = (2, 4)
"""How many times wider and higher a picture can be made."""
_PICTURE = "picture to enlarge"


@dataclass(frozen=True, kw_only=True, slots=True)
class UpscalePlan:
    """How a picture will be enlarged."""

    model: Model
    """The upscaler."""
    build: Build
    threads: int
    kernels: str
    """Our kernels that compute for the engine, or "off"."""
    enlargement: Enlargement
    download_size: int
    """Bytes to download first."""
    memory_needed: int
    """Bytes at the predicted peak, both processes together."""
    memory_available: int
    seconds_expected: float | None
    """None until this machine enlarged something with this upscaler before."""
    conditions: Conditions
    """What decides the time."""
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UpscaledImage:
    """An enlarged picture."""

    image: Image
    upscaler: str
    scale: int
    seconds: float
    recipe: Mapping[str, Any] | None = field(default=None, hash=False)
    """Of the picture that came in, where sdcpu made it, and how it was enlarged."""

    @property
    def width(self) -> int:
        """Pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.image.height

    def save(self, path: str | Path, *, overwrite: bool = True) -> Path:
        """Write the picture as PNG, JPEG or WebP, in one piece or not at all.

        Raises:
            InvalidRequestError: it cannot be written.
        """
        return save_picture(self.image, Path(path), self.recipe, overwrite=overwrite)


class Upscaler:
    """Enlarges pictures with an ESRGAN network; a context manager as `ImageGenerator` is.

    >>> with Upscaler("realesrgan-x4plus") as upscaler:  # doctest: +SKIP
    ...     upscaler.upscale("holiday.jpg", scale=2).save("large.jpg")
    """

    def __init__(
        self,
        upscaler: str | Path | None = None,
        *,
        settings: Settings | None = None,
        **machine: Any,
    ) -> None:
        """Prepare; `machine` are the keywords that `ImageGenerator` takes, such as threads."""
        self._settings = overridden(settings or load_settings(), **machine)
        check_threads(self._settings.threads)
        self._catalog = Catalog(self._settings)
        self._measurements = Measurements(self._settings.state_folder)
        self._engines = EngineChoice(self._settings)
        self._run = EngineRun(self._engines, self._measurements)
        self._name = upscaler
        self._busy = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine's process; a later call starts it again."""
        self._run.close()

    def cancel(self) -> None:
        """Stop what is being done, from any thread."""
        self._run.cancel()

    @property
    def engine_pid(self) -> int | None:
        """The engine's process, while there is one."""
        return self._run.pid

    def upscale(self, image: ImageSource, *, scale: int = 4) -> UpscaledImage:
        """Make a picture, a path or a Pillow image, `scale` times as wide and high.

        Raises:
            SdcpuError: any of ours, see `sdcpu.errors`.
        """
        *_, enlarged = self.stream(image, scale=scale)
        assert isinstance(enlarged, UpscaledImage)  # noqa: S101 - what stream() ends with
        return enlarged

    def plan(self, image: ImageSource, *, scale: int = 4) -> UpscalePlan:
        """Say how a picture would be enlarged; downloads and loads nothing.

        Raises:
            InvalidRequestError: it is no picture, or it cannot be enlarged so many times.
            NotEnoughMemoryError: it does not fit.
        """
        if scale not in SCALES:
            raise InvalidRequestError(
                f"A picture cannot be enlarged {scale!r} times.", hint="2 or 4 times it can be."
            )
        size = picture_size(image, _PICTURE)
        model = find_upscaler(self._name, self._catalog.registry)
        hardware = detect_hardware()
        build = self._engines.build()
        card = self._engines.card(build)
        tuning = Tunings(self._settings.state_folder).find(circumstances_of(hardware, build))
        threads, reason = choose_threads(hardware, self._settings.threads, tuning)
        kernels = choose_kernels(
            OFF if card else self._settings.accel,
            hardware.cpu_features,
            built=are_kernels_there(build.library),
            measured=tuning.kernels if tuning else None,
        )
        room = find_room_on(card) if card else find_room(hardware, self._settings.memory_limit, 0)
        process = PARENT_PROCESS + ENGINE_PROCESS
        process += kernel_work_areas(0 if kernels.name == OFF else threads)
        enlargement = plan_enlargement(
            model,
            self._catalog.headers(model).get(model.files[0]),
            size,
            scale,
            held=process,
            room=room,
        )
        machine = f"{hardware.cpu_name} | {build.name} {build.version} {kernels.name}"
        conditions = Conditions(
            machine=machine,
            threads=threads,
            upscaler=enlargement.upscaler,
            upscaled_pixels=enlargement.pixels,
        )
        missing = [file for file, path in self._catalog.locate(model).items() if path is None]
        needed = process + enlargement.memory
        seconds = self._measurements.stages(conditions).get("upscale")
        reasons = [
            reason,
            kernels.reason,
            f"At its peak it takes {size_text(needed)} of {size_text(room.size)} {room.name}, in "
            f"tiles of {enlargement.tile_size} pixels.",
        ]
        if seconds is not None:
            reasons.append(f"{format_duration(seconds).capitalize()}, from what was measured here.")
        return UpscalePlan(
            model=model,
            build=build,
            threads=threads,
            kernels=kernels.name,
            enlargement=enlargement,
            download_size=sum(file.size or 0 for file in missing),
            memory_needed=needed,
            memory_available=room.size,
            seconds_expected=seconds,
            conditions=conditions,
            reasons=tuple(reasons),
        )

    def stream(
        self, image: ImageSource, *, scale: int = 4
    ) -> Generator[UpscalePlan | DownloadProgress | Progress | UpscaledImage, None, None]:
        """Do the same work, seen as it happens: first the plan, last the picture."""
        if not self._busy.acquire(blocking=False):
            raise EngineBusyError(
                "This upscaler is enlarging another picture.", hint="Wait for it, or use a second."
            )
        try:
            self._run.begin()
            plan = self.plan(image, scale=scale)
            yield plan
            if plan.download_size or None in self._catalog.locate(plan.model).values():
                yield from self._catalog.fetch(plan.model, self._run.quantize)
                plan = self.plan(image, scale=scale)
                yield plan
            yield from self._enlarged(plan, image)
        finally:
            self._busy.release()

    def _enlarged(
        self, plan: UpscalePlan, image: ImageSource
    ) -> Generator[Progress | UpscaledImage, None, None]:
        began = time.monotonic()
        path = self._catalog.locate(plan.model)[plan.model.files[0]]
        enlargement = plan.enlargement
        message = Upscale(
            file=str(path),
            picture=pixels_of(read_picture(image, _PICTURE)),
            scale=enlargement.scale,
            threads=plan.threads,
            tile_size=enlargement.tile_size,
        )
        expected = {} if plan.seconds_expected is None else {"upscale": plan.seconds_expected}
        watch = Stopwatch(pictures=1, expected=expected, to_come=("upscale",))
        larger, seconds = yield from self._run.enlarge(plan.build, plan.kernels, message, watch)
        self._measurements.record(plan.conditions, {"upscale": seconds})
        yield UpscaledImage(
            image=enlarged_picture(larger, enlargement.size, image),
            upscaler=plan.model.name,
            scale=enlargement.scale,
            seconds=time.monotonic() - began,
            recipe=_recipe(image, plan),
        )


def upscale(
    image: ImageSource, upscaler: str | Path | None = None, *, scale: int = 4, **machine: Any
) -> UpscaledImage:
    """Make one picture larger and end the engine again; the keywords are those of `Upscaler`.

    >>> upscale("holiday.jpg", scale=2).save("large.jpg")  # doctest: +SKIP
    PosixPath('large.jpg')
    """
    with Upscaler(upscaler, **machine) as opened:
        return opened.upscale(image, scale=scale)


def _recipe(image: ImageSource, plan: UpscalePlan) -> dict[str, Any] | None:
    """The recipe of a picture that sdcpu saved, with what was done to it now."""
    if not isinstance(image, str | Path):
        return None
    try:
        recipe = read_recipe(image)
    except InvalidRequestError:
        return None
    if recipe.get("upscale"):
        return None  # twice is more than a recipe can say
    return recipe | {"upscale": plan.enlargement.scale, "upscaler": plan.enlargement.upscaler}
