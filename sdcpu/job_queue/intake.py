"""What a request must be before it becomes a job: checked as far as that is possible undrawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdcpu.batch.fields import check_names, values_of_object
from sdcpu.errors import InvalidRequestError, ModelNotDownloadedError, RequestTooLargeError
from sdcpu.figures import size_text
from sdcpu.images import MAX_SEED, ImageRequest, check_number, request_of
from sdcpu.job_queue.folder import QueueFolder
from sdcpu.job_queue.job import Job, JobKind
from sdcpu.job_queue.limits import QueueLimits
from sdcpu.job_queue.names import AllowedNames
from sdcpu.job_queue.pictures import FIELDS, Place, references, with_paths
from sdcpu.job_queue.planner import Planner
from sdcpu.job_queue.result_cache import result_key
from sdcpu.jobs import check_inputs
from sdcpu.models import Model
from sdcpu.plan import EnginePlan
from sdcpu.report import plain
from sdcpu.settings import Settings
from sdcpu.upscaler import SCALES, UpscalePlan
from sdcpu.upscaler_files import find_upscaler
from sdcpu.videos import VideoRequest, video_request_of

PathOf = Callable[[Place, str], Path]
"""The file of a picture: by its place in the request, and the reference that stands there."""

UPSCALER_GROUP = "upscaler:"
"""What the group of an upscaler begins with; its name follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A request that can become a job."""

    kind: JobKind
    model: str | None
    """As a generator takes it."""
    values: Mapping[str, Any] = field(repr=False)
    """Keywords of `ImageRequest` or `VideoRequest`; of UPSCALE image, factor, upscaler."""
    pictures: Mapping[Place, Path]
    """What it brings along."""
    plan: EnginePlan | UpscalePlan | None
    """None where it can only be made when the model's files are here."""
    key: str | None = None
    """What identical requests share, where the result is determined; see `result_key`."""

    @property
    def group(self) -> str:
        """What has to be loaded for it."""
        if self.kind is JobKind.UPSCALE:
            return UPSCALER_GROUP + str(self.values.get("upscaler") or "")
        if self.model is None and self.plan is not None:
            return self.plan.model.name
        return self.model or ""

    @property
    def count(self) -> int:
        """Results that it is to have."""
        return int(self.values.get("count") or 1)

    @property
    def plan_json(self) -> dict[str, Any] | None:
        """The plan as `sdcpu plan --json` prints it."""
        return None if self.plan is None else plan_to_json(self.plan)


