"""What the commands that draw do meanwhile: announce, show, save, report."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sdcpu.cli.output import print_note, print_result
from sdcpu.cli.plan_text import announcement
from sdcpu.cli.progress import Display, open_display
from sdcpu.errors import SdcpuError
from sdcpu.events import Preview
from sdcpu.images import GeneratedImage
from sdcpu.picture_names import picture_stem, unused_path
from sdcpu.plan import EnginePlan
from sdcpu.remote.plans import RemotePlan
from sdcpu.videos import GeneratedVideo

if TYPE_CHECKING:
    from sdcpu.generator import Event
    from sdcpu.remote.sdcpu_server import RemoteEvent


class Saving(Protocol):
    """Writes what comes out under the name that it is to have."""

    def save(self, picture: Any) -> Path:
        """Write a picture or video; return where."""


@dataclass(kw_only=True)
class Drawing:
    """One run of the command, from the plan to the last saved picture or video."""

    outputs: Saving
    preview_folder: Path | None
    """Where every preview is kept; None: nowhere."""
    show_pictures: bool
    """Whether pictures are shown in the terminal while they are drawn, and when they are done."""
    print_paths: bool
    quiet: bool
    verbose: bool
    plan: EnginePlan | None = None
    """The plan, as soon as it is known."""
    remote_address: str | None = None
    """Where another machine draws, once that was said."""
    pictures: list[dict[str, object]] = field(default_factory=list)
    """What was saved, as plain values."""
    _pictures_of_plan: int = 0
    """How many of them came since the last plan."""

    def follow(self, events: Iterator[Event | RemoteEvent]) -> None:
        """Follow the events to the last picture."""
        with open_display(quiet=self.quiet, with_pictures=self.show_pictures) as display:
            for event in events:
                if isinstance(event, EnginePlan):
                    self._announce(event, display)
                elif isinstance(event, RemotePlan):
                    self._announce_remote(event, display)
                elif isinstance(event, Preview):
                    display.show(event)
                    self._keep_preview(event)
                elif isinstance(event, GeneratedImage | GeneratedVideo):
                    self._keep(event, display)
                else:
                    display.show(event)

    def follow_and_report(self, events: Iterator[Event | RemoteEvent], path: Path) -> None:
        """Do the same, and write what happened, also when it went wrong."""
        from sdcpu.hardware import detect_hardware
        from sdcpu.report import Recorder, write_report

        machine = detect_hardware()
        error: BaseException | None = None
        with Recorder() as recorder:
            try:
                self.follow(recorder.watch(events))
            except (SdcpuError, KeyboardInterrupt) as raised:
                error = raised
        report = {
            "arguments": sys.argv[1:],
            "machine": machine,
            "build": self.plan.build if self.plan else None,
            "plan": self.plan,
            "stages": recorder.stages(),
            "memory_peak": recorder.memory_peak,
            "pictures": self.pictures,
            "error": f"{type(error).__name__}: {error}".removesuffix(": ") if error else None,
            "memory_samples": recorder.samples,
        }
        write_report(path, report)
        if error is not None:
            raise error

    def _announce(self, plan: EnginePlan, display: Display) -> None:
        """Say what is going to happen; again only when another model or build draws after all."""
        known = self.plan is not None and (self.plan.model.name, self.plan.build.name) == (
            plan.model.name,
            plan.build.name,
        )
        self.plan, self._pictures_of_plan = plan, 0
        if not self.quiet and not known:
            with display.aside():
                for line in announcement(plan, all_reasons=self.verbose):
                    print_note(line)

    def _announce_remote(self, plan: RemotePlan, display: Display) -> None:
        """Say where the words go; whoever sends them is to know, so --quiet does not hide it."""
        if plan.address != self.remote_address:
            self.remote_address = plan.address
            with display.aside():
                for line in (plan.notice, *(f"- {reason}" for reason in plan.reasons)):
                    print_note(line)

    def _keep_preview(self, event: Preview) -> None:
        from sdcpu.recipe import save_picture

        if self.preview_folder is None or self.plan is None:
            return
        request = self.plan.request
        stem = picture_stem(request.prompt, (request.seed or 0) + self._pictures_of_plan)
        path = unused_path(self.preview_folder, f"{stem}-step-{event.step:03}", ".png")
        save_picture(event.image, path, None)

    def _keep(self, picture: GeneratedImage | GeneratedVideo, display: Display) -> None:
        path = self.outputs.save(picture)
        saved: dict[str, object] = {
            "path": str(path.absolute()),
            "model": picture.model,
            "seed": picture.seed,
            "width": picture.width,
            "height": picture.height,
            "seconds": round(picture.seconds, 3),
            "recipe": picture.recipe,
        }
        if isinstance(picture, GeneratedVideo):
            saved |= {"frames": len(picture.frames), "fps": picture.fps}
        self.pictures.append(saved)
        self._pictures_of_plan += 1
        display.show(picture)
        with display.aside():
            if isinstance(picture, GeneratedImage) and picture.index == 0 and not self.quiet:
                for note in picture.notes:
                    print_note(f"- {note}")
            if self.print_paths:
                print_result(str(path))
