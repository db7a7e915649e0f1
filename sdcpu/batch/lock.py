"""One process at a time for a batch in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from sdcpu.errors import InvalidRequestError


@contextlib.contextmanager
def held_alone(journal: Path) -> Iterator[None]:
    """Hold a batch, named by its journal; the system takes it back from a process that dies.

    Raises:
        InvalidRequestError: another process holds it.
    """
    path = journal.with_name(f".{journal.name}.lock")
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InvalidRequestError(
            f"Another sdcpu is drawing this batch into {journal.parent}.",
            hint="Wait for it, or choose another folder with -o.",
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            path.unlink()
        lock.release()
