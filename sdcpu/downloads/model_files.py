"""All files of a model: where they are, and downloading those that are not here."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.downloads import places
from sdcpu.downloads.background import Task, in_background
from sdcpu.downloads.checksums import VerifiedFiles, is_sha256, sha256_of
from sdcpu.downloads.locks import Lock
from sdcpu.downloads.remote import Remote, describe, quiet_hub
from sdcpu.downloads.removal import delete_original
from sdcpu.downloads.transfer import Patience, Retries, checksum_error, fetch
from sdcpu.errors import DownloadError, ModelNotDownloadedError, NotEnoughDiskError
from sdcpu.events import DownloadProgress
from sdcpu.figures import size_text

if TYPE_CHECKING:
    from sdcpu.models import Model, ModelFile
    from sdcpu.settings import Settings

Quantizer = Callable[[Path, Path, str], None]
"""Writes the model file `source` to `target` with its tensors in another type."""

_QUANTIZED_SHARE = 0.85
"""Size of a quantised file over its source in f16, at most: convolutions stay in f16. The worst
known is SD 1.5, of 2.13 GB, as q8_0 1.76 GB (second-state/stable-diffusion-v1-5-GGUF)."""
_SPARE_ROOM = 64 * 1024 * 1024
"""Bytes that stay free on the disk."""


def locate_files(model: Model, settings: Settings) -> dict[ModelFile, Path | None]:
    """Say where each file of a model is; None for what must be downloaded (or quantised) first.

    Looks at the disk only: no network, no hashing. A file that another program put into the hub's
    cache is here, and `download_model` verifies it once.

    >>> from sdcpu.registry import load_registry
    >>> from sdcpu.settings import load_settings
    >>> model = load_registry(None).find("sd-turbo")
    >>> paths = locate_files(model, load_settings({}))
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
) -> Generator[DownloadProgress, None, None]:
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
    patience = patience or Patience()
    files = {places.source(file): file for file in model.files if places.is_downloadable(file)}
    missing = [file for file in files.values() if _must_be_downloaded(file, settings)]
    large = [file for file in files.values() if quantize and _must_be_quantized(file, settings)]
    verified = VerifiedFiles(settings.state_folder)
    remotes: list[Remote] = []
    if missing and settings.offline:
        raise _offline(model, missing)
    if missing:
        remotes = yield from in_background(partial(_describe_all, missing, settings, patience))
    _check_room(remotes, large, settings)
    for remote in remotes:
        yield from in_background(partial(_fetch, remote, settings, patience, verified))
    for file in files.values():
        yield from _verify(file, settings, verified)
    for file in large:
        if quantize:
            yield from _quantize(file, settings, quantize, verified)


def _must_be_downloaded(file: ModelFile, settings: Settings) -> bool:
    return places.locate(file, settings) is None and places.original(file, settings) is None


def _must_be_quantized(file: ModelFile, settings: Settings) -> bool:
    return file.quantize is not None and places.quantized(file, settings) is None


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

    task.begin(file.path, total=file.size or 0)
    endpoint = settings.hub_endpoint or "https://huggingface.co"
    retries = Retries(task, patience, file, file.url or endpoint)
    while True:
        try:
            return describe(file, settings, patience.seconds_to_answer)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            retries.after(error)


def _check_room(remotes: list[Remote], large: list[ModelFile], settings: Settings) -> None:
    """Refuse before the first byte when all that will be written does not fit together."""
    demands = [(remote.target.parent, remote.missing) for remote in remotes]
    sizes = {remote.file: remote.size or remote.file.size or 0 for remote in remotes}
    for file in large:
        path = places.original(file, settings)
        size = path.stat().st_size if path else sizes.get(file, 0)
        demands.append((settings.cache_folder, round(size * _QUANTIZED_SHARE)))
    needed: dict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for folder, demand in demands:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        device = existing.stat().st_dev
        folders.setdefault(device, existing)
        needed[device] += demand
    for device, demand in needed.items():
        free = shutil.disk_usage(folders[device]).free
        lacking = demand + _SPARE_ROOM - free
        if demand and lacking > 0:
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
    target = places.quantized_path(file, settings)
    unfinished = places.unfinished_path(target)
    yield DownloadProgress(file=target.name, done=0, total=0)
    with Lock(places.quantized_lock(target)) as lock:
        while not lock.acquired():
            yield DownloadProgress(file=target.name, done=places.size_of(unfinished), total=0)
        source = places.original(file, settings)
        if source is not None and places.quantized(file, settings) is None:
            try:
                quantize(source, unfinished, file.quantize or "")
                if not unfinished.is_file():
                    raise DownloadError(f"Quantising {file.path} to {file.quantize} wrote nothing.")
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
            places.record_quantized(file, settings, source_sha256=verified.sha256(source))
            if not settings.keep_original:
                delete_original(file, settings)
    if size := places.size_of(target):
        yield DownloadProgress(file=target.name, done=size, total=size)
