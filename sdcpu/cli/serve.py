"""`sdcpu serve`: a page and APIs over a queue of jobs."""

from __future__ import annotations

import logging
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from sdcpu.cli.options import (
    ACCESS,
    OUTPUT,
    SERVER,
    Option,
    SectionedCommand,
    machine_from,
    machine_options,
)
from sdcpu.cli.output import print_note, print_result
from sdcpu.errors import SettingsError

if TYPE_CHECKING:
    from sdcpu.server.access import Access
    from sdcpu.settings import Settings

PORT = 7860
"""Where programs look for AUTOMATIC1111's server, whose API this one speaks too."""
LEAST_TOKEN = 8
"""Characters."""
_NEEDED = ("fastapi", "uvicorn", "websockets", "python_multipart")
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(
    cls=SectionedCommand,
    short_help="Serve a page and APIs on this machine.",
    epilog="""\b
Examples:
  sdcpu serve --open
  sdcpu serve --host 0.0.0.0
  sdcpu serve -m sd-turbo --keep-alive inf""",
)
@click.option(
    "--host",
    cls=Option,
    heading=SERVER,
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Where to listen; 0.0.0.0: on every network. Without it, for this machine alone.",
)
@click.option(
    "--port",
    cls=Option,
    heading=SERVER,
    type=click.IntRange(0, 65535),
    default=PORT,
    metavar="NUMBER",
    help=f"The port; {PORT} without it, and 0 takes a free one.",
)
@click.option(
    "--folder",
    cls=Option,
    heading=SERVER,
    type=_FOLDER,
    metavar="FOLDER",
    help="Where the queue and its pictures are kept.",
)
@click.option(
    "-m",
    "--model",
    cls=Option,
    heading=SERVER,
    metavar="MODEL",
    help="What draws when a request names no model.",
)
@click.option(
    "--keep-alive",
    cls=Option,
    heading=SERVER,
    type=float,
    metavar="SECONDS",
    help="How long a model stays loaded without work; inf: always.",
)
@click.option(
    "--max-queue",
    cls=Option,
    heading=SERVER,
    type=click.IntRange(1),
    metavar="NUMBER",
    help="How many jobs may wait.",
)
@click.option(
    "--no-cache",
    cls=Option,
    heading=SERVER,
    is_flag=True,
    help="Draw again what was drawn before with the same seed.",
)
@click.option(
    "--open", "open_browser", cls=Option, heading=SERVER, is_flag=True, help="Open the page."
)
@click.option(
    "--token",
    cls=Option,
    heading=ACCESS,
    metavar="TEXT",
    help="What clients have to know; better in SDCPU_TOKEN, which nobody else sees. "
    "With --host one is made up where none is given.",
)
@click.option(
    "--name",
    "names",
    cls=Option,
    heading=ACCESS,
    multiple=True,
    metavar="NAME",
    help="A further name that this machine is called by, as behind a proxy.",
)
@click.option(
    "--allow-downloads",
    cls=Option,
    heading=ACCESS,
    is_flag=True,
    help="Let requests download models that are not here.",
)
@click.option(
    "--allow-folder",
    "folders",
    cls=Option,
    heading=ACCESS,
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Let requests name files in it by their paths.",
)
@machine_options
@click.option(
    "-v", "--verbose", cls=Option, heading=OUTPUT, is_flag=True, help="Print every request."
)
def serve(**values: Any) -> None:
    """Serve a page and APIs until Ctrl-C; what is being drawn then is taken up at the next start.

    The APIs are our own (/openapi.json describes it), that of OpenAI's images (/v1) and
    AUTOMATIC1111's (/sdapi/v1).
    """
    _need_extra()
    from sdcpu.job_queue import JobQueue
    from sdcpu.server.app import create_app
    from sdcpu.server.running import Server, bind, stopped_by_signals
    from sdcpu.settings import load_settings, overridden

    machine = machine_from(values)
    settings = overridden(load_settings(), default_model=values["model"], **machine)
    access = _access(values, settings.server_token)
    _log(verbose=values["verbose"])
    listener = bind(values["host"], values["port"])
    port = listener.getsockname()[1]
    queue = JobQueue(
        (values["folder"] or settings.server_folder).absolute(),
        settings=settings,
        limits=_limits(values),
        allow_downloads=values["allow_downloads"],
        allowed_folders=tuple(folder.absolute() for folder in values["folders"]),
        devices=_devices(settings, machine["device"]),
    )

    def ready() -> None:
        addresses = _addresses(values["host"], port, access.token)
        print_result(addresses[0])
        for address in addresses[1:]:
            print_note(address)
        print_note("Ctrl-C stops it.")
        if values["open_browser"]:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(addresses[0],), daemon=True).start()

    server = Server(create_app(queue, access=access), listener, ready)
    with stopped_by_signals(server.stop), queue:
        server.run_until_stopped()
        print_note("Stopping.")


def _need_extra() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"The server needs {missing[0]}, which is not installed.",
            hint='Install what it needs: pip install "sdcpu[server]".',
        )


def _access(values: dict[str, Any], token: str | None) -> Access:
    from sdcpu.server.access import Access, is_loopback, machine_names, new_token

    host, given = values["host"], token if values["token"] is None else values["token"]
    if given is not None and (len(given) < LEAST_TOKEN or not given.isprintable()):
        raise SettingsError(
            f"The token cannot be used: it needs {LEAST_TOKEN} characters or more, in one line.",
            hint="Leave it out with --host, and a good one is made up.",
        )
    if given is None and not is_loopback(host):
        given = new_token()
    names = machine_names() | {name.lower() for name in (*values["names"], host)}
    return Access(token=given, names=names)


def _devices(settings: Settings, named: int | None) -> tuple[int, ...]:
    """The cards that draw side by side; none where one was named, or the processor draws."""
    from sdcpu.engine_choice import EngineChoice

    return () if named is not None or settings.device else EngineChoice(settings).devices()


def _limits(values: dict[str, Any]) -> Any:
    from sdcpu.job_queue import QueueLimits

    chosen = {
        "most_waiting": values["max_queue"],
        "keep_alive_seconds": values["keep_alive"],
        "cached_results": 0 if values["no_cache"] else None,
    }
    return QueueLimits(**{name: value for name, value in chosen.items() if value is not None})


def _addresses(host: str, port: int, token: str | None) -> list[str]:
    """What to type into a browser; the first one is for this machine."""
    from sdcpu.server.access import addresses_of

    query = f"?token={quote(token, safe='')}" if token else ""
    shown = (f"[{address}]" if ":" in address else address for address in addresses_of(host))
    return [f"http://{address}:{port}/{query}" for address in shown]


def _log(*, verbose: bool) -> None:
    """Send what goes wrong to standard error, and every request where that is wanted."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("sdcpu.server").setLevel(logging.INFO if verbose else logging.WARNING)
