"""Plans of requests, made beside what is being drawn; nothing is loaded for them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from sdcpu.adapters import Adapters
from sdcpu.catalog import Catalog
from sdcpu.job_queue.job import JobKind
from sdcpu.job_queue.makers import MakeGenerator, MakeUpscaler
from sdcpu.measurements import FILE_NAME
from sdcpu.models import ModelFile
from sdcpu.plan import EnginePlan
from sdcpu.settings import Settings
from sdcpu.upscaler import UpscalePlan
from sdcpu.upscaler_files import find_upscaler

_MOST_KEPT = 4
"""Models whose generators are kept for planning; each holds the headers of its files."""
_SECONDS_KEPT = 60.0
"""After which models.toml and the folders are looked at again."""
_SECONDS_MEASURED = 0.5
"""How old what was measured may be, so that not every plan reads it anew."""


Maker = TypeVar("Maker")


class Planner:
    """Makes plans; any thread may use it."""

    def __init__(
        self,
        settings: Settings,
        make_generator: MakeGenerator,
        make_upscaler: MakeUpscaler,
        *,
        memory_returned: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`memory_returned`: bytes that loaded models hold, which would give way."""
        self._settings = settings
        self._memory_returned = memory_returned
        self._clock = clock
        self._lock = threading.RLock()
        self._generators = _Kept(make_generator, settings, clock)
        self._upscalers = _Kept(make_upscaler, settings, clock)
        self._catalog: tuple[Catalog, Adapters, float] | None = None

    def plan(
        self, kind: JobKind, model: str | None, values: Mapping[str, Any]
    ) -> EnginePlan | UpscalePlan:
        """How a request would be drawn; `values` are keywords of the request.

        Raises:
            SdcpuError: it cannot be drawn; NotEnoughMemoryError although all others gave way.
        """
        with self._lock:
            if kind is JobKind.UPSCALE:
                enlarger = self._upscalers.get(values.get("upscaler"))
                return enlarger.plan(Path(values["image"]), scale=values["factor"])
            generator = self._generators.get(model)
            generator.memory_returned = self._memory_returned()
            planned = generator.plan_video if kind is JobKind.VIDEO else generator.plan
            return planned(**values)

    def located(self, plan: EnginePlan | UpscalePlan) -> dict[ModelFile, Path | None]:
        """Where the files are that a plan needs; None for what is not here."""
        with self._lock:
            catalog, _ = self.catalog()
            located = catalog.locate(plan.model)
            if isinstance(plan, EnginePlan):
                request = plan.request
                if request.upscale is not None or request.upscaler is not None:
                    located |= catalog.locate(find_upscaler(request.upscaler, catalog.registry))
            return located

    def catalog(self) -> tuple[Catalog, Adapters]:
        """What is known and here, looked at no longer than a minute ago."""
        with self._lock:
            now = self._clock()
            if self._catalog is None or now - self._catalog[2] > _SECONDS_KEPT:
                catalog = Catalog(self._settings)
                self._catalog = catalog, Adapters(catalog, self._settings), now
            return self._catalog[0], self._catalog[1]


class _Kept(Generic[Maker]):
    """Generators or upscalers for planning: few, and made anew when what they know is old."""

    def __init__(
        self, make: Callable[..., Maker], settings: Settings, clock: Callable[[], float]
    ) -> None:
        self._make, self._settings, self._clock = make, settings, clock
        self._kept: OrderedDict[str | None, tuple[Maker, float, int]] = OrderedDict()

    def get(self, name: str | None) -> Maker:
        """The maker for a model or an upscaler."""
        now, measured = self._clock(), self._measured()
        if name in self._kept:
            maker, made, seen = self._kept[name]
            age = now - made
            if age <= (_SECONDS_KEPT if measured == seen else _SECONDS_MEASURED):
                self._kept.move_to_end(name)
                return maker
        maker = self._make(name, settings=self._settings)
        self._kept[name] = maker, now, measured
        self._kept.move_to_end(name)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return maker

    def _measured(self) -> int:
        """When something was measured last."""
        try:
            return (self._settings.state_folder / FILE_NAME).stat().st_mtime_ns
        except OSError:
            return 0
