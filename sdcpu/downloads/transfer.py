"""One file from the other side to its place: resumed, shared, verified.

huggingface_hub knows the hub (addresses, login, answers, the cache and its locks), and is asked
about all of that. The bytes are moved here, because its own download cannot go on after a break:
version 2 deletes what has arrived.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from sdcpu.downloads.locks import Lock
from sdcpu.downloads.places import publish, size_of
from sdcpu.downloads.problems import (
    OversizeError,
    TruncationError,
    explain,
    is_passing,
    seconds_asked_for,
)
from sdcpu.downloads.remote import whole_size
from sdcpu.errors import ChecksumError
from sdcpu.figures import size_text

if TYPE_CHECKING:
    import httpx2

    from sdcpu.downloads.background import Task
    from sdcpu.downloads.remote import Remote
    from sdcpu.models import ModelFile
    from sdcpu.settings import Settings

_CHUNK = 1024 * 1024
_LONGEST_BACKOFF = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long to bear with a hub or a network that fails."""

    attempts: int = 4
    """Attempts without a new byte before giving up; every new byte starts the count again."""
    attempts_to_connect: int = 2
    """The same while nothing at all has been heard: without a network, say so soon."""
    first_wait: float = 1.0
    """Seconds before the second attempt; doubled each time, up to 8."""
    longest_wait: float = 60.0
    """Seconds to wait when the hub asks for it; a longer wait is an error that says so."""
    timeout: float | None = None
    """Seconds to connect, and to hear nothing while connected; None: as huggingface_hub has it
    (HF_HUB_DOWNLOAD_TIMEOUT, else 10)."""

    @property
    def seconds_to_answer(self) -> float:
        """The time-out, decided."""
        from huggingface_hub import constants

        return self.timeout or float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


class Retries:
    """Decides after each failure: wait and try again, or give up."""

    def __init__(self, task: Task, patience: Patience, file: ModelFile, url: str) -> None:
        self._task = task
        self._patience = patience
        self._file = file
        self._url = url
        self._failures = 0
        self._reached = 0

    def after(self, error: Exception, *, reached: int = 0) -> None:
        """Wait before the next attempt, or raise our error.

        `reached` bytes are here: only a new record counts as getting on, so that a server which
        always starts from the beginning is given up as well.
        """
        import httpx2

        if reached > self._reached:
            self._reached, self._failures = reached, 0
        self._failures += 1
        asked = seconds_asked_for(error)
        patience = self._patience
        unheard = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        limit = patience.attempts_to_connect if unheard and not reached else patience.attempts
        if (
            not is_passing(error)
            or self._failures >= limit
            or (asked is not None and asked > patience.longest_wait)
        ):
            raise explain(error, self._file, self._url) from error
        backoff = min(patience.first_wait * 2 ** (self._failures - 1), _LONGEST_BACKOFF)
        self._task.pause(backoff if asked is None else asked)


def fetch(
    remote: Remote,
    settings: Settings,
    task: Task,
    patience: Patience,
    *,
    is_here: Callable[[], bool],
) -> str | None:
    """Bring the file to its place and return its sha256; None when another process had done so.

    Raises:
        DownloadError: it did not work, and why.
    """
    task.begin(remote.file.path, total=remote.size or 0)
    try:
        remote.target.parent.mkdir(parents=True, exist_ok=True)
        with Lock(remote.lock) as lock:
            while not lock.acquired():
                _wait_for_the_other(remote, task)
            if is_here():
                return None
            here = remote.target.is_file()
            sha256 = None if here else _fetch_alone(remote, task, patience)
            if remote.commit:
                publish(remote.file, blob=remote.target, commit=remote.commit, settings=settings)
            return sha256
    except OSError as error:
        raise explain(error, remote.file, remote.url) from error


def _wait_for_the_other(remote: Remote, task: Task) -> None:
    """Show how far the process is that holds the lock."""
    task.check()
    task.advance(max(0, size_of(remote.partial) - task.done))


