"""A batch on the processes of a Dask cluster: each picture is a task, saved here when it is drawn.

What a lost process was drawing, or had drawn and not handed over, the cluster gives to another one.
What was handed over is on the disk and in the journal, so that it is never drawn again.
"""

from __future__ import annotations

import asyncio
import queue
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker

from sdcpu.batch import cluster_drawing
from sdcpu.batch.cluster_drawing import PictureFailure, PictureOrder
from sdcpu.batch.events import LineDone, LineFailed, LineProgress
from sdcpu.batch.line_pictures import LinePictures
from sdcpu.batch.lines import BatchLine
from sdcpu.batch.workers import OF_THE_MODEL
from sdcpu.errors import (
    EngineCrashedError,
    RemoteError,
    SdcpuError,
    error_from_code,
)
from sdcpu.events import DownloadProgress, Progress
from sdcpu.images import GeneratedImage

_PATIENCE = 20
"""Seconds that a cluster may take to answer."""
_SECONDS_BETWEEN_LOOKS = 30.0
"""After which silence it looks whether there are still processes."""
_SECONDS_OF_SILENCE = 5.0
"""After which another process is the one whose progress is shown."""
_AHEAD = 2
"""Pictures for each process: one that it draws, and one that lies ready."""
_NO_MODULE = "No module named"
_ATTEMPTS = 2
"""How often a picture is drawn whose engine dies; a lost process does not count."""
_NEWS_OF_DOWNLOADS = {"file", "done", "total", "bytes_per_second", "seconds_left"}

Begin = Callable[[BatchLine], LinePictures]
"""Looks which pictures of a line are to be drawn."""


@dataclass(kw_only=True)
class _Task:
    """A picture that is drawn somewhere."""

    pictures: LinePictures
    index: int
    order: PictureOrder
    attempt: int = 1


@dataclass(kw_only=True)
class _Work:
    """What is under way."""

    tasks: dict[Future[Any], _Task] = field(default_factory=dict)
    waiting: list[_Task] = field(default_factory=list)
    """Pictures of a line that was begun."""
    failed: set[int] = field(default_factory=set)
    """Numbers of lines of which nothing more is wanted."""
    given_up: dict[str | None, SdcpuError] = field(default_factory=dict)
    """Models that cannot be had."""


