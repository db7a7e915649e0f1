"""What a queue draws with: `ImageGenerator` and `Upscaler`, or what acts like them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

from sdcpu.events import DownloadProgress, Progress
from sdcpu.generator import Event
from sdcpu.plan import EnginePlan
from sdcpu.upscaler import UpscaledImage, UpscalePlan

Happening = Event | UpscalePlan | UpscaledImage
"""What the events of a job may be."""


class PictureMaker(Protocol):
    """The part of `ImageGenerator` that a queue uses."""

    memory_returned: int
    """Bytes that a plan may count on, although others hold them now."""

    @property
    def engine_pid(self) -> int | None:
        """The engine's process, while there is one."""

    def plan(self, prompt: str = "", **request: Any) -> EnginePlan:
        """Say how a picture would be made."""

    def plan_video(self, prompt: str = "", **request: Any) -> EnginePlan:
        """Say how a video would be made."""

    def stream(self, prompt: str, **request: Any) -> Generator[Event, None, None]:
        """Make pictures."""

    def stream_video(self, prompt: str, **request: Any) -> Generator[Event, None, None]:
        """Make a video."""

    def cancel(self) -> None:
        """Stop what is being made, from any thread."""

    def close(self) -> None:
        """End the engine's process."""


class Enlarger(Protocol):
    """The part of `Upscaler` that a queue uses."""

    @property
    def engine_pid(self) -> int | None:
        """The engine's process, while there is one."""

    def plan(self, image: Path, *, scale: int = 4) -> UpscalePlan:
        """Say how a picture would be enlarged."""

    def stream(
        self, image: Path, *, scale: int = 4
    ) -> Generator[UpscalePlan | DownloadProgress | Progress | UpscaledImage, None, None]:
        """Enlarge a picture."""

    def cancel(self) -> None:
        """Stop what is being made, from any thread."""

    def close(self) -> None:
        """End the engine's process."""


MakeGenerator = Callable[..., PictureMaker]
"""Called with a model's name or None, and `settings`."""
MakeUpscaler = Callable[..., Enlarger]
"""Called with an upscaler's name or None, and `settings`."""
