"""Numbers of bytes in words."""

from __future__ import annotations


def size_text(size: float) -> str:
    """Say a number of bytes, in units of 1000 as shops and hubs count.

    >>> size_text(2_023_745_376), size_text(614_000_000), size_text(9_793_292), size_text(12)
    ('2.0 GB', '614 MB', '9.8 MB', '12 bytes')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor * 0.9995:
            figure = size / factor
            return f"{figure:.0f} {unit}" if figure >= 99.95 else f"{figure:.1f} {unit}"
    return f"{size:.0f} bytes"
