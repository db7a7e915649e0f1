"""The demo model's full-size files in the cache: made on first use, checked, removed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator
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
    models: tuple[str, ...]
    """The names of the models that need it."""
    write: Callable[[Writable], None]


def _model(change: str | None = None, matrices: str = "Q8_0") -> Callable[[Writable], None]:
    def write(file: Writable) -> None:
        from sdcpu.demo import widen  # numpy: only when there is work for it

        widen.write_model(file, change=change, matrices=getattr(widen, matrices))

    return write


def _write_tiny_autoencoder(file: Writable) -> None:
    from sdcpu.demo import widen

    widen.write_tiny_autoencoder(file)


def _write_outline(file: Writable) -> None:
    from sdcpu.demo import lora

    lora.write_lora(file)


DEMO_FILES = (
    DemoFile(
        role=FileRole.MODEL,
        name="demo-q8_0.gguf",
        size=614_612_352,
        sha256="900ea023e8d695133fb635c01a8842c8a0c6059dcb454118b6fdabbb1bc78ff0",
        models=("demo",),
        write=_model("lcm"),
    ),
    DemoFile(
        role=FileRole.MODEL,
        name="demo-q4_0.gguf",
        size=540_011_904,
        sha256="164238389516479db0413888adf5c7ceb1f28b83da9b4c590cd65212fa1fd727",
        models=("demo-q4_0",),
        write=_model("lcm", "Q4_0"),
    ),
    DemoFile(
        role=FileRole.MODEL,
        name="demo-base-q8_0.gguf",
        size=614_612_352,
        sha256="cf8222e008f1a81cf40a1cc9422d661d682c1c817c78c8ed7afd5255c173f0aa",
        models=("demo-base",),
        write=_model(),
    ),
    DemoFile(
        role=FileRole.MODEL,
        name="demo-base-q4_0.gguf",
        size=540_011_904,
        sha256="6aa4be179bbd0124e7fa50872daa39ac984a9fe0168da23f1681773fb1b661f8",
        models=("demo-base-q4_0",),
        write=_model(matrices="Q4_0"),
    ),
    DemoFile(
        role=FileRole.TINY_DECODER,
        name="demo-taesd.safetensors",
        size=9_793_260,
        sha256="f92c6ea296bc8748ab07123166af39350d2620c930aec7990133955d2c213de8",
        models=("demo", "demo-q4_0", "demo-base", "demo-base-q4_0"),
        write=_write_tiny_autoencoder,
    ),
    DemoFile(
        role=FileRole.LORA,
        name="demo-outline.safetensors",
        size=4_624_652,
        sha256="2aa5552ec1106678dbddcd8c932f98725991a72fee93160f93df1210af262e9e",
        models=("demo-outline",),
        write=_write_outline,
    ),
)


def demo_files(cache_folder: Path, model: str = "demo") -> dict[FileRole, Path]:
    """Return the files the engine loads for one of the models; makes those that are missing.

    Raises:
        NotEnoughDiskError: the disk has no room for them.
        ModelFileError: the folder cannot be written.

    >>> from sdcpu.settings import load_settings
    >>> files = demo_files(load_settings().cache_folder)
    >>> files[FileRole.MODEL].name
    'demo-q8_0.gguf'
    """
    wanted = [file for file in DEMO_FILES if model in file.models]
    paths = make_demo_files(cache_folder, {file.name for file in wanted})
    return {file.role: paths[file.name] for file in wanted}


def make_demo_files(cache_folder: Path, names: Collection[str]) -> dict[str, Path]:
    """Make those of the named files that are missing or damaged (some seconds); paths by name.

    Processes that ask at the same time wait for one of them to make the files.

    Raises:
        NotEnoughDiskError: the disk has no room for them.
        ModelFileError: the folder cannot be written.
    """
    folder = cache_folder / _FOLDER
    wanted = [file for file in DEMO_FILES if file.name in names]
    if not all(_is_marked(file, folder) for file in wanted):
        with _only_process(cache_folder):
            folder.mkdir(exist_ok=True)
            for file in wanted:
                _make_unless_right(file, folder)
    return {file.name: folder / file.name for file in wanted}


def ready_demo_files(cache_folder: Path) -> dict[str, Path]:
    """Return, by name, the files that were right when they were last changed; reads no weights.

    >>> ready_demo_files(Path("/no/such/folder"))
    {}
    """
    folder = cache_folder / _FOLDER
    return {file.name: folder / file.name for file in DEMO_FILES if _is_marked(file, folder)}


def remove_demo_files(cache_folder: Path, model: str = "demo") -> int:
    """Delete a model's files and return how many bytes that freed; `demo_files` makes them again.

    What another model here needs stays; without any the whole folder goes.

    Raises:
        ModelFileError: a file cannot be deleted.
    """
    folder = cache_folder / _FOLDER
    if not folder.is_dir():
        return 0
    with _only_process(cache_folder):
        others = _models_here(folder) - {model}
        if not others:
            freed = sum(path.stat().st_size for path in folder.iterdir())
            shutil.rmtree(folder)
            return freed
        gone = [file for file in DEMO_FILES if model in file.models and not others & {*file.models}]
        paths = [path for file in gone for path in folder.glob(f"{file.name}*")]
        freed = sum(path.stat().st_size for path in paths)
        for path in paths:
            path.unlink()
    return freed


def _models_here(folder: Path) -> set[str]:
    """The models of which a file that no other needs is here."""
    own = {file.models[0]: file for file in DEMO_FILES if len(file.models) == 1}
    return {model for model, file in own.items() if (folder / file.name).exists()}


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
        return _no_room(max(file.size for file in DEMO_FILES), 0, folder)
    return ModelFileError(
        f"The demo model's folder {folder} cannot be used: {error.strerror or error}.",
        hint="Set SDCPU_CACHE to a folder that you may write to.",
    )