class Intake:
    """Checks requests; any thread may use it."""

    def __init__(
        self,
        folder: QueueFolder,
        planner: Planner,
        settings: Settings,
        limits: QueueLimits,
        *,
        allow_downloads: bool,
        allowed_folders: tuple[Path, ...],
    ) -> None:
        self._folder, self._planner, self._settings = folder, planner, settings
        self._limits = limits
        self._allow_downloads = allow_downloads
        self._allowed_folders = allowed_folders

    def names(self) -> AllowedNames:
        """What may be named now."""
        catalog, adapters = self._planner.catalog()
        return AllowedNames(
            catalog,
            adapters,
            folders=self._allowed_folders,
            allow_downloads=self._allow_downloads,
            default_model=self._settings.default_model,
        )

    def checked(
        self,
        kind: JobKind,
        model: str | None,
        request: Mapping[str, Any],
        path_of: PathOf,
        *,
        must_be_here: bool = True,
    ) -> Checked:
        """Check a request, and plan it; `must_be_here`: whether missing files are an error.

        Raises:
            InvalidRequestError: a value that cannot be right; RequestTooLargeError: too much.
            UnknownModelError: a name that is not known, or may not be named.
            ModelNotDownloadedError: files are not here, and downloads are not allowed.
            NotEnoughMemoryError: it would not fit.
        """
        if not isinstance(request, Mapping):
            raise InvalidRequestError("The request must be an object with fields.")
        check_names(request, tuple(FIELDS[kind]))
        if model is not None:
            if not isinstance(model, str):
                raise InvalidRequestError("The model must be the name of one.")
            model = self.names().model(model)
        pictures = {place: path_of(place, said) for place, said in references(kind, request)}
        values = self._values(kind, request, pictures)
        self._check_values(kind, values)
        plan = self._planned(kind, model, values, must_be_here=must_be_here)
        return self._with_key(
            Checked(kind=kind, model=model, values=values, pictures=pictures, plan=plan)
        )

    def drawable(self, job: Job, group: str, seed: int, *, plan: bool) -> Checked:
        """What a job is drawn with: its own pictures, and only what is not drawn yet.

        `group` is what has to be loaded, `seed` that of the job's first picture; `plan`: whether it
        is to be planned, where that can be done before its model is here.

        Raises:
            SdcpuError: as `checked`; what was there may have gone since.
        """
        kind, done = job.kind, len(job.results)
        pictures = {
            place: self._folder.input(job.id, place) for place, _ in references(kind, job.request)
        }
        values = self._values(kind, job.request, pictures)
        if job.model is not None:
            self.names().model(job.model)
        if kind is not JobKind.UPSCALE:
            values["seed"] = seed + done
        if kind is JobKind.PICTURE:
            values["count"] = int(values.get("count") or 1) - done
        model = None if kind is JobKind.UPSCALE else group or None
        made = self._planner.plan(kind, model, values) if plan and job.plan is not None else None
        drawable = Checked(kind=kind, model=model, values=values, pictures=pictures, plan=made)
        return self._with_key(drawable) if is_determined(kind, job.request) else drawable

    def check_size(self, plan: EnginePlan | UpscalePlan) -> None:
        """Make sure that a result is not larger than allowed.

        Raises:
            RequestTooLargeError: it is.
        """
        width, height = result_size(plan)
        if width * height > self._limits.most_pixels:
            raise RequestTooLargeError(
                f"The picture would have {width}x{height} pixels; at most "
                f"{self._limits.most_pixels} are made here.",
                hint="Ask for a smaller one.",
            )
        if isinstance(plan, EnginePlan):
            steps = max(plan.request.steps or 1, plan.request.hires_steps or 1)
            self._check_most("steps", steps, self._limits.most_steps)
            if isinstance(plan.request, VideoRequest):
                self._check_most("frames", plan.request.frames or 1, self._limits.most_frames)

    def _values(
        self, kind: JobKind, request: Mapping[str, Any], pictures: Mapping[Place, Path]
    ) -> dict[str, Any]:
        """A request as keywords, with nothing in it that may not be named."""
        spelled = with_paths(kind, self.names().in_request(request), pictures.__getitem__)
        values = values_of_object(spelled, self._folder.path / "nothing", FIELDS[kind])
        if kind is JobKind.UPSCALE:
            values.setdefault("factor", 4)
        return values

    def _with_key(self, checked: Checked) -> Checked:
        if checked.plan is None or not is_determined(checked.kind, checked.values):
            return checked
        located = self._planner.located(checked.plan)
        return replace(checked, key=result_key(checked.plan, located, checked.pictures))

    def _check_values(self, kind: JobKind, values: Mapping[str, Any]) -> None:
        """What shows without a model."""
        if kind is JobKind.UPSCALE:
            if "image" not in values:
                raise InvalidRequestError("There is no picture to enlarge.", hint="Give image.")
            if type(values["factor"]) is not int or values["factor"] not in SCALES:
                raise InvalidRequestError(
                    f"A picture cannot be enlarged {values['factor']!r} times.",
                    hint="2 or 4 times it can be.",
                )
            return
        if "prompt" not in values:
            raise InvalidRequestError("The request has no prompt.", hint="Give one.")
        options = {name: value for name, value in values.items() if name != "prompt"}
        made = video_request_of if kind is JobKind.VIDEO else request_of
        request = made(values["prompt"], options)
        self._check_most("pictures", request.count, self._limits.most_pictures)
        self._check_most("steps", request.steps or 1, self._limits.most_steps)
        self._check_most("steps", request.hires_steps or 1, self._limits.most_steps)
        side = (request.width or 0) * (request.height or 0)
        pixels = side * (request.hires or 1) ** 2 * (request.upscale or 1) ** 2
        self._check_most("pixels", int(pixels), self._limits.most_pixels)
        if request.seed is not None:
            check_number("last seed", request.seed + request.count - 1, 0, MAX_SEED, whole=True)

    def _check_most(self, what: str, wanted: int, most: int) -> None:
        if wanted > most:
            raise RequestTooLargeError(
                f"{wanted} {what} are more than the {most} that are made here.",
                hint="Ask for fewer.",
            )

    def _planned(
        self, kind: JobKind, model: str | None, values: Mapping[str, Any], *, must_be_here: bool
    ) -> EnginePlan | UpscalePlan | None:
        catalog, _ = self._planner.catalog()
        if kind is not JobKind.UPSCALE and model is not None:
            found = catalog.find(model)
            self._check_here(found, must_be_here)
            if not found.family:  # a file on the hub tells what it is when it is here
                return None
        plan = self._planner.plan(kind, model, values)
        for part in self._parts(plan):
            self._check_here(part, must_be_here)
        self.check_size(plan)
        if isinstance(plan, EnginePlan):
            request_type = VideoRequest if kind is JobKind.VIDEO else ImageRequest
            check_inputs(request_type(**values), plan.model)
        return plan

    def _parts(self, plan: EnginePlan | UpscalePlan) -> list[Model]:
        parts = [plan.model]
        if isinstance(plan, EnginePlan) and plan.enlargement is not None:
            catalog, _ = self._planner.catalog()
            parts.append(find_upscaler(plan.request.upscaler, catalog.registry))
        return parts

    def _check_here(self, model: Model, must_be_here: bool) -> None:
        if not must_be_here or self._allow_downloads:
            return
        catalog, _ = self._planner.catalog()
        if not catalog.is_here(model):
            missing = [file for file, path in catalog.locate(model).items() if path is None]
            size = sum(file.size or 0 for file in missing if not file.built_in)
            raise ModelNotDownloadedError(
                f"{model.name} is not here" + (f" ({size_text(size)})." if size else "."),
                hint=f"On the machine that serves: sdcpu pull {model.name}",
            )


def is_determined(kind: JobKind, request: Mapping[str, Any]) -> bool:
    """Whether the same request always gives the same result."""
    return kind is JobKind.UPSCALE or request.get("seed") is not None


def result_size(plan: EnginePlan | UpscalePlan) -> tuple[int, int]:
    """Width and height of the pictures that come out."""
    if isinstance(plan, UpscalePlan):
        return plan.enlargement.size
    if plan.enlargement is not None:
        return plan.enlargement.size
    if plan.second_pass is not None:
        return plan.second_pass.size
    if plan.upscale_to is not None:
        return plan.upscale_to
    if plan.canvas is not None:
        return plan.canvas.result_size
    return plan.request.width or 0, plan.request.height or 0


def plan_to_json(plan: EnginePlan | UpscalePlan) -> dict[str, Any]:
    """A plan as `sdcpu plan --json` prints it."""
    written = plain(plan)
    assert isinstance(written, dict)  # noqa: S101 - what a dataclass becomes
    return written
