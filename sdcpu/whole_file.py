"""Files that are written in one piece or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def written_whole(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a stream whose content becomes the file `path` when the block ends well.

    Until then, and when the block raises, even by Ctrl-C, what was at `path` stays. The content
    goes into a hidden file beside it, so that a full disk leaves nothing half written.

    Raises:
        OSError: the folder cannot be written, or the disk is full; FileExistsError when the file
            is there and must not be overwritten.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with written_whole(path) as file:
    ...     _ = file.write(b"whole")
    >>> path.read_bytes()
    b'whole'
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.chmod(0o666 & ~_umask())
        if overwrite:
            temporary.replace(path)
        else:
            _place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _place(temporary: Path, path: Path) -> None:
    """Move a file to a place that must be free."""
    try:
        # A hard link, unlike a rename, refuses to replace what appeared meanwhile.
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, such as FAT
        if path.exists():
            raise FileExistsError(17, "File exists", str(path)) from None
        temporary.replace(path)


def _umask() -> int:
    """The mask of new files' rights, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
