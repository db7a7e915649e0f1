"""What clients are told says nothing of where this machine keeps its files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

_WORDS = frozenset({"prompt", "negative_prompt"})
"""Fields in which a person may have written anything."""


class Discretion:
    """Leaves folders out of plans and sentences; the names of files in them stay.

    >>> Discretion([Path("/srv/queue")]).sentence("The disk of /srv/queue/jobs is full.")
    'The disk of jobs is full.'
    >>> Discretion([Path("/srv/queue")]).sentence("The folder /srv/queue is full.")
    'The folder queue is full.'
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        """`folders` are those to be left out of sentences, besides home and the program's own."""
        own = (Path.home(), Path(sys.prefix), Path(__file__).parents[2])
        known = {str(folder.absolute()) for folder in (*folders, *own)}
        longest_first = sorted((each for each in known if len(each) > 1), key=len, reverse=True)
        either = "|".join(map(re.escape, longest_first))
        self._folder = re.compile(rf"(?:{either})(?:(?P<inside>[/\\])|(?![\w.-]))")

    def sentence(self, text: str) -> str:
        """A sentence without them."""
        return self._folder.sub(lambda found: "" if found["inside"] else _short(found[0]), text)

    def plan(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """A plan as JSON with every path cut to its name; what somebody wrote is left alone.

        >>> Discretion([]).plan({"library": "/opt/engine/lib.so", "prompt": "/opt/engine"})
        {'library': 'lib.so', 'prompt': '/opt/engine'}
        """
        return {key: each if key in _WORDS else self._told(each) for key, each in plan.items()}

    def _told(self, value: Any) -> Any:
        if isinstance(value, str):
            return _name(value) if _is_path(value) else self.sentence(value)
        if isinstance(value, Mapping):
            return self.plan(value)
        return [self._told(each) for each in value] if isinstance(value, list | tuple) else value


def _short(folder: str) -> str:
    """Home is called after a person."""
    return "~" if folder == str(Path.home()) else Path(folder).name


def _is_path(text: str) -> bool:
    posix, windows = PurePosixPath(text), PureWindowsPath(text)
    return posix.is_absolute() or windows.is_absolute()


def _name(path: str) -> str:
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
