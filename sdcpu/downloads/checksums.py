"""The sha256 of files, and remembering which files were verified."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1024 * 1024


def is_sha256(text: str) -> bool:
    """Whether the text is 64 lower-case hexadecimal digits, as the hub writes a sha256."""
    return _SHA256.fullmatch(text) is not None


def sha256_of(path: Path, advance: Callable[[int], object] = int) -> str:
    """Hash a file; `advance` is told the bytes of each piece.

    >>> sha256_of(Path("/dev/null"))[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


class VerifiedFiles:
    """Which files have been hashed, so that gigabytes are not read again at each start.

    A file counts as the same while its path, size and time of change are the same. Losing the
    record costs time, nothing else: it may be deleted, and a folder that cannot be written is fine.
    """

    def __init__(self, state_folder: Path) -> None:
        self._record = state_folder / "verified.json"

    def sha256(self, path: Path) -> str | None:
        """The file's sha256 as it was verified; None when it was not, or has changed since."""
        entry = self._entries().get(str(path.resolve()))
        if not isinstance(entry, dict) or entry.get("stamp") != _stamp(path):
            return None
        return str(entry.get("sha256"))

    def remember(self, path: Path, sha256: str) -> None:
        """Note that the file was hashed."""
        self._write(path, {"stamp": _stamp(path), "sha256": sha256})

    def forget(self, path: Path) -> None:
        """Strike out a file that is gone."""
        self._write(path, None)

    def _entries(self) -> dict[str, dict[str, object]]:
        try:
            entries = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}

    def _write(self, path: Path, entry: dict[str, object] | None) -> None:
        entries = self._entries()
        before = entries.pop(str(path.resolve()), None)
        if entry is not None:
            entries[str(path.resolve())] = entry
        if entry == before:
            return
        new = self._record.with_name(f"verified.{os.getpid()}.json")
        with suppress(OSError):
            self._record.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(entries, indent=1), encoding="utf-8")
            new.replace(self._record)


def _stamp(path: Path) -> list[int]:
    """What changes when the file's content does: size and time of change in nanoseconds."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]
