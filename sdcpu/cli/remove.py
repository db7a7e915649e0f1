"""`sdcpu remove`: deletes downloads."""

from __future__ import annotations

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_json, print_result
from sdcpu.figures import size_text


@click.command(
    short_help="Delete downloaded models.",
    epilog="""\b
Example:
  sdcpu remove sd-turbo""",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@json_option
def remove(models: tuple[str, ...], as_json: bool) -> None:
    """Delete the downloaded files of models; what other models here need stays.

    Your own files, given by a path, are never deleted.
    """
    from sdcpu.catalog import Catalog
    from sdcpu.settings import load_settings

    catalog = Catalog(load_settings())
    wanted = [catalog.find(name) for name in models]
    freed = {model.name: catalog.remove(model) for model in wanted}
    if as_json:
        print_json([{"model": name, "bytes_freed": size} for name, size in freed.items()])
    else:
        print_result("\n".join(f"{name}: {size_text(size)} freed" for name, size in freed.items()))
