"""Pictures that clients brought: opened in a process of their own, kept as plain PNG files."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdcpu.server.answers import Problem
from sdcpu.server.limits import ServerLimits
from sdcpu.settings import child_environment

FOLDER = "uploads"
"""Inside the queue's folder: `upload:ID` in a request is the file ID.png there."""
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_AT_ONCE = 2
_START_SECONDS = 20
"""For a process to start on a busy machine, besides what it may take to decode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A picture that came in."""

    id: str
    width: int
    """Pixels."""
    height: int
    recipe: dict[str, Any] | None = None
    """How sdcpu made it, where it did and the picture says so."""
    parameters: str | None = None
    """How another program made it, in its own words."""


class Uploads:
    """The pictures in one folder.

    >>> Uploads(Path("queue"), ServerLimits()).path("../../etc/passwd") is None
    True
    """

    def __init__(
        self,
        folder: Path,
        limits: ServerLimits,
        in_use: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        """`in_use` names the ids that jobs still need; others may be deleted when it is full."""
        self._folder = folder / FOLDER
        self._limits = limits
        self._in_use = in_use
        self._decoding = threading.BoundedSemaphore(_AT_ONCE)

    def path(self, upload_id: str) -> Path | None:
        """Where a picture is kept; None where there is none of this id."""
        if not _ID.fullmatch(upload_id):
            return None
        path = self._folder / f"{upload_id}.png"
        return path if path.is_file() else None

    def new_file(self) -> Path:
        """Where a client's bytes may be written before they are taken in."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{secrets.token_urlsafe(12)}.coming"

    def take(self, source: Path) -> Upload:
        """Open what was written to a new file and keep the picture; the file goes in any case.

        Raises:
            Problem: 415 for what is no such picture, 413 for one that is too large.
        """
        upload_id = source.stem
        decoded = source.with_suffix(".decoded")
        try:
            with self._decoding:
                report = self._decode(source, decoded)
            decoded.replace(source.with_suffix(".png"))
        finally:
            source.unlink(missing_ok=True)
            decoded.unlink(missing_ok=True)
        self._make_room()
        return Upload(id=upload_id, **report)

    def take_bytes(self, data: bytes) -> Upload:
        """The same with what is in memory already."""
        if len(data) > self._limits.most_upload_bytes:
            raise Problem(
                413, "too_large", f"A picture has more than {self._limits.most_upload_bytes} bytes."
            )
        source = self.new_file()
        source.write_bytes(data)
        return self.take(source)

    def clear_unfinished(self) -> None:
        """Delete what an earlier run of the server left half done."""
        for pattern in ("*.coming", "*.decoded"):
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _decode(self, source: Path, target: Path) -> dict[str, Any]:
        limits = self._limits
        command = [sys.executable, "-m", "sdcpu.server.picture_decoder", str(source), str(target)]
        command += [str(limits.most_upload_pixels), str(max(1, int(limits.upload_seconds)))]
        command += [str(limits.upload_memory)]
        secret = ("TOKEN", "KEY", "SECRET", "PASSWORD")
        environment = {
            name: value
            for name, value in child_environment().items()
            if not any(word in name.upper() for word in secret)
        }
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=limits.upload_seconds + _START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _unusable("it takes too long") from None
        try:
            report: dict[str, Any] = json.loads(done.stdout)
        except ValueError:  # it was killed: by its limits, or by what is in the picture
            raise _unusable("it takes too much time or memory, or is damaged") from None
        if "error" in report:
            raise _unusable(str(report["error"]))
        return report

    def _make_room(self) -> None:
        kept = sorted(self._folder.glob("*.png"), key=_age)
        surplus = len(kept) - self._limits.most_uploads
        if surplus > 0:
            needed = set(self._in_use())
            for path in [path for path in kept if path.stem not in needed][:surplus]:
                path.unlink(missing_ok=True)


def _unusable(reason: str) -> Problem:
    return Problem(
        415,
        "unusable_picture",
        f"The picture cannot be used: {reason[:300]}.",
        "Send an undamaged PNG, JPEG or WebP file.",
    )


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted by another thread
        return 0.0
