"""Drawing the requests of a file into a folder: checked first, journalled, resumable."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sdcpu.batch.contents import BatchContents, inspect_lines
from sdcpu.batch.events import BatchEvent, BatchSummary, LineDone, LineFailed
from sdcpu.batch.journal import ENDING, Journal
from sdcpu.batch.line_pictures import LinePictures
from sdcpu.batch.lines import BatchLine, BrokenLine, read_requests
from sdcpu.batch.lock import held_alone
from sdcpu.batch.worker_counts import MAX_WORKERS, measured_workers, share_of
from sdcpu.batch.workers import Workers
from sdcpu.catalog import Catalog
from sdcpu.engine_choice import EngineChoice
from sdcpu.errors import InvalidRequestError, NotEnoughMemoryError, SettingsError
from sdcpu.generator import Event, ImageGenerator
from sdcpu.hardware import detect_hardware
from sdcpu.images import GeneratedImage
from sdcpu.plan import EnginePlan
from sdcpu.series import stream_series
from sdcpu.settings import Settings, load_settings, overridden, parse_size
from sdcpu.styles import load_styles

if TYPE_CHECKING:
    from sdcpu.batch.cluster import Cluster


class Batch:
    r"""The requests of a file, to be drawn into a folder.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "prompts.txt").write_text("a red circle\na blue star\n")
    >>> batch = Batch(folder / "prompts.txt", folder, model="demo", defaults={"steps": 1})
    >>> for event in batch.draw():
    ...     if isinstance(event, LineDone):
    ...         print(event.files[0].name)
    0001-a-red-circle.png
    0002-a-blue-star.png
    """

    def __init__(
        self,
        path: str | Path,
        folder: str | Path = ".",
        *,
        model: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        wildcards: Sequence[Path] | None = None,
        sample: int | None = None,
        resume: bool = False,
        force: bool = False,
        workers: int | Literal["auto"] = 1,
        cluster: str | None = None,
        shared_cache: Path | None = None,
        threads: int | None = None,
        memory_limit: int | str | None = None,
        settings: Settings | None = None,
        **machine: Any,
    ) -> None:
        """Name the file and the folder, which is made when it is not there.

        `defaults` are keywords of `ImageRequest` for lines that do not say otherwise, `machine`
        keywords of `ImageGenerator`. With `resume`, lines are left out that an earlier run drew.
        `workers` generators draw side by side, each with its share of threads and memory; "auto"
        takes as many as `sdcpu bench --workers` found to be the fastest with the models, if it ran
        with them and so many fit the memory, and one otherwise. Where a build for cards draws, they
        take turns among its cards, and "auto" is one for each.

        `cluster` is the address of a Dask scheduler whose processes draw in place of this one. They
        keep models in `shared_cache`, a folder that all of them see; None: where each has its own.
        """
        if workers != "auto" and not 1 <= workers <= MAX_WORKERS:
            raise InvalidRequestError(
                f"{workers} workers cannot be; give a number from 1 to {MAX_WORKERS}, or auto."
            )
        if cluster is not None and workers not in (1, "auto"):
            raise InvalidRequestError(
                "A cluster has its own number of workers.", hint="Leave --workers out."
            )
        self.path, self.folder = Path(path), Path(folder)
        self.journal_path = self.folder / f"{self.path.name}{ENDING}"
        self._model, self._defaults = model, dict(defaults or {})
        self._wildcards, self._sample = wildcards, sample
        self._resume, self._force, self._workers = resume, force, workers
        self._settings = settings or load_settings()
        limit = parse_size(memory_limit) if isinstance(memory_limit, str) else memory_limit
        self._threads = self._settings.threads if threads is None else threads
        self._memory_limit = self._settings.memory_limit if limit is None else limit
        self._cluster, self._shared_cache = cluster, shared_cache
        self._asked_threads, self._asked_memory = threads, limit
        self._machine = machine
        self._made: dict[int, set[Path]] = {}
        """Pictures of lines that are being drawn: an engine that dies costs none of them."""

    def check(self) -> BatchContents:
        """Read the whole file, draw nothing, and say what is in it and what is wrong with it.

        Raises:
            InvalidRequestError: the file cannot be read or has no requests, or there is an earlier
                run whose pictures must neither be drawn again nor be replaced.
        """
        if self.journal_path.exists() and not (self._resume or self._force):
            raise InvalidRequestError(
                f"{self.path.name} was drawn into {self.folder} before.",
                hint="Go on with it by --resume, or begin anew by --force.",
            )
        known = self._resume and self.journal_path.exists()
        with ExitStack() as stack:
            journal = stack.enter_context(closing(self._opened_journal())) if known else None
            contents = inspect_lines(self._lines(), Catalog(self._settings), journal)
        if not contents.lines and not contents.broken:
            raise InvalidRequestError(
                f"{self.path} has no requests.", hint="Write one prompt a line."
            )
        return contents

    def draw(self, contents: BatchContents | None = None) -> Generator[BatchEvent, None, None]:
        """Draw what is not drawn yet; a line that fails does not stop the others.

        Lines of one model follow one another. `contents` are what `check` found, so that the file
        need not be checked again. Broken lines count as failed. Leaving the iterator early cancels
        what is being drawn; `resume` goes on from there.
        """
        contents = contents or self.check()
        began = time.monotonic()
        failed, drawn, pictures = contents.broken_count, 0, 0
        with ExitStack() as stack:
            cluster = (
                stack.enter_context(closing(self._opened_cluster())) if self._cluster else None
            )
            self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held_alone(self.journal_path))
            journal = stack.enter_context(closing(self._opened_journal()))
            pending = self._pending(contents, journal)
            if cluster is not None:
                run = cluster.run(pending, lambda line: self._begun(line, journal))
            else:
                workers = self._opened_workers(contents)
                run = workers.run(
                    pending, lambda generator, line: self._drawn(generator, line, journal)
                )
            for event in stack.enter_context(closing(run)):
                if isinstance(event, LineDone):
                    drawn, pictures = drawn + 1, pictures + len(event.files)
                elif isinstance(event, LineFailed):
                    failed += 1
                    journal.note_failure(event.line, event.error)
                if isinstance(event, LineDone | LineFailed):
                    self._made.pop(event.line.number, None)
                yield event
        yield BatchSummary(
            drawn=drawn,
            skipped=contents.done,
            failed=failed,
            pictures=pictures,
            seconds=time.monotonic() - began,
            workers=cluster.count if cluster is not None else workers.count,
        )

    def _lines(self) -> Iterator[BatchLine | BrokenLine]:
        return read_requests(
            self.path,
            defaults=self._defaults,
            model=self._model,
            wildcards=self._wildcards,
            sample=self._sample,
            styles=load_styles(self._settings.styles_file),
        )

    def _pending(self, contents: BatchContents, journal: Journal) -> Iterator[BatchLine]:
        """The lines that are to be drawn, those of one model after one another."""
        for model in contents.models:
            for line in self._lines():
                if (
                    isinstance(line, BatchLine)
                    and line.model == model
                    and line.number not in contents.left_out
                    and not journal.is_done(line)
                ):
                    yield line

    def _opened_journal(self) -> Journal:
        return Journal(self.journal_path, resume=self._resume)

    def _opened_workers(self, contents: BatchContents) -> Workers:
        """Generators on this machine."""
        count = self._fitting_workers(contents)
        devices = self._devices if count > 1 else ()
        return Workers(count, lambda model, number: self._generator(model, count, number, devices))

    def _opened_cluster(self) -> Cluster:
        """Generators on a cluster.

        Raises:
            SettingsError: the extra is not installed.
            RemoteError: the cluster cannot draw.
        """
        try:
            from sdcpu.batch.cluster import Cluster
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"The package {error.name} is not installed, which a batch on a cluster needs.",
                hint='Install it: pip install "sdcpu[dask]"',
            ) from error
        machine = {"threads": self._asked_threads, "memory_limit": self._asked_memory}
        assert self._cluster is not None, "a cluster was asked for"  # noqa: S101
        return Cluster(
            self._cluster, shared_cache=self._shared_cache, **{**self._machine, **machine}
        )

    def _generator(
        self, model: str | None, workers: int, number: int = 0, devices: Sequence[int] = ()
    ) -> ImageGenerator:
        """A generator with its share of the machine: of the cores, and of the cards."""
        threads, memory = self._threads, self._memory_limit
        if workers > 1:
            threads, memory = share_of(detect_hardware(), threads, memory, workers)
        machine = {**self._machine, "threads": threads, "memory_limit": memory}
        if devices:
            machine["device"] = devices[number % len(devices)]
        return ImageGenerator(model, settings=self._settings, **machine)

    @cached_property
    def _devices(self) -> tuple[int, ...]:
        """The cards to share among the workers; none where one was named, or the processor draws.

        Raises:
            BuildError: the build that was asked for cannot be used.
        """
        if self._settings.device or self._machine.get("device") is not None:
            return ()
        settings = overridden(self._settings, build=self._machine.get("build"))
        return EngineChoice(settings).devices()

    def _fitting_workers(self, contents: BatchContents) -> int:
        """The number of workers.

        Raises:
            NotEnoughMemoryError: the first line of a model does not fit beside as many others.
        """
        asked = self._workers
        if asked == 1:
            return 1
        try:
            if asked != "auto":
                for model in contents.models:
                    self._plan_of_first(model, asked)
                return asked
            if len(self._devices) > 1:
                for model in contents.models:
                    self._plan_of_first(model, len(self._devices))
                return len(self._devices)
            names = [self._plan_of_first(model, 1).model.name for model in contents.models]
            count = min((measured_workers(self._settings, name) for name in names), default=1)
            for model in contents.models if count > 1 else ():
                self._plan_of_first(model, count)
        except NotEnoughMemoryError as error:
            if asked == "auto":
                return 1
            raise NotEnoughMemoryError(
                f"{asked} workers do not fit the memory: {error.message}",
                hint="Take fewer workers.",
            ) from error
        return count

    def _plan_of_first(self, model: str | None, workers: int) -> EnginePlan:
        """The plan of the first line with a model, as one of several workers would draw it."""
        lines = (line for line in self._lines() if isinstance(line, BatchLine))
        line = next(line for line in lines if line.model == model)
        with self._generator(model, workers) as generator:
            return generator.plan(**{**line.fields, "prompt": line.prompts[0]})

    def _drawn(
        self, generator: ImageGenerator, line: BatchLine, journal: Journal
    ) -> Generator[Event | LineDone, None, None]:
        """Draw the pictures of a line that are not there yet, and note them when they are."""
        pictures = self._begun(line, journal)
        with closing(stream_series(generator, pictures.requests())) as events:
            for event in events:
                if isinstance(event, GeneratedImage):
                    pictures.save(event.index, event)
                else:
                    yield event
        yield pictures.note()

    def _begun(self, line: BatchLine, journal: Journal) -> LinePictures:
        made = self._made.setdefault(line.number, set())
        return LinePictures(
            line, self.folder, journal, made=made, resume=self._resume, force=self._force
        )
