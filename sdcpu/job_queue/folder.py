"""The folder of a queue: held by one process, with a place for everything."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from sdcpu.errors import QueueFolderError
from sdcpu.figures import size_text

DATABASE = "queue.sqlite3"
LEAST_FREE = 100_000_000
"""Bytes that must be free before a job is taken or drawn: better than to lose what was drawn."""
_COMPANIONS = ("", "-wal", "-shm")
"""Endings of the files that SQLite keeps for one database."""


class QueueFolder:
    """Where a queue keeps its jobs; entering holds it alone.

    The system takes the lock back from a process that dies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / DATABASE
        self.uploads = self.path / "uploads"
        self._jobs = self.path / "jobs"
        self._lock = FileLock(self.path / ".queue.lock", thread_local=False)

    def __enter__(self) -> Self:
        """Make the folder and hold it.

        Raises:
            QueueFolderError: another process holds it, or it cannot be made.
        """
        with translated(self.path):
            for folder in (self._jobs, self.uploads):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise QueueFolderError(
                    f"Another sdcpu works with the queue in {self.path}.",
                    hint="Stop it, or give this one a folder of its own.",
                ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def job(self, job_id: str) -> Path:
        """The folder of a job's pictures."""
        return self._jobs / job_id

    def input(self, job_id: str, place: tuple[str, int]) -> Path:
        """Where a job keeps a picture that it was brought: by field, and number in the field."""
        field, number = place
        return self.job(job_id) / "inputs" / f"{field}-{number}"

    def check_space(self) -> None:
        """Make sure that the disk has room for a few pictures.

        Raises:
            QueueFolderError: it has not.
        """
        with translated(self.path):
            free = shutil.disk_usage(self.path).free
        if free < LEAST_FREE:
            raise QueueFolderError(
                f"The disk of {self.path} is nearly full: {size_text(free)} are free.",
                hint=f"Free {size_text(LEAST_FREE)}; the queue then goes on by itself.",
            )

    def set_database_aside(self, stamp: str) -> Path:
        """Move a database that cannot be read away, and the jobs' folders with it; where to."""
        aside = self.path / f"broken-{stamp}"
        with translated(self.path):
            aside.mkdir()
            for ending in _COMPANIONS:
                file = self.database.with_name(DATABASE + ending)
                if file.exists():
                    file.replace(aside / file.name)
            self._jobs.replace(aside / self._jobs.name)
            self._jobs.mkdir()
        return aside

    def remove_job(self, job_id: str) -> None:
        """Delete a job's folder, as far as that can be done."""
        shutil.rmtree(self.job(job_id), ignore_errors=True)

    def remove_other_jobs(self, known: Collection[str]) -> None:
        """Delete the folders of jobs that are not known: they were never taken, or are deleted."""
        for folder in self._jobs.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def remove_unfinished(self, job_id: str) -> None:
        """Delete what a process that died left half written in a job's folder."""
        for file in self.job(job_id).glob(".*"):
            with contextlib.suppress(OSError):
                file.unlink()


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the system says of files into an error of ours."""
    try:
        yield
    except OSError as error:
        raise QueueFolderError(
            f"The queue's folder {path} cannot be used: {error.strerror or error}.",
            hint="Free space on its disk, or choose another folder.",
        ) from error
