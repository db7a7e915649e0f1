"""Where the pictures of agents are made: one at a time, by an engine that stays loaded."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sdcpu.adapters import LCM, Adapters
from sdcpu.agents.commission import Commission
from sdcpu.catalog import Catalog
from sdcpu.errors import (
    CancelledError,
    InvalidRequestError,
    ModelNotDownloadedError,
    SdcpuError,
    UnknownModelError,
)
from sdcpu.events import DownloadProgress, Progress
from sdcpu.families import FAMILIES
from sdcpu.generator import Event, ImageGenerator
from sdcpu.images import GeneratedImage, request_of
from sdcpu.loras.tags import take_tags
from sdcpu.settings import Settings, load_settings, overridden
from sdcpu.upscaler import UpscaledImage, UpscalePlan, Upscaler

if TYPE_CHECKING:
    from sdcpu.images import ImageSource
    from sdcpu.models import Model, ModelKind

Made = TypeVar("Made", GeneratedImage, UpscaledImage)


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A picture that is not begun yet, because others come first."""

    before: int
    """How many."""


Told = Event | UpscalePlan | UpscaledImage | DownloadProgress | Progress | Waiting
"""What a studio tells of a picture."""
Hear = Callable[[Told], None]
"""Is called from the studio's thread with everything that happens."""