class Cluster:
    """The processes of a cluster, which draw the pictures of lines as they come.

    Raises:
        RemoteError: it does not answer, has no processes, or they have another sdcpu.
    """

    def __init__(self, address: str, *, shared_cache: Path | None = None, **machine: Any) -> None:
        """Go to the cluster's scheduler, which may be named by the file with its address, too.

        `machine` are keywords of `ImageGenerator` that hold for every process.
        """
        self._address = address
        self._shared_cache = None if shared_cache is None else str(shared_cache.absolute())
        self._machine = {name: value for name, value in machine.items() if value is not None}
        self._run = f"sdcpu-{secrets.token_hex(8)}"
        self._news: queue.Queue[Future[Any] | Mapping[str, Any]] = queue.Queue()
        self._places: list[str] = []
        self._heard_of_first = 0.0
        self._client = self._connected()
        try:
            self.count = self._greet()
            """Processes: the most that the cluster had."""
        except BaseException:
            self._client.close(timeout=_PATIENCE)
            raise

    def close(self) -> None:
        """Let the engines end that were used last for this batch, and leave the cluster."""
        if self._client.status == "running":
            self._client.run(cluster_drawing.leave, self._run, on_error="ignore")
        self._client.close(timeout=_PATIENCE)

    def run(
        self, lines: Iterator[BatchLine], begin: Begin
    ) -> Generator[LineProgress | LineFailed | LineDone, None, None]:
        """Draw all lines; leaving the iterator early cancels what the cluster draws of them.

        Raises:
            RemoteError: the cluster was lost.
        """
        work = _Work()
        try:
            self._client.subscribe_topic(self._run, lambda event: self._news.put(event[1]))
            yield from self._refilled(work, lines, begin)
            while work.tasks:
                news = self._next_news()
                if not isinstance(news, Future):
                    yield from self._progress(work, news)
                elif task := work.tasks.pop(news, None):
                    yield from self._received(work, task, news)
                    yield from self._refilled(work, lines, begin)
        finally:
            if work.tasks and self._client.status == "running":
                self._client.run(cluster_drawing.cancel, self._run, on_error="ignore")
                self._client.cancel(list(work.tasks), force=True)

    def _connected(self) -> Client:
        named = {"scheduler_file": self._address} if Path(self._address).is_file() else {}
        address = {} if named else {"address": self._address}
        try:
            return Client(**named, **address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise RemoteError(
                f"There is no Dask cluster at {self._address}: {error or 'it does not answer'}.",
                hint="Give the address that its scheduler prints, such as tcp://studio:8786.",
            ) from error

    def _greet(self) -> int:
        """Make sure that there are processes, and that each has this sdcpu; how many there are."""
        from sdcpu import __version__

        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
            answers: dict[str, tuple[str, str]] = self._client.run(cluster_drawing.describe)
        except TimeoutError as error:
            raise RemoteError(
                f"The cluster at {self._address} has no workers.",
                hint="Start some: dask worker ADDRESS",
            ) from error
        except Exception as error:
            # What a worker cannot import comes back as a bare exception with the words in it.
            if _NO_MODULE not in str(error):
                raise
            raise RemoteError(
                f"A worker of the cluster at {self._address} has no sdcpu: {error}",
                hint='Install it there, too: pip install "sdcpu[dask]"',
            ) from error
        for address, (version, machine) in answers.items():
            if version != __version__:
                raise RemoteError(
                    f"The worker {address} on {machine} has sdcpu {version}.",
                    hint=f"Install {__version__} there, which this is.",
                )
        return len(answers)

    def _refilled(
        self, work: _Work, lines: Iterator[BatchLine], begin: Begin
    ) -> Iterator[LineFailed | LineDone]:
        """Hand out pictures until every process has enough to do."""
        there = len(self._client.nthreads())
        self.count = max(self.count, there)
        while len(work.tasks) < _AHEAD * max(1, there):
            if not work.waiting:
                line = next(lines, None)
                if line is None:
                    return
                yield from self._begun(work, line, begin)
                continue
            task = work.waiting.pop(0)
            if task.order.line not in work.failed:
                self._hand_out(work, task)

    def _next_news(self) -> Future[Any] | Mapping[str, Any]:
        """What happened next.

        Raises:
            RemoteError: there is nobody left to whom something could happen.
        """
        while True:
            try:
                return self._news.get(timeout=_SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                if not self._client.nthreads():
                    raise self._lost() from None

    def _begun(self, work: _Work, line: BatchLine, begin: Begin) -> Iterator[LineFailed | LineDone]:
        try:
            if line.model in work.given_up:
                raise work.given_up[line.model]
            pictures = begin(line)
        except SdcpuError as error:
            yield LineFailed(line=line, error=error)
            return
        for index, request in enumerate(pictures.single_requests()):
            order = PictureOrder(
                run=self._run,
                line=line.number,
                model=line.model,
                request=reachable(request),
                machine=self._machine,
                shared_cache=self._shared_cache,
            )
            work.waiting.append(_Task(pictures=pictures, index=index, order=order))
        if pictures.are_complete:
            yield pictures.note()

    def _hand_out(self, work: _Work, task: _Task) -> None:
        order = task.order
        key = f"{self._run}-{order.line}-{task.index}-{task.attempt}"
        future = self._client.submit(cluster_drawing.draw_picture, order, key=key, pure=False)
        work.tasks[future] = task
        future.add_done_callback(self._news.put)

    def _received(
        self, work: _Work, task: _Task, future: Future[Any]
    ) -> Iterator[LineFailed | LineDone]:
        """Keep a picture, or draw it again, or give its line up."""
        line = task.pictures.line
        if line.number in work.failed:
            return
        try:
            result = self._result(future)
            if isinstance(result, PictureFailure):
                if result.code == EngineCrashedError.code and task.attempt < _ATTEMPTS:
                    task.attempt += 1
                    self._hand_out(work, task)
                    return
                raise error_from_code(
                    result.code, result.message, hint=result.hint, details=result.details
                )
            task.pictures.save(task.index, result)
        except RemoteError:
            raise
        except SdcpuError as error:
            if isinstance(error, OF_THE_MODEL):
                work.given_up[line.model] = error
            work.failed.add(line.number)
            yield LineFailed(line=line, error=error)
        else:
            if task.pictures.are_complete:
                yield task.pictures.note()

    def _result(self, future: Future[Any]) -> GeneratedImage | PictureFailure:
        """What became of a task.

        Raises:
            EngineCrashedError: it ended every process that it was given to.
            RemoteError: the cluster forgot it.
        """
        if future.status == "cancelled":
            raise self._lost()
        try:
            result = future.result()
        except KilledWorker as error:
            raise EngineCrashedError(
                "The processes of the cluster that drew it ended, one after the other.",
                hint="Perhaps their memory is too small; their logs say more.",
            ) from error
        except (asyncio.CancelledError, OSError) as error:
            raise self._lost() from error
        assert isinstance(result, GeneratedImage | PictureFailure)  # noqa: S101
        return result

    def _lost(self) -> RemoteError:
        return RemoteError(
            f"The cluster at {self._address} was lost.",
            hint="What is drawn is kept; the same command with --resume goes on.",
        )

    def _progress(self, work: _Work, news: Mapping[str, Any]) -> Iterator[LineProgress]:
        told = dict(news)
        worker, number = told.pop("worker"), told.pop("line")
        event = DownloadProgress(**told) if told.keys() == _NEWS_OF_DOWNLOADS else Progress(**told)
        for task in work.tasks.values():
            if task.order.line == number:
                place = self._place_of(worker)
                yield LineProgress(line=task.pictures.line, event=event, worker=place)
                return

    def _place_of(self, worker: str) -> int:
        """The place of a process, counted from 0; one that is silent for long loses the first."""
        now = time.monotonic()
        if worker not in self._places:
            self._places.append(worker)
        place = self._places.index(worker)
        if place and now - self._heard_of_first > _SECONDS_OF_SILENCE:
            self._places[0], self._places[place] = worker, self._places[0]
            place = 0
        if place == 0:
            self._heard_of_first = now
        return place


def reachable(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with whole paths, which mean the same wherever the folder is seen.

    >>> reachable({"prompt": "a cat", "init_image": Path("/photos/cat.png")})["init_image"]
    PosixPath('/photos/cat.png')
    """
    texts = {"prompt", "negative_prompt"}
    return {name: value if name in texts else _whole_path(value) for name, value in request.items()}


def _whole_path(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_whole_path(each) for each in value)
    if isinstance(value, Path):
        return value.absolute()
    if isinstance(value, str) and Path(value).is_file():
        return str(Path(value).absolute())
    return value
