"""How things are printed: results, notes, errors and tables."""

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
