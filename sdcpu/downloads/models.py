"""All files of a model: where they are, and downloading those that are not here."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.downloads import places
from sdcpu.downloads.background import Task, in_background
from sdcpu.downloads.checksums import VerifiedFiles, is_sha256, sha256_of
from sdcpu.downloads.problems import size_text
from sdcpu.downloads.remote import Remote, describe, quiet_hub
from sdcpu.downloads.removal import delete_original
from sdcpu.downloads.transfer import Patience, Retries, checksum_error, fetch
from sdcpu.errors import DownloadError, ModelNotDownloadedError, NotEnoughDiskError
from sdcpu.events import DownloadProgress

if TYPE_CHECKING:
    from sdcpu.registry import Model, ModelFile
    from sdcpu.settings import Settings

Quantizer = Callable[[Path, Path, str], None]
"""Writes the model file `source` to `target` with its tensors in another type."""

_QUANTIZED_SHARE = {"q8_0": 0.56, "q5_1": 0.4, "q5_0": 0.37, "q4_1": 0.34, "q4_0": 0.31}
"""Size of the result over the size of a source in f16: bits per weight / 16, and a little for the
tensors that keep their type. A source in f32 only needs half of this."""
_SPARE_ROOM = 64 * 1024 * 1024
"""Bytes that stay free on the disk."""


def locate_files(model: Model, settings: Settings) -> dict[ModelFile, Path | None]:
    """Say where each file of a model is; None for what must be downloaded (or quantised) first.

    Looks at the disk only: no network, no hashing. A file that another program put into the hub's
    cache is here, and `download_model` verifies it once.

    >>> import sdcpu.settings
    >>> model = sdcpu.registry.load_registry(None).find("sd-turbo")
    >>> paths = locate_files(model, sdcpu.settings.load_settings({}))
    >>> len(paths) == len(model.files)
    True
    """
    return {file: places.locate(file, settings) for file in model.files}


def download_model(
    model: Model,
    settings: Settings,
    quantize: Quantizer | None = None,
    *,
    patience: Patience | None = None,
) -> Iterator[DownloadProgress]:
    """Download what is missing of a model, verify it, and quantise what its entry says.

    Yields progress about ten times a second, nothing when all is here and was verified before.
    Leaving the iterator early stops the download; what has arrived stays for the next time.
    Without `quantize` a file that is to be quantised is only downloaded.

    Raises:
        ModelNotDownloadedError: something is missing and settings.offline forbids to download it.
        NotEnoughDiskError: there is no room for all that is missing.
        GatedModelError: the hub wants a login, or its licence accepted.
        ChecksumError: a file is not what it should be; it was deleted.
        DownloadError: anything else that went wrong; the message says what to do.
    """
    files = {places.source(file): file for file in model.files if places.is_downloadable(file)}
    missing = [file for file in files.values() if _must_be_downloaded(file, settings)]
    verified = VerifiedFiles(settings.state_folder)
    if missing and settings.offline:
        raise _offline(model, missing)
    if missing:
        bear = patience or Patience()
        remotes = yield from in_background(partial(_describe_all, missing, settings, bear))
        _check_room(remotes, settings)
        for remote in remotes:
            yield from in_background(partial(_fetch, remote, settings, bear, verified))
    for file in files.values():
        yield from _verify(file, settings, verified)
    for file in files.values():
        if quantize and file.quantize and places.quantized(file, settings) is None:
            yield from _quantize(file, settings, quantize, verified)


def _must_be_downloaded(file: ModelFile, settings: Settings) -> bool:
    return places.locate(file, settings) is None and places.original(file, settings) is None


def _offline(model: Model, missing: list[ModelFile]) -> ModelNotDownloadedError:
    sizes = [
        f"{file.path} ({size_text(file.size) if file.size else 'size unknown'})" for file in missing
    ]
    return ModelNotDownloadedError(
        f"{model.name} is not here, and downloading is switched off. Missing: {', '.join(sizes)}.",
        hint=f"With a network: sdcpu pull {model.name}",
        details={"model": model.name, "bytes": sum(file.size or 0 for file in missing)},
    )


def _describe_all(
    files: list[ModelFile], settings: Settings, patience: Patience, task: Task
) -> list[Remote]:
    """Ask about all files before the first is downloaded: a closed door should show at once."""
    with quiet_hub():
        return [_describe(file, settings, patience, task) for file in files]


def _describe(file: ModelFile, settings: Settings, patience: Patience, task: Task) -> Remote:
    import httpx2
    from huggingface_hub.errors import HFValidationError

    task.begin(file.path, total=file.size or 0)
    endpoint = settings.hub_endpoint or "https://huggingface.co"
    retries = Retries(task, patience, file, file.url or endpoint)
    while True:
        try:
            return describe(file, settings, patience.timeout)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            retries.after(error)
        except HFValidationError as error:
            raise DownloadError(
                f"{file.repository} cannot be the name of a repository: {error}",
                hint='Write it as "owner/name".',
            ) from error


def _check_room(remotes: list[Remote], settings: Settings) -> None:
    """Refuse before the first byte when all files together do not fit, quantising included."""
    needed: dict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for remote in remotes:
        demands = [(remote.target.parent, remote.missing)]
        if remote.file.quantize:
            share = _QUANTIZED_SHARE.get(remote.file.quantize, 1.0)
            size = remote.size or remote.file.size or 0
            demands.append((settings.cache_folder, round(size * share)))
        for folder, demand in demands:
            existing = next(path for path in (folder, *folder.parents) if path.exists())
            device = existing.stat().st_dev
            folders.setdefault(device, existing)
            needed[device] += demand
    for device, demand in needed.items():
        free = shutil.disk_usage(folders[device]).free
        if demand and demand + _SPARE_ROOM > free:
            lacking = demand + _SPARE_ROOM - free
            raise NotEnoughDiskError(
                f"The download needs {size_text(demand)} on the disk of {folders[device]}; "
                f"{size_text(free)} are free.",
                hint=f"Free {size_text(lacking)}, or move the caches: HF_HOME and SDCPU_CACHE.",
                details={"needed": demand, "free": free, "folder": str(folders[device])},
            )


def _fetch(
    remote: Remote, settings: Settings, patience: Patience, verified: VerifiedFiles, task: Task
) -> None:
    file = remote.file
    with quiet_hub():
        sha256 = fetch(
            remote,
            settings,
            task,
            patience,
            is_here=lambda: not _must_be_downloaded(file, settings),
        )
    path = places.original(file, settings)
    if path is not None:
        task.begin(file.path, total=path.stat().st_size, done=path.stat().st_size)
        if sha256:
            verified.remember(path, sha256)


def _verify(
    file: ModelFile, settings: Settings, verified: VerifiedFiles
) -> Iterator[DownloadProgress]:
    """Hash a file that some other program downloaded, once."""
    path = places.original(file, settings)
    expected = file.sha256 or (places.blob_name(path) if path else "")
    if path is None or not is_sha256(expected) or verified.sha256(path) == expected:
        return
    got = yield from in_background(partial(_hash, file, path))
    if got != expected:
        verified.forget(path)
        delete_original(file, settings)
        raise checksum_error(file, expected=expected, got=got)
    verified.remember(path, got)


def _hash(file: ModelFile, path: Path, task: Task) -> str:
    task.begin(file.path, total=path.stat().st_size)

    def advance(count: int) -> None:
        task.check()
        task.advance(count)

    return sha256_of(path, advance)


def _quantize(
    file: ModelFile, settings: Settings, quantize: Quantizer, verified: VerifiedFiles
) -> Iterator[DownloadProgress]:
    """Make the smaller file beside its place, move it there, then let the original go."""
    from huggingface_hub.utils import WeakFileLock

    target = places.quantized_path(file, settings)
    target.parent.mkdir(parents=True, exist_ok=True)
    yield DownloadProgress(file=target.name, done=0, total=0)
    with WeakFileLock(places.quantized_lock(target)):
        source = places.original(file, settings)
        if places.quantized(file, settings) is not None or source is None:
            return
        unfinished = places.unfinished_path(target)
        try:
            quantize(source, unfinished, file.quantize or "")
            if not unfinished.is_file():
                raise DownloadError(f"Quantising {file.path} to {file.quantize} wrote nothing.")
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        places.record_quantized(file, settings, source_sha256=verified.sha256(source))
        if not settings.keep_original:
            verified.forget(source)
            delete_original(file, settings)
    size = target.stat().st_size
    yield DownloadProgress(file=target.name, done=size, total=size)
