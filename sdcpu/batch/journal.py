"""What became of each line of a batch, in a small file beside the pictures.

The first line says the format and the number that seeds were made from; every later line tells of
one line of the batch. A line is written in one piece when its pictures are on the disk, so that
the file is right whenever the program is killed; what was cut off is left out when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sdcpu.batch.lines import BatchLine
from sdcpu.errors import InvalidRequestError
from sdcpu.whole_file import written_whole

FORMAT = 1
ENDING = ".journal"
_SEED_BITS = 32
"""As many as the engine's noise takes."""


class Journal:
    """The journal of a batch; any thread may use it. A line takes 8 bytes of memory.

    Raises:
        InvalidRequestError: it cannot be written, or it is no journal.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Begin a journal in place of one that may be there, or go on with it."""
        self.path = path
        self._places = array("q")
        self._lock = threading.RLock()
        try:
            if not resume or not path.exists():
                begin = {"format": FORMAT, "seed": secrets.randbits(64)}
                with written_whole(path) as file:
                    file.write(_written(begin))
            self._file: BinaryIO = path.open("r+b")
        except OSError as error:
            raise InvalidRequestError(
                f"The journal {path} cannot be written: {error.strerror}.",
                hint="Choose another folder with -o.",
            ) from error
        self._seed = self._read()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def seed_of(self, number: int) -> int:
        """The seed of a line that names none: the same when the batch is resumed."""
        digest = hashlib.sha256(f"{self._seed} {number}".encode()).digest()
        return int.from_bytes(digest[: _SEED_BITS // 8], "big")

    def is_done(self, line: BatchLine) -> bool:
        """Whether this very line was drawn, and its pictures are still there."""
        record = self.record_of(line.number)
        if record is None or record.get("digest") != line.digest or "files" not in record:
            return False
        return all((self.path.parent / name).is_file() for name in record["files"])

    def record_of(self, number: int) -> dict[str, Any] | None:
        """What was last noted of a line, with its number as "line"; None: nothing."""
        place = self._places[number] if number < len(self._places) else 0
        return self._record_at(place) if place else None

    def records(self) -> Iterator[dict[str, Any]]:
        """What was last noted of each line, in the order of the lines."""
        for place in self._places:
            if place:
                yield self._record_at(place)

    def note_pictures(
        self, line: BatchLine, files: Sequence[Path], *, seeds: Sequence[int], seconds: float
    ) -> None:
        """Note that a line's pictures are on the disk; seconds are what they took."""
        names = [file.relative_to(self.path.parent).as_posix() for file in files]
        self._note(line, {"files": names, "seeds": list(seeds), "seconds": round(seconds, 3)})

    def note_failure(self, line: BatchLine, error: Exception) -> None:
        """Note why a line could not be drawn."""
        self._note(line, {"error": str(error)})

    def _note(self, line: BatchLine, what: dict[str, Any]) -> None:
        with self._lock:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(_written({"line": line.number, "digest": line.digest, **what}))
            self._file.flush()
            self._remember(line.number, place)

    def _record_at(self, place: int) -> dict[str, Any]:
        with self._lock:
            self._file.seek(place)
            record = json.loads(self._file.readline())
        return record if isinstance(record, dict) else {}

    def _read(self) -> int:
        """Note the places of all records, drop a half one at the end, and return the seed."""
        try:
            head = json.loads(self._file.readline(1000))
            if head["format"] != FORMAT:
                raise ValueError("it was written by another version")
            seed = int(head["seed"])
            while True:
                place = self._file.tell()
                written = self._file.readline()
                if not written.endswith(b"\n"):
                    self._file.truncate(place)
                    return seed
                self._remember(int(json.loads(written)["line"]), place)
        except (ValueError, KeyError, TypeError) as error:
            self._file.close()
            raise InvalidRequestError(
                f"{self.path} is no journal of a batch: {error}.",
                hint="Move it away, and begin without --resume.",
            ) from error

    def _remember(self, number: int, place: int) -> None:
        if number >= len(self._places):
            self._places.extend([0] * (number + 1 - len(self._places)))
        self._places[number] = place


def _written(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
