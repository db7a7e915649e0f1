"""Names for picture files, made from prompts and numbers."""

from __future__ import annotations

import re
from pathlib import Path

MAX_SLUG_CHARACTERS = 60


def slug(prompt: str) -> str:
    """Turn a prompt into the beginning of a file name.

    >>> slug("A red circle, on a *blue* background!")
    'a-red-circle-on-a-blue-background'
    >>> slug("🙂")
    'picture'
    """
    words = "-".join(re.findall(r"\w+", prompt.lower()))
    if len(words) > MAX_SLUG_CHARACTERS:
        words = words[: MAX_SLUG_CHARACTERS + 1].rpartition("-")[0] or words[:MAX_SLUG_CHARACTERS]
    # A name's limit is 255 bytes on most file systems; letters outside ASCII take up to four.
    return words.encode()[:160].decode(errors="ignore") or "picture"


def numbered(path: Path, index: int, count: int) -> Path:
    """The name of one of `count` pictures, which are counted from 0; a single one has no number.

    >>> numbered(Path("cat.png"), 1, 3).name
    'cat-2.png'
    """
    return path if count == 1 else path.with_name(f"{path.stem}-{index + 1}{path.suffix}")


def picture_stem(prompt: str, seed: int) -> str:
    """What a picture is called where nothing else was said, without its ending."""
    return f"{slug(prompt)}-{seed}"


def unused_path(folder: Path, stem: str, ending: str) -> Path:
    """A name that no file has, with a number behind the stem where that is needed.

    >>> unused_path(Path("nowhere"), "a-cat-7", ".png").name
    'a-cat-7.png'
    """
    path, number = folder / f"{stem}{ending}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{ending}"
    return path
