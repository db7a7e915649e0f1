"""Options that several commands share, and help that shows long lists of options under headings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from sdcpu.errors import SettingsError
from sdcpu.sampling import Cache, Seamless

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

PROMPT = "The prompt"
PICTURE = "The picture"
STEPS = "Its steps"
LARGER = "Larger pictures"
STARTING_POINT = "Starting from pictures"
MACHINE = "This machine"
OUTPUT = "Output"
VIDEO = "The video"
SERVER = "The server"
ACCESS = "What it allows"
HEADINGS = (
    *(PROMPT, PICTURE, STEPS, LARGER, VIDEO, STARTING_POINT),
    *(SERVER, ACCESS, MACHINE, OUTPUT),
)


class Option(click.Option):
    """An option that stands under a heading in the help."""

    def __init__(self, *names: Any, heading: str = OUTPUT, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.heading = heading


class SectionedCommand(click.Command):
    """A command whose help lists its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options; those without a heading of their own stand under the last one."""
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                sections[getattr(parameter, "heading", OUTPUT)].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


PICTURE_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT_FILE = click.Path(path_type=Path)


def request_options(command: Decorated) -> Decorated:
    """Add the options that say what picture is wanted; `request_from` collects them."""
    number: dict[str, Any] = {"type": float, "metavar": "NUMBER"}
    whole: dict[str, Any] = {"type": int, "metavar": "NUMBER"}
    pixels: dict[str, Any] = {"type": int, "metavar": "PIXELS"}
    picture: dict[str, Any] = {"type": PICTURE_FILE, "metavar": "FILE", "heading": STARTING_POINT}
    return _with_options(
        command,
        _option("-W", "--width", **pixels, help="Width. Without it, what suits the model."),
        _option("-H", "--height", **pixels, help="Height."),
        _option(
            "--quality",
            type=click.Choice(["draft", "balanced", "best"]),
            help="A preset of steps, size and decoder. Options beside it win.",
        ),
        _option(
            "--steps",
            heading=STEPS,
            **whole,
            help="Steps: more take longer, and help up to a point.",
        ),
        _option("--seed", **whole, help="The same seed gives the same picture."),
        _option("-n", "--count", **whole, help="How many pictures; their seeds count up."),
        _option("--negative", metavar="TEXT", help="What not to show; needs --cfg above 1."),
        _option(
            "--cfg",
            heading=STEPS,
            **number,
            help="How strongly to follow the prompt; 1 is fastest.",
        ),
        _option("--guidance", heading=STEPS, **number, help="The same for FLUX models."),
        _option(
            "--sampler",
            heading=STEPS,
            metavar="NAME",
            help="How steps are made: see 'sdcpu samplers'.",
        ),
        _option(
            "--scheduler",
            heading=STEPS,
            metavar="NAME",
            help="How steps are spaced: see there, too.",
        ),
        _option(
            "--sigmas",
            heading=STEPS,
            callback=_sigmas,
            metavar="A,B,…,0",
            help="Noise levels to go through, in place of steps and scheduler.",
        ),
        _option(
            "--eta",
            heading=STEPS,
            **number,
            help="Fresh noise at every step, 0 to 1, where a sampler can.",
        ),
        _option(
            "--cache",
            heading=STEPS,
            type=click.Choice(get_args(Cache)),
            help="Skip steps that change little; auto: where it was measured to pay.",
        ),
        _option(
            "--seamless",
            type=click.Choice(get_args(Seamless)),
            help="Let left and right (x), top and bottom (y) or both fit together.",
        ),
        _option(
            "--clip-skip", heading=STEPS, **whole, help="Layers of the text encoder to leave out."
        ),
        _option(
            "--hires", heading=LARGER, **number, help="Then draw it again, 1.5 or 2 times as large."
        ),
        _option(
            "--hires-strength",
            heading=LARGER,
            **number,
            help="How far from the first picture, 0 to 1.",
        ),
        _option("--hires-steps", heading=LARGER, **whole, help="Steps of the second picture."),
        _option(
            "--tiled",
            heading=LARGER,
            is_flag=True,
            default=None,
            help="Draw a large picture in parts that fit the memory.",
        ),
        _option(
            "--upscale",
            heading=LARGER,
            type=click.Choice(["2", "4"]),
            callback=_number,
            help="Make the finished picture so many times as wide and high.",
        ),
        _option(
            "--upscaler",
            heading=LARGER,
            metavar="NAME",
            help="The upscaler: see 'sdcpu upscale --help'.",
        ),
        _option(
            "--decoder",
            type=click.Choice(["auto", "tiny", "full"]),
            help="The tiny decoder is fast and small, the full one exact.",
        ),
        _option(
            "--lora",
            callback=lora_files,
            multiple=True,
            metavar="LORA[:WEIGHT]",
            help="Apply a LoRA: a name, a file, or owner/repository/file on the hub. Can be given "
            "several times; <lora:name:0.8> in the prompt does the same.",
        ),
        _option(
            "--embedding",
            multiple=True,
            metavar="FILE",
            help="A textual inversion, or a folder of them: acts where the prompt has its name.",
        ),
        _option(
            "--lcm",
            is_flag=True,
            default=None,
            help="Draw in 4 steps, with the LCM-LoRA of the model's family.",
        ),
        _option("--init", **picture, help="Start from this picture."),
        _option("--strength", **number, heading=STARTING_POINT, help="How far from it, 0 to 1."),
        _option("--mask", **picture, help="Paint only where this is white, or transparent."),
        _option(
            "--extend",
            callback=_extension,
            heading=STARTING_POINT,
            metavar="PIXELS",
            help='Paint on beyond its edges: "128", or "left=128,right=64,top=32,bottom=0".',
        ),
        _option(
            "--fit",
            type=click.Choice(["fit", "crop", "pad"]),
            heading=STARTING_POINT,
            help="Where its proportions differ: shrink to fit, crop to the middle, pad the edges.",
        ),
        _option("--control", **picture, help="Follow this picture's outlines (ControlNet)."),
        _option(
            "--control-net",
            heading=STARTING_POINT,
            metavar="NAME",
            help="The ControlNet: a name such as controlnet-canny, a file, or one on the hub.",
        ),
        _option(
            "--control-step",
            type=click.Choice(["none", "canny"]),
            heading=STARTING_POINT,
            help="What to do with it first; canny finds the edges of a photograph.",
        ),
        _option("--control-strength", **number, heading=STARTING_POINT, help="How closely."),
        _option(
            "--ref", **picture, multiple=True, help="Edit this picture, with models that edit."
        ),
    )


def request_from(values: dict[str, Any]) -> dict[str, Any]:
    """Take the options that were given out of a command's values, as fields of an ImageRequest."""
    request = {}
    for option in _REQUEST_OPTIONS:
        value = values.pop(option)
        if value is not None and value != ():
            request[_FIELDS.get(option, option)] = value
    if request.pop("lcm", None):
        request["loras"] = (*request.get("loras", ()), ("lcm", 1.0))
    return request


