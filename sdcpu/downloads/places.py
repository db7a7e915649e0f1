"""Where the files of models lie: the hub client's cache and our own folder.

The layout of the cache is huggingface_hub's, as its documentation describes it ("Understand
caching"): blobs/<etag>, snapshots/<commit>/<path> pointing there, refs/<branch> naming a commit.
Looking a file up needs no import of huggingface_hub, which takes a quarter of a second.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.downloads.checksums import is_sha256

if TYPE_CHECKING:
    from sdcpu.models import ModelFile
    from sdcpu.settings import Settings

_COMMIT = re.compile(r"[0-9a-f]{40}")
Source = tuple[str, str]
"""Where a file comes from: repository and path, or "" and its address."""


def source(file: ModelFile) -> Source:
    """What two entries share when they mean the same download."""
    return ("", file.url) if file.url else (file.repository or "", file.path)


def is_downloadable(file: ModelFile) -> bool:
    """Whether the file comes over the network at all."""
    return not file.built_in and file.local_path is None and any(source(file))


def locate(file: ModelFile, settings: Settings) -> Path | None:
    """The file as the engine gets it; None while it must be downloaded or quantised."""
    if file.quantize and is_downloadable(file):
        return quantized(file, settings)
    return original(file, settings)


def original(file: ModelFile, settings: Settings) -> Path | None:
    """The file as it was downloaded."""
    if file.repository and not file.url and file.local_path is None:
        return _in_hub_cache(file, settings)
    path = plain_path(file, settings) if file.url else file.local_path
    return path if path is not None and path.is_file() else None


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none, also when it went away just now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def hub_cache(settings: Settings) -> Path:
    """The hub client's cache folder."""
    if settings.hub_cache is not None:
        return settings.hub_cache
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_folder(repository: str, settings: Settings) -> Path:
    """The folder of one repository in the cache."""
    return hub_cache(settings) / f"models--{repository.replace('/', '--')}"


def lock_path(repository: str, etag: str, settings: Settings) -> Path:
    """The lock that huggingface_hub takes for a blob: its users wait for us, and we for them."""
    folder = repository_folder(repository, settings)
    return hub_cache(settings) / ".locks" / folder.name / f"{etag}.lock"


def partial_name(file: ModelFile, etag: str) -> str:
    """The name of an unfinished blob.

    A name of our own, the same in every run, because huggingface_hub 2 downloads into a name that
    is random and deletes it after a break (file_download.py, `_download_to_tmp_and_move`).
    """
    return f"{etag}.{_path_digest(file)}.incomplete"


def partials(file: ModelFile, settings: Settings) -> list[Path]:
    """What unfinished downloads of this file have left."""
    if file.url:
        path = plain_path(file, settings)
        return sorted(path.parent.glob(f"{glob.escape(path.name)}.*.incomplete"))
    blobs = repository_folder(file.repository or "", settings) / "blobs"
    return sorted(blobs.glob(f"*.{_path_digest(file)}.incomplete"))


def blob_name(pointer: Path) -> str:
    """The name of the blob that a file of a snapshot points to; "" where it is a plain file.

    One step of the link only: a blob may itself point into a store that repositories share.
    """
    return pointer.readlink().name if pointer.is_symlink() else ""


def publish(file: ModelFile, *, blob: Path, commit: str, settings: Settings) -> Path:
    """Make a finished blob visible as the file of a commit, for us and for other programs.

    Written here because huggingface_hub only does it after another question to the hub, which may
    fail when all bytes are already here.
    """
    folder = repository_folder(file.repository or "", settings)
    pointer = folder / "snapshots" / commit / file.path
    pointer.parent.mkdir(parents=True, exist_ok=True)
    if not pointer.is_file():
        pointer.unlink(missing_ok=True)  # a link to a blob that is gone
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:  # no symbolic links here, as on Windows without the right to make them
            blob.replace(pointer)
    if file.revision != commit:
        reference = folder / "refs" / file.revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        new = reference.with_name(f"{reference.name}.{os.getpid()}.new")
        new.write_text(commit, encoding="ascii")
        new.replace(reference)
    return pointer


def _in_hub_cache(file: ModelFile, settings: Settings) -> Path | None:
    folder = repository_folder(file.repository or "", settings)
    commit = file.revision
    with suppress(OSError, UnicodeDecodeError):
        commit = (folder / "refs" / file.revision).read_text(encoding="ascii").strip()
    snapshots = folder / "snapshots"
    found = [snapshots / commit / file.path]
    if file.sha256 or not _COMMIT.fullmatch(file.revision):
        # The branch may have moved on since this file came; the hub's client keeps both commits.
        others = (path for path in snapshots.glob(f"*/{glob.escape(file.path)}") if path.is_file())
        found += sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path for path in found if path.is_file() and _may_be(file, path)), None)


def _may_be(file: ModelFile, pointer: Path) -> bool:
    """Blobs are named by their sha256: another name than the pinned one is another version."""
    blob = blob_name(pointer)
    return not (file.sha256 and is_sha256(blob) and blob != file.sha256)


def _path_digest(file: ModelFile) -> str:
    return "sdcpu-" + hashlib.sha256(file.path.encode()).hexdigest()[:8]


def plain_path(file: ModelFile, settings: Settings) -> Path:
    """Where a file that is not on the hub goes; its address makes the folder's name."""
    digest = hashlib.sha256((file.url or "").encode()).hexdigest()[:12]
    return settings.cache_folder / "downloads" / digest / file.name


def quantized_path(file: ModelFile, settings: Settings) -> Path:
    """Where the file goes after it was quantised here: a folder per source, for equal names."""
    digest = hashlib.sha256("\n".join(source(file)).encode()).hexdigest()[:8]
    name = f"{Path(file.name).stem}-{file.quantize}.gguf"
    return settings.cache_folder / "quantized" / digest / name


def quantized(file: ModelFile, settings: Settings) -> Path | None:
    """The quantised file; None when there is none, or it was made from another version."""
    target = quantized_path(file, settings)
    try:
        record = json.loads(_record_path(target).read_text(encoding="utf-8"))
        complete = target.stat().st_size == record["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return target if complete and file.sha256 in (None, record.get("source_sha256")) else None


def record_quantized(file: ModelFile, settings: Settings, *, source_sha256: str | None) -> None:
    """Note what the quantised file was made from; without this note it does not count."""
    target = quantized_path(file, settings)
    record = {
        "source": "/".join(filter(None, source(file))),
        "source_sha256": source_sha256,
        "type": file.quantize,
        "size": target.stat().st_size,
    }
    _record_path(target).write_text(json.dumps(record, indent=1), encoding="utf-8")


def quantized_files(file: ModelFile, settings: Settings) -> list[Path]:
    """All that quantising this file has left on the disk."""
    target = quantized_path(file, settings)
    candidates = (target, _record_path(target), unfinished_path(target), quantized_lock(target))
    return [path for path in candidates if path.is_file()]


def unfinished_path(target: Path) -> Path:
    """What is written before it becomes the quantised file."""
    return target.with_name(f"{target.stem}.unfinished.gguf")


def quantized_lock(target: Path) -> Path:
    """Held while the file is being quantised."""
    return target.with_suffix(".lock")


def _record_path(target: Path) -> Path:
    return target.with_suffix(".json")
