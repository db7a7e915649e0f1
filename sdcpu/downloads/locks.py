"""One process at a time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

_LOOK = 0.2
"""Seconds between two looks at a lock that another process holds."""


class Lock:
    """A lock file of huggingface_hub's kind; the system takes it back from a process that dies.

    Waiting is left to the caller, who has something to tell and may have to leave:

        with Lock(path) as lock:
            while not lock.acquired():
                ...
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ExitStack()

    def acquired(self) -> bool:
        """Try for a moment to take the lock."""
        from huggingface_hub.utils import WeakFileLock

        try:
            self._held.enter_context(WeakFileLock(self._path, timeout=_LOOK))
        except TimeoutError:
            return False
        return True

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
