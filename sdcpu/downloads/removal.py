"""Deleting what was downloaded, and nothing that belongs to somebody else."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.downloads import places
from sdcpu.downloads.checksums import VerifiedFiles
from sdcpu.downloads.remote import quiet_hub
from sdcpu.errors import ModelError

if TYPE_CHECKING:
    from sdcpu.models import Model, ModelFile
    from sdcpu.settings import Settings


def remove_model(model: Model, settings: Settings, keep: Collection[ModelFile] = ()) -> int:
    """Delete a model's files, finished or not, and return the bytes this freed.

    Files of `keep` stay: those that other models use. So do files that were given from disk.

    Raises:
        ModelError: the hub's cache is damaged, or a file cannot be deleted.
    """
    kept = {places.source(file) for file in keep}
    kept_quantized = {(places.source(file), file.quantize) for file in keep}
    freed = 0
    for file in model.files:
        if not places.is_downloadable(file):
            continue
        try:
            if places.source(file) not in kept:
                freed += delete_original(file, settings)
            if file.quantize and (places.source(file), file.quantize) not in kept_quantized:
                freed += _delete_quantized(file, settings)
        except OSError as error:
            raise ModelError(
                f"{file.path} cannot be deleted: {error}.",
                hint="Check the rights of the cache folder.",
            ) from error
    return freed


def delete_original(file: ModelFile, settings: Settings) -> int:
    """Delete a downloaded file and what unfinished downloads of it left; return the bytes freed."""
    path = places.original(file, settings)
    if path is not None:
        VerifiedFiles(settings.state_folder).forget(path)
    freed = sum(_unlink(partial) for partial in places.partials(file, settings))
    if file.url:
        plain = places.plain_path(file, settings)
        freed += _unlink(plain) if plain.is_file() else 0
        shutil.rmtree(plain.parent, ignore_errors=True)
    elif file.repository:
        freed += _delete_from_hub_cache(file, settings) if path is not None else 0
        _tidy(places.repository_folder(file.repository, settings))
    return freed


def _delete_from_hub_cache(file: ModelFile, settings: Settings) -> int:
    """Delete all versions of the file through huggingface_hub, which knows who shares a blob."""
    from huggingface_hub import scan_cache_dir

    folder = places.repository_folder(file.repository or "", settings).resolve()
    with quiet_hub():
        scanned = scan_cache_dir(places.hub_cache(settings))
        doomed = [
            cached
            for repository in scanned.repos
            if repository.repo_path == folder
            for revision in repository.revisions
            for cached in revision.files
            if cached.file_path.relative_to(revision.snapshot_path).as_posix() == file.path
        ]
        if not doomed:
            complaints = [
                str(warning) for warning in scanned.warnings if folder.name in str(warning)
            ]
            raise ModelError(
                f"{file.path} cannot be deleted: the hub's cache is damaged there. "
                + " ".join(complaints),
                hint=f"Delete the folder {folder} by hand.",
            )
        strategy = scanned.delete_files(*doomed)
        strategy.execute()
    return strategy.expected_freed_size


def _tidy(folder: Path) -> None:
    """Delete a repository's folder when none of its files is left."""
    kinds = (folder / "blobs", folder / "snapshots")
    left = (path for kind in kinds for path in kind.rglob("*"))
    if folder.is_dir() and not any(path.is_file() or path.is_symlink() for path in left):
        shutil.rmtree(folder)


def _delete_quantized(file: ModelFile, settings: Settings) -> int:
    freed = sum(_unlink(path) for path in places.quantized_files(file, settings))
    shutil.rmtree(places.quantized_path(file, settings).parent, ignore_errors=True)
    return freed


def _unlink(path: Path) -> int:
    size = path.stat().st_size
    path.unlink()
    return size