class Studio:
    """Makes pictures in the order in which they are asked for, in a thread of its own.

    Models are those that sdcpu knows by name, and nothing is downloaded unless that is allowed:
    who asks is a program that may have been talked into anything. Use it as a context manager, or
    call `close()`.

    >>> with Studio(model="demo") as studio:
    ...     commission = studio.draw("a red circle on a blue background", {"seed": 7})
    ...     commission.future.result().width
    256
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        allow_downloads: bool = False,
        settings: Settings | None = None,
        **machine: Any,
    ) -> None:
        """Prepare; `model` draws where a request names none, `machine` is as in `ImageGenerator`.

        Without a model, the best one that is here is taken.

        Raises:
            UnknownModelError: nothing answers to the model's name, which may be a path here.
        """
        settings = overridden(settings or load_settings(), **machine)
        self.allows_downloads = allow_downloads and not settings.offline
        self.settings = replace(settings, offline=not self.allows_downloads)
        self.default_model = model or settings.default_model
        if model is not None:
            Catalog(self.settings).find(model)
        self._machine: ImageGenerator | Upscaler | None = None
        self._machine_key: tuple[str, str | None] = ("", None)
        self._works: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._commissions: list[Commission[Any]] = []
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def draw(
        self,
        prompt: str,
        request: dict[str, Any] | None = None,
        *,
        model: str | None = None,
        hear: Hear | None = None,
    ) -> Commission[GeneratedImage]:
        """Ask for a picture; the keywords of the request are those of `ImageRequest`.

        Raises:
            InvalidRequestError: a value that cannot be right, or a LoRA that is not known by name.
            UnknownModelError: a model that is not known by name.
        """
        request = dict(request or {})
        request_of(prompt, request)
        self._check_loras(prompt)
        name = self.find(model, "image").name if model else self.default_model
        return self._commissioned(
            ("generator", name),
            lambda: ImageGenerator(name, settings=self.settings),
            lambda machine: machine.stream(prompt, **request),
            GeneratedImage,
            hear,
        )

    def enlarge(
        self,
        picture: ImageSource,
        scale: int,
        *,
        upscaler: str | None = None,
        hear: Hear | None = None,
    ) -> Commission[UpscaledImage]:
        """Ask for a picture to be made 2 or 4 times as wide and high.

        Raises:
            UnknownModelError: an upscaler that is not known by name.
        """
        name = self.find(upscaler, "upscaler").name if upscaler else None
        return self._commissioned(
            ("upscaler", name),
            lambda: Upscaler(name, settings=self.settings),
            lambda machine: machine.stream(picture, scale=scale),
            UpscaledImage,
            hear,
        )

    def find(self, name: str, kind: ModelKind) -> Model:
        """The model of a kind with this name.

        Raises:
            UnknownModelError: there is none; paths and places on the hub are no names.
        """
        try:
            found = Catalog(self.settings).registry.find(name)
        except UnknownModelError as error:
            hint = error.hint.partition("`sdcpu models`")[0]
            raise UnknownModelError(error.message, hint=f"{hint}{_LIST}") from error
        if found.kind != kind:
            raise UnknownModelError(f"{name} is not of the kind {kind}.", hint=_LIST)
        return found

    def edits_by_prompt(self, model: str | None) -> bool:
        """Whether a model, or the one that draws where none is named, does what a prompt says.

        Raises:
            UnknownModelError: there is none of this name.
        """
        if model is not None:
            found = self.find(model, "image")
        elif self.default_model is not None:
            found = Catalog(self.settings).find(self.default_model)
        else:
            return False
        family = FAMILIES.get(found.family)
        return family is not None and family.edits

    def close(self) -> None:
        """Cancel what is not done, and end the engine's process."""
        with self._lock:
            self._closed = True
            thread, waiting = self._thread, list(self._commissions)
        for commission in waiting:
            commission.cancel()
        self._works.put(None)
        if thread is not None:
            thread.join()

    def _commissioned(
        self,
        key: tuple[str, str | None],
        open_machine: Callable[[], Any],
        stream: Callable[[Any], Generator[Any, None, None]],
        kind: type[Made],
        hear: Hear | None,
    ) -> Commission[Made]:
        commission: Commission[Made] = Commission()

        def tell(event: Told) -> None:
            if hear is not None:
                hear(event)

        def work() -> None:
            try:
                commission.check()
                machine = self._machine_for(key, open_machine)
                made = None
                with commission.under_way(machine.cancel), closing(stream(machine)) as events:
                    for event in events:
                        commission.check()
                        tell(event)
                        made = event if isinstance(event, kind) else made
                assert made is not None, "a stream ends with its picture"  # noqa: S101
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                commission.future.set_exception(self._explained(error))
            else:
                commission.future.set_result(made)
            finally:
                with self._lock:
                    self._commissions.remove(commission)

        with self._lock:
            if self._closed:
                raise CancelledError("No more pictures are made: the studio is closed.")
            if self._commissions:
                tell(Waiting(before=len(self._commissions)))
            self._commissions.append(commission)
            self._works.put(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sdcpu-studio")
                self._thread.start()
        return commission

    def _work(self) -> None:
        while (work := self._works.get()) is not None:
            work()
        if self._machine is not None:
            self._machine.close()

    def _machine_for(
        self, key: tuple[str, str | None], open_machine: Callable[[], Any]
    ) -> ImageGenerator | Upscaler:
        """What makes such pictures; only one is kept, so that the memory holds one model."""
        if self._machine is None or self._machine_key != key:
            if self._machine is not None:
                self._machine.close()
            self._machine, self._machine_key = open_machine(), key
        return self._machine

    def _explained(self, error: Exception) -> Exception:
        """The error, with a hint that helps an agent."""
        if isinstance(error, ModelNotDownloadedError) and not self.allows_downloads:
            return ModelNotDownloadedError(
                error.message,
                hint="Take a model that is here, or ask the user to fetch this one: "
                f"sdcpu pull {error.details.get('model', '')}".rstrip(),
                details=error.details,
            )
        return error

    def _check_loras(self, prompt: str) -> None:
        """Make sure that LoRAs in the prompt are known by name, and are no files elsewhere."""
        _, loras = take_tags(prompt)
        if not loras:
            return
        adapters = Adapters(Catalog(self.settings), self.settings)
        known = {LCM, *(lora.name for lora in adapters.known_loras())}
        for name, _ in loras:
            if name not in known:
                raise InvalidRequestError(
                    f"There is no LoRA named {name[:80]!r}.",
                    hint=f"Known: {', '.join(sorted(known))}.",
                )


_LIST = "The tool list_models names those that can be taken."


def message_of(error: SdcpuError) -> str:
    """What went wrong and what to do next, in one text."""
    return f"{error.message} {error.hint}".rstrip()
