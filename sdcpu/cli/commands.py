"""`sdcpu`: the list of commands, and what an error looks like."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

import click

from sdcpu.cli import CANCELLED
from sdcpu.cli.output import print_error, print_error_json
from sdcpu.errors import CancelledError, InvalidRequestError, SdcpuError

DONE = 0
FAILED = 1
WRONG_USAGE = 2

COMMANDS = {
    "generate": "Make pictures from a prompt.",
    "batch": "Make the pictures that a file asks for.",
    "grid": "Compare pictures that differ in one or two things.",
    "video": "Make a video from a prompt.",
    "serve": "Serve a page and APIs on this machine.",
    "mcp": "Let agents make pictures, over the Model Context Protocol.",
    "models": "List the models and what they need.",
    "pull": "Download models.",
    "remove": "Delete downloaded models.",
    "show": "Show a model, or a picture and how it was made.",
    "styles": "List the styles that a picture can have.",
    "upscale": "Make a picture 2 or 4 times as large.",
    "samplers": "List samplers and schedulers and what they are good for.",
    "plan": "Say how a picture would be made, and why.",
    "builds": "Make and check builds of the engine for graphics cards.",
    "doctor": "Check this installation and this machine.",
    "bench": "Find out what is fastest on this machine.",
    "quantize": "Write a smaller copy of a model file.",
}
"""The commands and their lines in `sdcpu --help`, which therefore imports none of them."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line; errors are printed, what comes back is the exit code."""
    try:
        code = sdcpu.main(list(arguments) or ["--help"], prog_name="sdcpu", standalone_mode=False)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "sdcpu"
        print_error(error.format_message(), f"'{command} --help' explains.")
        return WRONG_USAGE
    except (click.Abort, CancelledError):
        print_error("cancelled")
        return CANCELLED
    except SdcpuError as error:
        print_error(error.message, error.hint)
        if "--json" in arguments:
            print_error_json(error)
        return WRONG_USAGE if isinstance(error, InvalidRequestError) else FAILED
    return code if isinstance(code, int) else DONE


class _Commands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name the commands, most used first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module, which holds the command under the same name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"sdcpu.cli.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say what may have been meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            if " " in name:
                raise click.UsageError(f'To make a picture: sdcpu generate "{name}"', ctx)
            close = get_close_matches(name, COMMANDS, n=1)
            meant = f" Did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"There is no command '{name}'.{meant}", ctx)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from sdcpu import __version__

        click.echo(f"sdcpu {__version__}")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  sdcpu generate "a lighthouse at dawn"
  sdcpu models
'sdcpu COMMAND --help' explains a command.""",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def sdcpu() -> None:
    """Make pictures from text on an ordinary computer, without a graphics card."""
