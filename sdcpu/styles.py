"""Styles: named words that are put around a prompt, ours and the user's own.

A styles.toml, ours in the package and the user's beside the configuration file, has an entry for
each style: `prompt`, in which {prompt} stands for what is asked for (without it, the words follow
the prompt), `negative_prompt` and a `summary`. Both may be missing.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from sdcpu.errors import InvalidRequestError, SettingsError
from sdcpu.images import GeneratedImage, ImageRequest
from sdcpu.videos import GeneratedVideo

PLACE = "{prompt}"
"""Where the prompt goes in a style."""
MAX_FILE_BYTES = 1_000_000

Event = TypeVar("Event")


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """Words around a prompt.

    >>> Style(name="ink", prompt="ink drawing of {prompt}").around("a cat")
    'ink drawing of a cat'
    >>> Style(name="ink", prompt="black ink").around("a cat")
    'a cat, black ink'
    """

    name: str
    prompt: str = PLACE
    negative_prompt: str = ""
    summary: str = ""

    def around(self, prompt: str) -> str:
        """The prompt in this style."""
        if PLACE in self.prompt:
            return self.prompt.replace(PLACE, prompt)
        return _listed(prompt, self.prompt)


def load_styles(own: Path | None = None) -> dict[str, Style]:
    """Our styles and, in place of those of the same name, the user's; by name, in their order.

    Raises:
        SettingsError: the user's file cannot be used; the message names file and entry.

    >>> load_styles()["watercolour"].summary
    'Watercolour on paper, soft edges'
    """
    styles = _read(Path(__file__).with_name("styles.toml"))
    return styles | (_read(own) if own is not None and own.exists() else {})


def apply_styles(request: ImageRequest, styles: Mapping[str, Style]) -> ImageRequest:
    """The request with the words of its styles, one after the other, around its prompt.

    Raises:
        InvalidRequestError: a style that is not among `styles`.

    >>> asked = ImageRequest(prompt="a cat", styles=("pixel-art",))
    >>> apply_styles(asked, load_styles()).prompt
    'pixel art of a cat, 16-bit, limited palette, crisp pixels'
    """
    prompt, negative = request.prompt, request.negative_prompt
    for name in request.styles:
        if name not in styles:
            raise _unknown(name, styles)
        prompt = styles[name].around(prompt)
        negative = _listed(negative, styles[name].negative_prompt)
    return replace(request, prompt=prompt, negative_prompt=negative, styles=())


def note_styles(
    events: Generator[Event, None, None], asked: ImageRequest
) -> Generator[Event, None, None]:
    """Pass events on; pictures keep what was asked for, and their recipes the words before styles.

    A recipe's prompt has the styles in it, so that making the picture again applies none twice.
    """
    with closing(events):
        for event in events:
            if isinstance(event, GeneratedImage | GeneratedVideo) and asked.styles:
                prompt, negative = asked.prompt, asked.negative_prompt
                drawn: Any = event.request
                yield replace(
                    event,
                    request=replace(
                        drawn,
                        prompt=prompt,
                        negative_prompt=negative,
                        styles=asked.styles,
                    ),
                    recipe={
                        **event.recipe,
                        "styles_applied": list(asked.styles),
                        "words": {"prompt": prompt, "negative_prompt": negative},
                    },
                )
            else:
                yield event


def words_without_styles(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Prompt and negative prompt as they were before styles; empty where none were applied.

    >>> words_without_styles({"prompt": "a cat, inked", "words": {"prompt": "a cat"}})
    {'prompt': 'a cat'}
    """
    words = recipe.get("words")
    if not isinstance(words, dict):
        return {}
    return {
        name: words[name]
        for name in ("prompt", "negative_prompt")
        if isinstance(words.get(name), str)
    }


def _listed(*texts: str) -> str:
    return ", ".join(filter(None, texts))


def _unknown(name: str, styles: Mapping[str, Style]) -> InvalidRequestError:
    close = difflib.get_close_matches(name, styles, n=2, cutoff=0.5)
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    return InvalidRequestError(
        f"There is no style {name!r}.", hint=f"{meant}`sdcpu styles` lists all."
    )


def _read(path: Path) -> dict[str, Style]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsError(f"{path} is too long to hold styles.")
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"The styles in {path} cannot be read: {error}", hint="Correct the file."
        ) from error
    return {name: _style(name, table, path) for name, table in tables.items()}


def _style(name: str, table: object, path: Path) -> Style:
    known = [field.name for field in fields(Style) if field.name != "name"]
    problem = ""
    if not isinstance(table, dict):
        problem = f"write [{name}] and below it prompt = …"
    elif unknown := [key for key in table if key not in known]:
        problem = f"unknown key {unknown[0]!r}; known: {', '.join(known)}"
    elif wrong := [key for key, value in table.items() if not isinstance(value, str)]:
        problem = f"{wrong[0]} must be text"
    else:
        return Style(name=name, **table)
    raise SettingsError(f"{path}, style {name}: {problem}.", hint="Correct the file.")
