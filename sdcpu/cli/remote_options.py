"""The options for another machine that draws, and which generator follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sdcpu.cli.options import MACHINE, Option, machine_from
from sdcpu.cli.output import print_note
from sdcpu.errors import BuildError, EngineError, NotEnoughMemoryError, SdcpuError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdcpu.generator import ImageGenerator
    from sdcpu.remote import RemoteGenerator

    Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_CANNOT = (NotEnoughMemoryError, BuildError, EngineError)
"""What says that this machine cannot, not that the request is wrong."""


def remote_options(command: Decorated) -> Decorated:
    """Add --remote and --if-needed."""
    for option in (
        click.option(
            "--if-needed",
            cls=Option,
            heading=MACHINE,
            is_flag=True,
            help="With --remote: only when this machine cannot draw it.",
        ),
        click.option(
            "--remote",
            cls=Option,
            heading=MACHINE,
            metavar="URL",
            help="Let another machine draw: an sdcpu server, or a service with OpenAI's images "
            "API (its key in SDCPU_REMOTE_TOKEN). The prompt leaves this machine.",
        ),
    ):
        command = option(command)
    return command


def generator_from(
    values: dict[str, Any], model: str | None, requests: Sequence[Mapping[str, Any]]
) -> ImageGenerator | RemoteGenerator:
    """The generator that a command's options ask for, taken out of its values."""
    from sdcpu.generator import ImageGenerator

    remote, if_needed = values.pop("remote"), values.pop("if_needed")
    machine = machine_from(values)
    if remote is None:
        if if_needed:
            raise click.UsageError("--if-needed belongs to --remote URL.")
        return ImageGenerator(model, **machine)
    from sdcpu.remote import RemoteGenerator

    elsewhere = RemoteGenerator(remote, model=model)
    if not if_needed:
        own = [
            name
            for name in ("threads", "memory_limit", "build", "device", "accel")
            if machine[name] is not None
        ]
        if own:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in own)
            raise click.UsageError(f"{names} is about this machine, which does not draw.")
        return elsewhere
    here = ImageGenerator(model, **machine)
    try:
        for request in requests:
            here.plan(**request)
    except _CANNOT as error:
        here.close()
        print_note(f"This machine cannot draw it: {error.message}")
        return elsewhere
    except SdcpuError:
        here.close()
        raise
    return here
