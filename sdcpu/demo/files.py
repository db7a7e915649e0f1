"""The demo model's full-size files in the cache: made on first use, checked, removed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sdcpu.errors import ChecksumError, ModelFileError, NotEnoughDiskError
from sdcpu.families import FileRole

if TYPE_CHECKING:
    from sdcpu.demo.widen import Writable

_FOLDER = "demo"
_LOCK = "demo.lock"
_LOCK_TIMEOUT = 300.0
"""Seconds to wait for another process that is making the files; it takes a few seconds."""
_READ_SIZE = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoFile:
    """A file of the demo model: what it must be and how it is made."""

    role: FileRole
    name: str
    size: int
    """Bytes."""
    sha256: str
    write: Callable[[Writable], None]


def _write_model(file: Writable) -> None:
    from sdcpu.demo import widen  # numpy: only when there is work for it

    widen.write_model(file)


def _write_tiny_autoencoder(file: Writable) -> None:
    from sdcpu.demo import widen

    widen.write_tiny_autoencoder(file)


DEMO_FILES = (
    DemoFile(
        role=FileRole.MODEL,
        name="demo-q8_0.gguf",
        size=613_997_952,
        sha256="9da724c9252e12a05498eb5a32db6108657c4503ca91363e205f3b63260450f2",
        write=_write_model,
    ),
    DemoFile(
        role=FileRole.TINY_DECODER,
        name="demo-taesd.safetensors",
        size=9_793_260,
        sha256="fb31c2c8fdf2a90e340d81bc921a639e68649583b21d8b4bf1e77bb33de015b1",
        write=_write_tiny_autoencoder,
    ),
)


def demo_files(cache_folder: Path) -> dict[FileRole, Path]:
    """Return the files the engine loads; makes those that are missing or damaged (some seconds).

    Processes that ask at the same time wait for one of them to make the files.

    Raises:
        NotEnoughDiskError: the disk has no room for them.
        ModelFileError: the folder cannot be written.

    >>> from sdcpu.settings import load_settings
    >>> files = demo_files(load_settings().cache_folder)
    >>> files[FileRole.MODEL].name
    'demo-q8_0.gguf'
    """
    folder = cache_folder / _FOLDER
    if not demo_files_ready(cache_folder):
        with _only_process(cache_folder):
            folder.mkdir(exist_ok=True)
            for file in DEMO_FILES:
                _make_unless_right(file, folder)
    return {file.role: folder / file.name for file in DEMO_FILES}


def demo_files_ready(cache_folder: Path) -> bool:
    """Say whether all files are there and were right when they were last changed; reads no weights.

    >>> demo_files_ready(Path("/no/such/folder"))
    False
    """
    return all(_is_marked(file, cache_folder / _FOLDER) for file in DEMO_FILES)


def remove_demo_files(cache_folder: Path) -> int:
    """Delete the files and return how many bytes that freed; `demo_files` makes them again.

    Raises:
        ModelFileError: a file cannot be deleted.
    """
    folder = cache_folder / _FOLDER
    if not folder.is_dir():
        return 0
    with _only_process(cache_folder):
        freed = sum(path.stat().st_size for path in folder.iterdir())
        shutil.rmtree(folder)
    return freed


@contextlib.contextmanager
def _only_process(cache_folder: Path) -> Iterator[None]:
    """Hold the lock on the demo model's files; what the system refuses becomes our error."""
    from filelock import FileLock, Timeout

    try:
        cache_folder.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_folder / _LOCK, timeout=_LOCK_TIMEOUT):
            yield
    except Timeout as error:
        raise ModelFileError(
            f"Another process has been busy with the demo model in {cache_folder} for "
            f"{_LOCK_TIMEOUT:.0f} seconds.",
            hint="End that process and try again.",
        ) from error
    except OSError as error:
        raise _our_error(error, cache_folder) from error


def _make_unless_right(file: DemoFile, folder: Path) -> None:
    path = folder / file.name
    if _is_marked(file, folder):
        return
    if path.is_file() and path.stat().st_size == file.size and _sha256(path) == file.sha256:
        _mark(file, folder)
        return
    _check_disk_space(file, folder)
    with _written_completely(path) as stream:
        hashing = _HashingWriter(stream)
        file.write(hashing)
        if hashing.sha256 != file.sha256:
            raise ChecksumError(
                f"{file.name} did not come out as it should: sha256 {hashing.sha256} in place of "
                f"{file.sha256}.",
                hint="The installed package is damaged: install sdcpu again.",
            )
    _mark(file, folder)


class _HashingWriter:
    """Writes to a stream and hashes what passes through."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        self._stream.write(data)
        self._hash.update(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@contextlib.contextmanager
def _written_completely(path: Path) -> Iterator[IO[bytes]]:
    """A stream into a temporary file that takes the place of `path` only when all went well."""
    temporary = path.with_name(f"{path.name}.part")  # one name for all: the lock is held
    try:
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _mark(file: DemoFile, folder: Path) -> None:
    """Remember beside the file that it was right, and when it was last changed."""
    marker = folder / f"{file.name}.checked"
    marker.write_text(_expected_mark(file, (folder / file.name).stat()), encoding="ascii")


def _is_marked(file: DemoFile, folder: Path) -> bool:
    try:
        status = (folder / file.name).stat()
        marker = (folder / f"{file.name}.checked").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False
    return status.st_size == file.size and marker == _expected_mark(file, status)


def _expected_mark(file: DemoFile, status: os.stat_result) -> str:
    return f"{file.sha256} {status.st_size} {status.st_mtime_ns}\n"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ_SIZE):
            digest.update(block)
    return digest.hexdigest()


def _check_disk_space(file: DemoFile, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < file.size:
        raise _no_room(file.size, free, folder)


def _no_room(needed: int, free: int, folder: Path) -> NotEnoughDiskError:
    return NotEnoughDiskError(
        f"The demo model needs {needed / 1e6:.0f} MB in {folder}; {free / 1e6:.0f} MB are free.",
        hint="Free some space, or set SDCPU_CACHE to a folder on another disk.",
        details={"needed": needed, "free": free},
    )


def _our_error(error: OSError, folder: Path) -> NotEnoughDiskError | ModelFileError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_room(sum(file.size for file in DEMO_FILES), 0, folder)
    return ModelFileError(
        f"The demo model's folder {folder} cannot be used: {error.strerror or error}.",
        hint="Set SDCPU_CACHE to a folder that you may write to.",
    )
