"""The engine's source as the binding's package on PyPI has it: fetched once, checked, unpacked."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sdcpu.binding import BINDING, BINDING_VERSION
from sdcpu.errors import BuildError, ChecksumError, DownloadError
from sdcpu.events import DownloadProgress
from sdcpu.settings import Settings
from sdcpu.whole_file import written_whole

ARCHIVE = f"stable_diffusion_cpp_python-{BINDING_VERSION}.tar.gz"
ARCHIVE_URL = (
    "https://files.pythonhosted.org/packages/b1/06/"
    f"300aba9ac36e2166fbe45b4a29039a76f725ef08796f5472caf3e8c4e08d/{ARCHIVE}"
)
ARCHIVE_SHA256 = "998d1957260dd5ae4e18a8acc0c14b0a8757aaa9f96515197b6d5bbf46df9282"
ARCHIVE_SIZE = 20_561_087
"""Bytes."""

_ENGINE = Path("vendor", "stable-diffusion.cpp")
_FETCH_SECONDS = 60.0
_PIECE = 1 << 20


def fetch_source(settings: Settings) -> Iterator[DownloadProgress]:
    """Download the archive unless it is here; `archive_path` says where it then is.

    Raises:
        DownloadError: it cannot be had, or the network may not be used.
        ChecksumError: it is not the file that is pinned.
    """
    path = archive_path(settings)
    if path.is_file() and path.stat().st_size == ARCHIVE_SIZE:
        return
    by_hand = f"Fetch {ARCHIVE_URL} elsewhere, and name it with --source."
    if settings.offline:
        raise DownloadError(
            "The engine's source is not here, and the network may not be used.", hint=by_hand
        )
    import httpx2

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            written_whole(path) as file,
            httpx2.stream(
                "GET", ARCHIVE_URL, follow_redirects=True, timeout=_FETCH_SECONDS
            ) as response,
        ):
            response.raise_for_status()
            yield from _received(response.iter_bytes(_PIECE), file)
    except (httpx2.HTTPError, OSError) as error:
        raise DownloadError(
            f"The engine's source could not be downloaded: {error}", hint=by_hand
        ) from error


def archive_path(settings: Settings) -> Path:
    """Where the downloaded archive is kept."""
    return settings.cache_folder / "engine-source" / ARCHIVE


def unpack_source(source: Path, folder: Path) -> Path:
    """Unpack an archive of the binding into a folder; return the engine's folder in it.

    `source` may also be the unpacked archive's folder, which is used where it is.

    Raises:
        BuildError: it is not the source of the version that sdcpu knows.
    """
    if source.is_dir():
        return _engine_folder(source, source)
    try:
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise BuildError(
            f"The engine's source {source} cannot be unpacked: {error}",
            hint="Leave --source out to download it.",
        ) from error
    (root,) = list(folder.iterdir())[:1] or (folder,)
    return _engine_folder(root, source)


def _engine_folder(root: Path, source: Path) -> Path:
    try:
        facts = (root / "PKG-INFO").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        facts = []
    engine = root / _ENGINE
    if f"Version: {BINDING_VERSION}" not in facts or not (engine / "CMakeLists.txt").is_file():
        raise BuildError(
            f"{source} is not the source of {BINDING} {BINDING_VERSION}.",
            hint="Leave --source out to download it.",
        )
    return engine


def _received(pieces: Iterator[bytes], file: BinaryIO) -> Iterator[DownloadProgress]:
    digest, done = hashlib.sha256(), 0
    for piece in pieces:
        file.write(piece)
        digest.update(piece)
        done += len(piece)
        yield DownloadProgress(file=ARCHIVE, done=done, total=ARCHIVE_SIZE)
    if digest.hexdigest() != ARCHIVE_SHA256:
        raise ChecksumError(
            "The engine's source that was downloaded is not the one that sdcpu knows.",
            hint="Try again; another file comes from the network in between.",
        )
