"""Wildcard files: the lines that `__animal__` in a prompt stands for, in a folder of text files."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sdcpu.errors import InvalidRequestError
from sdcpu.settings import load_settings

SUFFIX = ".txt"
MAX_FILE_BYTES = 4_000_000
"""A longer file is no list of words."""
MAX_LISTED = 20
"""Names that an error lists."""


class Wildcards:
    r"""The wildcard files of some folders; the first folder that has a name wins.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "animal.txt").write_text("cat  # small\ndog\n")
    >>> Wildcards([folder]).lines("animal")
    ['cat', 'dog']
    """

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        """Name the folders; None: "wildcards" beside the configuration file."""
        self._folders = folders

    def lines(self, name: str) -> list[str]:
        """The lines of a file, without empty ones and without what follows " #".

        Raises:
            InvalidRequestError: there is no such file, which the hint's names may help; or it is
                empty, too long, or no text.
        """
        folders = self._resolved()
        path = next(
            (path for folder in folders if (path := folder / f"{name}{SUFFIX}").is_file()), None
        )
        if ".." in name.split("/") or path is None:
            raise self._missing(name, folders)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise InvalidRequestError(
                    f"The wildcard file {path} is longer than {MAX_FILE_BYTES // 10**6} MB.",
                    hint="Split it into several.",
                )
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequestError(
                f"The wildcard file {path} cannot be read: {error}.", hint="Save it as UTF-8 text."
            ) from error
        lines = [line for line in map(_without_comment, text.splitlines()) if line]
        if not lines:
            raise InvalidRequestError(
                f"The wildcard file {path} has no lines.", hint="Write one alternative a line."
            )
        return lines

    def names(self) -> Iterator[str]:
        """The names of all files, without their ending."""
        for folder in self._resolved():
            for path in sorted(folder.rglob(f"*{SUFFIX}")):
                yield path.relative_to(folder).with_suffix("").as_posix()

    def _resolved(self) -> Sequence[Path]:
        if self._folders is None:
            self._folders = [load_settings().wildcards_folder]
        return self._folders

    def _missing(self, name: str, folders: Sequence[Path]) -> InvalidRequestError:
        names = list(islice(self.names(), 10_000))
        close = difflib.get_close_matches(name, names, n=3)
        meant = f"Did you mean {' or '.join(f'__{each}__' for each in close)}? " if close else ""
        shown = ", ".join(names[:MAX_LISTED]) + (", …" if len(names) > MAX_LISTED else "")
        there = f"There are: {shown}." if names else "There are none yet."
        return InvalidRequestError(
            f"There is no wildcard file {name}{SUFFIX} in {' or '.join(map(str, folders))}.",
            hint=rf"{meant}{there} To have the underscores drawn, write \__{name}__.",
        )


def _without_comment(line: str) -> str:
    if line.lstrip().startswith("#"):
        return ""
    return line.partition(" #")[0].strip()