def _fetch_alone(remote: Remote, task: Task, patience: Patience) -> str:
    continued = remote.partial.is_file()
    sha256 = _completed(remote, task, patience)
    if remote.sha256 not in (None, sha256) and continued:
        # What an earlier run left may have been damaged, by a power cut for example.
        remote.partial.unlink()
        sha256 = _completed(remote, task, patience)
    if remote.sha256 not in (None, sha256):
        remote.partial.unlink()
        raise checksum_error(remote.file, expected=remote.sha256 or "", got=sha256)
    remote.partial.replace(remote.target)
    return sha256


def checksum_error(file: ModelFile, *, expected: str, got: str) -> ChecksumError:
    """The error for a file that was deleted because it is not what it should be."""
    return ChecksumError(
        f"{file.path} is not the file it should be: expected sha256 {expected}, got {got}. "
        "It was deleted.",
        hint="Run the same command again. If it happens twice, the source or a proxy is at fault.",
        details={"file": file.path, "expected": expected, "got": got},
    )


def _completed(remote: Remote, task: Task, patience: Patience) -> str:
    """Receive what is missing of the partial file, in as many attempts as it takes."""
    import httpx2

    retries = Retries(task, patience, remote.file, remote.url)
    with _PartialFile(remote, task) as partial:
        while not partial.is_complete:
            try:
                _receive(partial, remote, task, patience.seconds_to_answer)
            except OversizeError:
                partial.restart()
                raise
            except (httpx2.HTTPError, httpx2.InvalidURL, TruncationError) as error:
                retries.after(error, reached=partial.size)
        return partial.sha256()


def _receive(partial: _PartialFile, remote: Remote, task: Task, timeout: float) -> None:
    """Ask once for what is missing, and append what comes."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import hf_raise_for_status

    task.check()
    headers = {**remote.headers, "Accept-Encoding": "identity"}
    if partial.size:
        headers["Range"] = f"bytes={partial.size}-"
    session = get_session()
    with session.stream("GET", remote.url, headers=headers, timeout=timeout) as response:
        with task.reading(response):
            _agree_on_the_start(partial, response)
            hf_raise_for_status(response)
            for chunk in response.iter_raw():
                task.check()
                partial.append(chunk)
        total = whole_size(response)
    partial.ended(total)


def _agree_on_the_start(partial: _PartialFile, response: httpx2.Response) -> None:
    """Begin again where the server does not go on from where we are."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if response.status_code in (200, 416) and partial.size:
        partial.restart()
    elif response.status_code == 206 and start != str(partial.size):
        partial.restart()
        raise TruncationError("it went on from another place than it was asked to")


class _PartialFile:
    """What has arrived of a file, hashed as it is written."""

    def __init__(self, remote: Remote, task: Task) -> None:
        self._remote = remote
        self._task = task
        self._file: BinaryIO
        self._ended = False

    def __enter__(self) -> _PartialFile:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(self._remote.partial, flags, 0o666), "r+b", buffering=0)
        try:
            self._hash_what_is_here()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def is_complete(self) -> bool:
        return self._ended or self.size == self._remote.size

    def append(self, chunk: bytes) -> None:
        wanted = self._remote.size
        if wanted is not None and self.size + len(chunk) > wanted:
            raise OversizeError(f"more than {wanted} bytes")
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)
        self._task.advance(len(chunk))

    def ended(self, total: int | None) -> None:
        """The body came to its own end; `total` is what the server said of the whole file."""
        if self._remote.size is None:
            self._ended = total is None or self.size == total
        if not self.is_complete:
            wanted = self._remote.size or total or 0
            raise TruncationError(f"{size_text(self.size)} of {size_text(wanted)} came")

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._begin()

    def sha256(self) -> str:
        """The sum of the whole file, which is on the disk for good after this."""
        os.fsync(self._file.fileno())
        return self._hash.hexdigest()

    def _begin(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0
        self._task.begin(self._remote.file.path, total=self._remote.size or 0)

    def _hash_what_is_here(self) -> None:
        self._begin()
        while chunk := self._file.read(_CHUNK):
            self._task.check()
            self._hash.update(chunk)
            self.size += len(chunk)
            self._task.done = self.size
        if self._remote.size is not None and self.size > self._remote.size:
            self.restart()
