"""`sdcpu mcp`: pictures for agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sdcpu.cli.options import (
    ACCESS,
    PICTURE,
    SERVER,
    Option,
    SectionedCommand,
    machine_from,
    machine_options,
)
from sdcpu.cli.output import print_note
from sdcpu.errors import InvalidRequestError

HOST = "127.0.0.1"


@click.command(
    cls=SectionedCommand,
    short_help="Let agents make pictures, over the Model Context Protocol.",
    epilog="""\b
Examples:
  sdcpu mcp -o ~/Pictures/agent
  sdcpu mcp --http --port 7870
  sdcpu mcp --http --host 0.0.0.0 --token "$(openssl rand -hex 16)\"""",
)
@click.option(
    "-m",
    "--model",
    cls=Option,
    heading=PICTURE,
    metavar="MODEL",
    help="What draws where an agent names none. Without it, the best one that is here.",
)
@click.option("--http", cls=Option, heading=SERVER, is_flag=True, help="Serve over HTTP.")
@click.option(
    "--host",
    cls=Option,
    heading=SERVER,
    default=HOST,
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen. Another than this machine's own needs a token.",
)
@click.option(
    "--port",
    cls=Option,
    heading=SERVER,
    type=click.IntRange(0, 65535),
    default=7870,
    show_default=True,
    metavar="NUMBER",
    help="The port; 0 takes one that is free.",
)
@click.option(
    "--token",
    cls=Option,
    heading=ACCESS,
    metavar="TEXT",
    help="What clients must show, as 'Authorization: Bearer TEXT'. Without it, SDCPU_TOKEN; where "
    "one is needed and there is none, one is made up and printed.",
)
@click.option(
    "--allow-downloads",
    cls=Option,
    heading=ACCESS,
    is_flag=True,
    help="Let agents use models that are not here: they are downloaded.",
)
@machine_options
@click.option(
    "-o",
    "--output",
    cls=Option,
    heading=ACCESS,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where pictures go, and the only folder that agents may name pictures in. Without it, "
    "the folder sdcpu among your pictures.",
)
def mcp(  # noqa: PLR0917 - click passes them by name
    model: str | None,
    http: bool,
    host: str,
    port: int,
    token: str | None,
    allow_downloads: bool,
    output: Path | None,
    **values: Any,
) -> None:
    """Serve tools that make, edit and enlarge pictures to an agent.

    Without --http, the agent's program starts this command and talks to it over standard input and
    output. One picture is made at a time. The model stays loaded.
    """
    from platformdirs import user_pictures_path

    from sdcpu.agents import PictureFolder, Studio
    from sdcpu.agents.extra import extra_needed
    from sdcpu.settings import load_settings

    with extra_needed():
        from sdcpu.agents.mcp_access import is_loopback, made_up_token
        from sdcpu.agents.mcp_server import make_server
        from sdcpu.agents.mcp_transports import PATH, listen, serve_http, serve_stdio
    if not http and (token is not None or host != HOST):
        raise InvalidRequestError("--host and --token are for HTTP.", hint="Add --http.")
    token = token or load_settings().server_token
    if http and token is None and not is_loopback(host):
        token = made_up_token()
        print_note(f"token: {token}")
    folder = PictureFolder(output or user_pictures_path() / "sdcpu")
    machine = machine_from(values)
    with Studio(model=model, allow_downloads=allow_downloads, **machine) as studio:
        server = make_server(studio, folder, token=token if http else None)
        if not http:
            serve_stdio(server, studio.close)
            return
        with listen(host, port) as listening:
            shown = f"[{host}]" if ":" in host else host
            print_note(f"http://{shown}:{listening.getsockname()[1]}{PATH}")
            serve_http(server, listening, host)
