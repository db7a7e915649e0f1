"""`sdcpu styles`: the styles that --style takes."""

from __future__ import annotations

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_json, print_note, print_table


@click.command(
    short_help="List the styles that a picture can have.",
    epilog="""\b
Examples:
  sdcpu styles
  sdcpu styles --json""",
)
@json_option
def styles(as_json: bool) -> None:
    """List the styles that --style takes: ours, and yours in a styles.toml."""
    from sdcpu.settings import load_settings
    from sdcpu.styles import load_styles

    file = load_settings().styles_file
    known = load_styles(file)
    if as_json:
        print_json(list(known.values()))
        return
    print_table(
        ("NAME", "WHAT IT GIVES", "WORDS"),
        [(style.name, style.summary, style.prompt) for style in known.values()],
    )
    print_note(f"\nYour own go into {file}, in the same form as sdcpu's styles.toml.")
