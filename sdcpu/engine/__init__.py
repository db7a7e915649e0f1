"""The native engine behind plain values; only the engine's process imports this module.

It speaks to the binding's ctypes layer directly: every pointer that comes back is checked, every
buffer that the engine gives away is freed, every callback is kept.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from sdcpu.accel import door_inside, is_inside, load_door
from sdcpu.binding import BINDING, BINDING_VERSION
from sdcpu.builds import library_to_load
from sdcpu.engine.library import import_binding, tensor_type_of
from sdcpu.engine.loras import AppliedLoras
from sdcpu.engine.stages import Stage, StageClock, StepCount, stage_begun
from sdcpu.engine.upscaler import Upscaler
from sdcpu.engine.videos import frames_taken
from sdcpu.errors import (
    CancelledError,
    GenerationError,
    InvalidRequestError,
    ModelFileError,
    ModelLoadError,
)
from sdcpu.images import MAX_SEED
from sdcpu.native import (
    PREVIEWS,
    check_layout,
    check_request,
    compute_devices,
    context_parameters,
    copy_pixels,
    existing_file,
    image_parameters,
    libc_free,
)
from sdcpu.native_videos import check_video_layout, check_video_request, video_parameters
from sdcpu.protocol import (
    Drawn,
    FrameDrawn,
    FromEngine,
    GenerateSettings,
    Loaded,
    LoadSettings,
    Logged,
    Pixels,
    Previewed,
    Quantize,
    Reached,
    Started,
    Upscale,
    Upscaled,
    VideoSettings,
)

_LEVELS: tuple[Literal["debug", "info", "warning", "error"], ...]
_LEVELS = ("debug", "info", "warning", "error")
"""enum sd_log_level_t."""
_SOURCE_LINE = re.compile(r"^[\w.-]+:\d+ +- ")
"""What the engine puts before every line that it logs: file and line of its source."""


class NativeEngine:
    """One native engine with at most one model loaded; its methods tell their progress to `emit`.

    Raises:
        BuildUnusableError: the binding is missing, of another version, or its library does not
            load on this machine.
    """

    def __init__(self, emit: Callable[[FromEngine], None]) -> None:
        self._emit = emit
        door = load_door(library_to_load())
        self._native = import_binding()
        self._door = door or door_inside(self._native._lib)
        check_layout(self._native)
        check_video_layout(self._native)
        library: str = self._native._lib._name
        self._cancels_in_place = self._door is not None and self._door.is_ready(library)
        self._free = libc_free()
        self._context: Any = None
        self._loaded: LoadSettings | None = None
        self._cancelled = threading.Event()
        self._clock = StageClock(self._stage_ended)
        self._steps = StepCount()
        self._picture = 1
        self._complaints: deque[str] = deque(maxlen=20)
        self._error = ""
        self._loras = AppliedLoras()
        # The engine keeps these for the whole process and never owns them: they live as long as we.
        self._on_log = self._native.sd_log_callback(self._logged)
        self._on_progress = self._native.sd_progress_callback(self._progressed)
        self._on_preview = self._native.sd_preview_callback(self._previewed)
        self._native.sd_set_log_callback(self._on_log, None)
        self._native.sd_set_progress_callback(self._on_progress, None)

    def started(self) -> Started:
        """What is running here."""
        native = self._native
        notes = []
        if not self._cancels_in_place:
            notes.append(
                "A cancel ends the engine's process: this build cannot stop inside a step."
            )
        kernels, problem = "off", ""
        if self._door is not None:
            kernels = self._door.kernels(native._lib._name)
            problem = self._door.problem(native._lib._name)
        elif is_inside(Path(native._lib._name)):
            problem = "the engine holds those of another version of sdcpu: compile it anew"
        if problem:
            notes.append(f"Our kernels stay off, because {problem}.")
        version = native.sd_version().decode()
        return Started(
            version=version if version != "unknown" else f"{BINDING} {BINDING_VERSION}",
            commit=native.sd_commit().decode(),
            system_info=" ".join(native.sd_get_system_info().decode().split()[2:]),
            cancels_in_place=self._cancels_in_place,
            kernels=kernels,
            kernels_way=self._door.way if self._door is not None else "",
            devices=compute_devices(native),
            notes=tuple(notes),
        )

    def cancel(self) -> None:
        """Stop what is being drawn as soon as possible; any thread may call this."""
        self._cancelled.set()
        if self._door is not None:
            self._door.cancel(wanted=True)

    def forget_cancel(self) -> None:
        """Make ready for new work: a cancel that came before it does not count."""
        self._cancelled.clear()
        if self._door is not None:
            self._door.cancel(wanted=False)

    def load(self, settings: LoadSettings) -> dict[str, float]:
        """Load a model unless the same one is loaded with the same settings; return the seconds.

        Raises:
            ModelFileError: a file is not there.
            ModelLoadError: the engine refused the files; its last words are in the details.
        """
        if self._context is not None and settings == self._loaded:
            self._emit(Loaded(seconds=0.0))
            return {"load": 0.0}
        self.unload()
        parameters = context_parameters(self._native, settings)
        self._begin()
        self._enter("load")
        context = self._native.new_sd_ctx(ctypes.byref(parameters))
        seconds = self._clock.finish()
        files = ", ".join(Path(file).name for file in settings.files.values())
        if not context:
            raise ModelLoadError(
                f"The engine could not load {files}: {self._reason()}",
                hint=self._hint(
                    "`sdcpu show FILE` says what a file is; its parts must belong together."
                ),
                details={"log": "\n".join(self._complaints)},
            )
        self._context, self._loaded = context, settings
        self._emit(Loaded(seconds=seconds["load"]))
        return seconds

    def unload(self) -> None:
        """Free the loaded model, if there is one."""
        if self._context is not None:
            context, self._context, self._loaded = self._context, None, None
            self._native.free_sd_ctx(context)

    def generate(self, settings: GenerateSettings) -> dict[str, float]:
        """Draw the pictures one by one, each told by `Drawn`; return the seconds by stage.

        Every picture is one call of the engine, so that a picture is the same alone and in a row,
        is handed out when it is done, and the memory does not depend on the count.

        Raises:
            InvalidRequestError: the request does not suit what is loaded.
            GenerationError: the engine gave up; its last words are in the details.
            CancelledError: `cancel` was called.
        """
        loaded = self._loaded_for(video=False)
        check_request(settings, loaded)
        self._begin()
        self._set_preview(settings, loaded)
        for index in range(settings.count):
            if self._cancelled.is_set():
                raise CancelledError("Cancelled.")
            self._picture = index + 1
            self._enter("text")
            seed = (settings.seed + index) & MAX_SEED
            self._loras = AppliedLoras(settings.loras)
            pixels = self._draw(settings, seed)
            self._emit(Drawn(index=index, seed=seed, pixels=pixels, notes=self._loras.notes()))
        return self._clock.finish()

    def generate_video(self, settings: VideoSettings) -> dict[str, float]:
        """Draw a video, whose frames are told by `FrameDrawn`; return the seconds by stage.

        Raises:
            InvalidRequestError: the request does not suit what is loaded.
            GenerationError: the engine gave up; its last words are in the details.
            CancelledError: `cancel` was called.
        """
        native = self._native
        loaded = self._loaded_for(video=True)
        check_video_request(settings, loaded)
        self._begin()
        self._steps.expect(settings.picture.steps)
        self._set_preview(settings.picture, loaded)
        if self._cancelled.is_set():
            raise CancelledError("Cancelled.")
        self._enter("text")
        self._loras = AppliedLoras(settings.picture.loras)
        parameters, count = video_parameters(native, settings), ctypes.c_int()
        result = native.generate_video(self._context, ctypes.byref(parameters), ctypes.byref(count))
        if not result:
            raise self._failure("The engine could not draw the video")
        with closing(frames_taken(result, count.value, self._free)) as frames:
            if self._error or count.value < 1:
                raise self._failure("The engine could not draw the video")
            self._loras.notes()
            for index, pixels in enumerate(frames):
                self._emit(FrameDrawn(index=index, frames=count.value, pixels=pixels))
        return self._clock.finish()

    def upscale(self, message: Upscale) -> dict[str, float]:
        """Make a picture larger, told by `Upscaled`; return the seconds by stage.

        Raises:
            ModelFileError: there is no such file.
            ModelLoadError: the file is no upscaler that the engine can use.
            GenerationError: the engine gave up; its last words are in the details.
            CancelledError: `cancel` was called.
        """
        self._begin()
        self._enter("load")
        with Upscaler(self._native, message) as upscaler:
            if upscaler.factor < 2 or self._error:
                raise ModelLoadError(
                    f"{message.file} cannot be used as an upscaler: {self._reason()}",
                    hint="Give an ESRGAN file that enlarges 2 or 4 times.",
                    details={"log": "\n".join(self._complaints)},
                )
            self._enter("upscale")
            pixels = message.picture
            while pixels.width < message.scale * message.picture.width:
                larger = upscaler.enlarge(pixels, self._free)
                if larger is None or self._error:
                    raise self._failure("The engine could not enlarge the picture")
                pixels = larger
        self._emit(Upscaled(pixels=pixels))
        return self._clock.finish()

    def quantize(self, message: Quantize) -> dict[str, float]:
        """Write a model file again in another tensor type; the target appears when it is whole.

        Raises:
            InvalidRequestError: there is no such tensor type.
            ModelFileError: the source cannot be read, or the target cannot be written.
        """
        native = self._native
        tensor_type = tensor_type_of(native, message.tensor_type)
        source = existing_file(message.source)
        self._begin()
        self._enter("load")
        unfinished = Path(message.unfinished)
        try:
            done = self._native.convert(
                source, None, os.fsencode(unfinished), tensor_type, b"", False
            )
            if not done or not unfinished.is_file():
                raise ModelFileError(
                    f"The engine could not rewrite {message.source}: {self._reason()}",
                    details={"log": "\n".join(self._complaints)},
                )
            unfinished.replace(message.target)
        except OSError as error:
            raise ModelFileError(f"{message.target} cannot be written: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)
        return self._clock.finish()

    def _draw(self, settings: GenerateSettings, seed: int) -> Pixels:
        """One picture; the buffers that the engine returns are freed here."""
        native = self._native
        parameters = image_parameters(native, settings, seed)
        result = native.generate_image(self._context, ctypes.byref(parameters))
        try:
            if not result or not result[0].data or self._error:
                raise self._failure("The engine could not draw the picture")
            return copy_pixels(result[0])
        finally:
            if result:
                self._free(result[0].data)
                self._free(result)

    def _loaded_for(self, *, video: bool) -> LoadSettings:
        """What is loaded; an error where nothing is, or what draws the other kind."""
        if self._context is None or self._loaded is None:
            raise GenerationError("No model is loaded.", hint="Load one first.")
        if self._native.sd_ctx_supports_video_generation(self._context) is not video:
            kinds = ("pictures, not videos", "videos, not pictures")
            raise InvalidRequestError(
                f"The loaded model makes {kinds[not video]}.", hint="Choose another model."
            )
        return self._loaded

    def _set_preview(self, settings: GenerateSettings, loaded: LoadSettings) -> None:
        """Ask for previews; without a tiny decoder "tae" would run the full one at every step."""
        kind = settings.preview
        if kind == "tae" and "tiny_decoder" not in loaded.files:
            kind = "proj"
        callback = None if kind == "none" else self._on_preview
        every_step, denoised, noisy = 1, True, False
        self._native.sd_set_preview_callback(
            callback, PREVIEWS.index(kind), every_step, denoised, noisy, None
        )

    def _begin(self) -> None:
        self._complaints.clear()
        self._error = ""
        self._clock = StageClock(self._stage_ended)
        self._steps = StepCount()
        self._picture = 1

    def _enter(self, stage: Stage) -> None:
        self._clock.enter(stage)
        self._emit(Reached(stage=stage, picture=self._picture))

    def _stage_ended(self, stage: Stage) -> None:
        if self._door is not None:
            self._door.print_profile(stage)

    def _failure(self, what: str) -> GenerationError | CancelledError:
        """The error for work that ended without a result."""
        if self._cancelled.is_set():
            return CancelledError("Cancelled.")
        return GenerationError(
            f"{what}: {self._reason()}",
            hint=self._hint(""),
            details={"log": "\n".join(self._complaints)},
        )

    def _reason(self) -> str:
        """The first error that was logged: what follows is mostly its consequence."""
        return self._error or (self._complaints[-1] if self._complaints else "it gives no reason")

    def _hint(self, otherwise: str) -> str:
        if "memory" in self._error:
            return "Close other programs, or choose a smaller model, quantisation or picture."
        return otherwise

    def _logged(self, level: int, text: bytes, _data: object) -> None:
        line = text.decode(errors="replace").rstrip()
        kind = _LEVELS[level] if 0 <= level < len(_LEVELS) else "info"
        said = _SOURCE_LINE.sub("", line)
        if kind in {"warning", "error"}:
            self._complaints.append(said)
        if kind == "error" and not self._error and not self._cancelled.is_set():
            # The engine goes on after some errors, such as a LoRA that it could not load, and
            # would draw for minutes what nobody asked for.
            self._error = said
            if self._door is not None and self._clock.stage != "load":
                self._door.cancel(wanted=True)
        self._loras.heard(said)
        self._emit(Logged(level=kind, text=line))
        begun = stage_begun(said)
        # The first progress of the samples follows at once, and knows how many steps there are.
        if begun == "sample":
            self._clock.enter(begun)
        elif begun:
            self._enter(begun)

    def _progressed(self, step: int, steps: int, _seconds: float, _data: object) -> None:
        # Steps, tiles of the decoder and tensors of a file all come through here: the stage tells
        # them apart. In the text stage they are tensors of a LoRA or tiles of the encoder.
        stage = self._clock.stage
        if stage is not None and stage != "text":
            if stage == "sample":
                step, steps = self._steps.counted(step, steps)
            self._emit(Reached(stage=stage, step=step, steps=steps, picture=self._picture))

    def _previewed(
        self, step: int, count: int, frames: Any, _is_noisy: bool, _data: object
    ) -> None:
        middle = count // 2  # a video's first frame may be one that was given
        if count > 0 and frames and frames[middle].data:
            at, _ = self._steps.counted(abs(step), 0)
            self._emit(Previewed(step=at, pixels=copy_pixels(frames[middle])))
