"""`sdcpu samplers`: how steps are made and spaced."""

from __future__ import annotations

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_json, print_result, print_table


@click.command(short_help="List samplers and schedulers and what they are good for.")
@json_option
def samplers(as_json: bool) -> None:
    """List the names that --sampler and --scheduler take, and what each is good for."""
    from sdcpu.sampling import SAMPLER_USES, SCHEDULER_USES

    if as_json:
        print_json({"samplers": SAMPLER_USES, "schedulers": SCHEDULER_USES})
        return
    print_table(("sampler", "good for"), list(SAMPLER_USES.items()))
    print_result("")
    print_table(("scheduler", "good for"), list(SCHEDULER_USES.items()))
