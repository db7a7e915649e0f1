"""Options for what the words of a prompt stand for: alternatives, wildcards, styles."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click

from sdcpu.cli.options import PROMPT, Decorated, Option

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def prompt_options(command: Decorated) -> Decorated:
    """Add these options; `prompts_from` and `styles_from` collect them."""
    return _STYLE(_SAMPLE(_WILDCARDS(command)))


def word_options(command: Decorated) -> Decorated:
    """Add those of them that do not choose among prompts."""
    return _STYLE(_WILDCARDS(command))


def folders_from(values: dict[str, Any]) -> list[Path]:
    """Take the folders of wildcard files out of a command's values; the user's own comes last."""
    from sdcpu.settings import load_settings

    return [*values.pop("wildcards"), load_settings().wildcards_folder]


def prompts_from(values: dict[str, Any], prompt: str | None, request: dict[str, Any]) -> list[str]:
    """Take these options out of a command's values: all prompts that are to be drawn.

    Without a prompt it is the request's, as it stands. Where there are several, the request is
    given a seed if it has none: then only words differ.
    """
    from sdcpu.templates import expand_prompt

    folders, sample = folders_from(values), values.pop("sample")
    if prompt is None:
        return [request["prompt"]]
    prompts = expand_prompt(prompt, wildcards=folders, sample=sample, seed=request.get("seed"))
    if len(prompts) > 1:
        request.setdefault("seed", secrets.randbits(32))
    return prompts


def styles_from(values: dict[str, Any]) -> dict[str, Any]:
    """Take the styles out of a command's values, as a field of an ImageRequest if there are any.

    Raises:
        InvalidRequestError: there is no such style.
    """
    from sdcpu.images import ImageRequest
    from sdcpu.settings import load_settings
    from sdcpu.styles import apply_styles, load_styles

    if not (names := values.pop("style")):
        return {}
    apply_styles(ImageRequest(prompt="", styles=names), load_styles(load_settings().styles_file))
    return {"styles": names}


_SAMPLE = click.option(
    "--sample",
    cls=Option,
    heading=PROMPT,
    type=int,
    metavar="NUMBER",
    help="Of all the prompts that {red|green} and __name__ stand for, draw only so many.",
)
_WILDCARDS = click.option(
    "--wildcards",
    cls=Option,
    heading=PROMPT,
    type=FOLDER,
    multiple=True,
    metavar="FOLDER",
    help="Where to look first for NAME.txt, whose lines __NAME__ stands for.",
)
_STYLE = click.option(
    "--style",
    cls=Option,
    heading=PROMPT,
    multiple=True,
    metavar="NAME",
    help="A style from 'sdcpu styles'. Can be given several times.",
)
