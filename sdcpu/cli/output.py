"""How things are printed: results, notes, errors, tables, and figures for people."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence

import click

from sdcpu.errors import SdcpuError


def print_result(text: str) -> None:
    """Print what was asked for, to standard output."""
    click.echo(text)


def print_json(value: object) -> None:
    """Print a report for programs, to standard output."""
    from sdcpu.report import plain

    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def print_note(text: str) -> None:
    """Print something worth knowing, to standard error."""
    click.echo(text, err=True)


def print_error(message: str, hint: str = "") -> None:
    """Print what went wrong in one line, and what to do about it in another, to standard error."""
    click.echo(f"sdcpu: {' '.join(message.split())}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


def print_error_json(error: SdcpuError) -> None:
    """Print an error for programs, to standard output in place of the report."""
    print_json(
        {
            "error": {
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "details": error.details,
            }
        }
    )


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns; a terminal cuts the last one at its edge, a pipe gets it whole."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings) - 1)]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for number, line in enumerate(lines):
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=False)]
        text = "  ".join([*cells, line[-1]]).rstrip()
        if edge and len(text) > edge:
            text = text[: edge - 1] + "…"
        click.echo(click.style(text, bold=number == 0))


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns; a name repeated below itself is left out."""
    width = max(len(name) for name, _ in fields)
    previous = ""
    for name, value in fields:
        click.echo(f"{'' if name == previous else name:<{width}}  {value}".rstrip())
        previous = name


def size_text(size: float | None) -> str:
    """Say a number of bytes.

    >>> size_text(2_293_000_000), size_text(9_793_292), size_text(None)
    ('2.3 GB', '9.8 MB', '?')
    """
    if size is None:
        return "?"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            figure = size / factor
            return f"{figure:.0f} {unit}" if figure >= 100 else f"{figure:.1f} {unit}"
    return f"{size:.0f} B"


def duration_text(seconds: float | None) -> str:
    """Say a duration, no more exactly than a person needs it.

    >>> duration_text(0.42), duration_text(7.2), duration_text(130), duration_text(4000)
    ('0.4 s', '7 s', '2 min 10 s', '1 h 7 min')
    """
    if seconds is None:
        return "?"
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