def machine_options(command: Decorated) -> Decorated:
    """Add the options that say how the machine may be used; `machine_from` collects them."""
    machine: dict[str, Any] = {"heading": MACHINE}
    return _with_options(
        command,
        _option("--threads", **machine, type=int, metavar="NUMBER", help="Threads to use."),
        _option(
            "--memory-limit",
            **machine,
            callback=_size,
            metavar="SIZE",
            help='The most memory to use, such as "4 GiB".',
        ),
        _option(
            "--build", **machine, metavar="NAME", help="The build of the engine: auto, cpu, cuda, …"
        ),
        _option("--device", **machine, type=int, metavar="NUMBER", help="Which of several cards."),
        _option(
            "--accel",
            **machine,
            metavar="NAME",
            help="Kernels of our own: auto, off, avx2, avx512, neon, bf16 or int8.",
        ),
        _option(
            "--offline/--online", **machine, default=None, help="Whether the network may be used."
        ),
    )


def machine_from(values: dict[str, Any]) -> dict[str, Any]:
    """Take those options out of a command's values, as keywords of an ImageGenerator."""
    names = ("threads", "memory_limit", "build", "device", "accel", "offline")
    return {name: values.pop(name) for name in names}


def json_option(command: Decorated) -> Decorated:
    """Add --json, in the command's values as `as_json`."""
    return _with_options(
        command,
        _option("--json", "as_json", heading=OUTPUT, is_flag=True, help="Print JSON for programs."),
    )


def _size(_ctx: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """Read a number of bytes, written like "4 GiB"."""
    from sdcpu.settings import parse_size

    try:
        return None if text is None else parse_size(text)
    except SettingsError as error:
        raise click.BadParameter(f"{error.message} {error.hint}") from error


def _sigmas(
    _ctx: click.Context, _option: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    """Read noise levels, written like "14.6,7.1,0"."""
    try:
        return None if text is None else tuple(float(sigma) for sigma in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 14.6,7.1,0.") from error


def _extension(
    _ctx: click.Context, _option: click.Parameter, text: str | None
) -> tuple[int, int, int, int] | None:
    """Read pixels for every side, written like "128" or "left=128,top=64"."""
    if text is None:
        return None
    sides = dict.fromkeys(("left", "top", "right", "bottom"), 0)
    for part in text.split(","):
        side, equals, pixels = (word.strip() for word in part.rpartition("="))
        if not pixels.isdecimal() or (equals and side not in sides) or (not equals and side):
            raise click.BadParameter(
                f"{part!r} says nothing; write 128 for all sides, or left=128,right=64."
            )
        sides |= dict.fromkeys([side] if equals else sides, int(pixels))
    left, top, right, bottom = sides.values()
    return left, top, right, bottom


def _number(_ctx: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    return None if text is None else int(text)


def lora_files(
    _ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, float], ...]:
    """Read LoRAs and how strongly they are applied, written like "style.safetensors:0.8"."""
    return tuple(_lora(text) for text in texts)


def _lora(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition(":")
    try:
        return name, float(weight)
    except ValueError:  # what follows the colon, if there is one, belongs to the name
        return text, 1.0


_FIELDS = {
    "negative": "negative_prompt",
    "cfg": "cfg_scale",
    "init": "init_image",
    "mask": "mask_image",
    "extend": "extension",
    "control": "control_image",
    "ref": "ref_images",
    "lora": "loras",
    "embedding": "embeddings",
}
"""Options with shorter names than the fields of `sdcpu.ImageRequest` that they fill."""

_REQUEST_OPTIONS = (
    *("width", "height", "quality", "steps", "seed", "count", "negative", "cfg", "guidance"),
    *("sampler", "scheduler", "sigmas", "eta", "cache", "seamless", "upscale", "upscaler"),
    *("hires", "hires_strength", "hires_steps", "tiled"),
    *("clip_skip", "decoder", "lora", "lcm", "embedding", "init", "strength", "mask"),
    *("extend", "fit", "control", "control_net", "control_step", "control_strength", "ref"),
)


def _option(*names: str, heading: str = PICTURE, **attributes: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Option, heading=heading, **attributes)


def _with_options(command: Decorated, *options: Callable[[Any], Any]) -> Decorated:
    """Add options so that the help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command
