"""The options that say what video is wanted."""

from __future__ import annotations

from typing import Any, get_args

import click

from sdcpu.cli.options import (
    PICTURE_FILE,
    STARTING_POINT,
    VIDEO,
    Decorated,
    Option,
    lora_files,
)
from sdcpu.sampling import Cache

_FIELDS = {
    "negative": "negative_prompt",
    "cfg": "cfg_scale",
    "high_noise_cfg": "high_noise_cfg_scale",
    "init": "init_image",
    "end": "end_image",
    "lora": "loras",
}
"""Options with shorter names than the fields of `sdcpu.VideoRequest` that they fill."""
_NAMES = (
    *("width", "height", "frames", "fps", "quality", "steps", "seed", "negative", "cfg"),
    *("flow_shift", "sampler", "scheduler", "cache", "decoder", "lora"),
    *("high_noise_steps", "high_noise_cfg", "init", "end"),
)


def video_options(command: Decorated) -> Decorated:
    """Add the options that say what video is wanted; `video_from` collects them."""
    number: dict[str, Any] = {"type": float, "metavar": "NUMBER"}
    whole: dict[str, Any] = {"type": int, "metavar": "NUMBER"}
    pixels: dict[str, Any] = {"type": int, "metavar": "PIXELS"}
    picture: dict[str, Any] = {"type": PICTURE_FILE, "metavar": "FILE", "heading": STARTING_POINT}
    options = (
        _option("-W", "--width", **pixels, help="Width. Without it, what suits the model."),
        _option("-H", "--height", **pixels, help="Height."),
        _option("--frames", **whole, help="How many frames; rounded to 1, 5, 9, 13, …"),
        _option("--fps", **number, help="Frames shown in a second; more make it shorter."),
        _option(
            "--quality",
            type=click.Choice(["draft", "balanced", "best"]),
            help="A preset of steps, size, frames and decoder. Options beside it win.",
        ),
        _option("--steps", **whole, help="Steps: more take longer, and help up to a point."),
        _option("--seed", **whole, help="The same seed gives the same video."),
        _option("--negative", metavar="TEXT", help="What not to show; needs --cfg above 1."),
        _option("--cfg", **number, help="How strongly to follow the prompt; 1 is fastest."),
        _option("--flow-shift", **number, help="More for larger videos: 3 at 480p, 5 at 720p."),
        _option("--sampler", metavar="NAME", help="How steps are made: see 'sdcpu samplers'."),
        _option("--scheduler", metavar="NAME", help="How steps are spaced: see there, too."),
        _option(
            "--cache",
            type=click.Choice(get_args(Cache)),
            help="Leave out the work of steps that change little.",
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
            metavar="FILE[:WEIGHT]",
            help="Apply a LoRA. Can be given several times.",
        ),
        _option(
            "--high-noise-steps",
            **whole,
            help="Steps of the model for strong noise (Wan 2.2 A14B).",
        ),
        _option("--high-noise-cfg", **number, help="As --cfg, for that model."),
        _option("--init", **picture, help="The first frame."),
        _option("--end", **picture, help="The last frame, where a model takes it."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def video_from(values: dict[str, Any]) -> dict[str, Any]:
    """Take the options that were given out of a command's values, as fields of a VideoRequest."""
    taken = {_FIELDS.get(name, name): values.pop(name) for name in _NAMES}
    return {name: value for name, value in taken.items() if value is not None and value != ()}


def _option(*names: str, heading: str = VIDEO, **attributes: Any) -> Any:
    return click.option(*names, cls=Option, heading=heading, **attributes)
