"""LoRAs named inside a prompt, as <lora:name:0.8>."""

from __future__ import annotations

import re

from sdcpu.errors import InvalidRequestError

NamedLora = tuple[str, float]
"""A LoRA's name, path or address, and how strongly it is applied."""

_TAG = r"<(?:lora|lyco):(?P<{}>[^<>]*)>"
_WITH_SPACE = re.compile(
    rf"[ \t]*,?[ \t]*{_TAG.format('last')}(?=\s*(?:,|$))|[ \t]*{_TAG.format('inner')}",
    re.IGNORECASE,
)
"""A tag with the space before it; with the comma too where the tag stands alone between commas."""
_BEGINNING = re.compile(r"<(?:lora|lyco):[^<>]*", re.IGNORECASE)


def take_tags(prompt: str) -> tuple[str, tuple[NamedLora, ...]]:
    """Take the LoRA tags out of a prompt; without a weight it is 1.

    Raises:
        InvalidRequestError: a tag is not closed, names nothing, or its weight is no number.

    >>> take_tags("a red circle <lora:outline:0.8>, large")
    ('a red circle, large', (('outline', 0.8),))
    """
    loras = tuple(_read(found) for found in _WITH_SPACE.finditer(prompt))
    text = _WITH_SPACE.sub("", prompt).strip() if loras else prompt
    left = _BEGINNING.search(text)
    if left:
        raise InvalidRequestError(
            f"The tag {left[0][:60]!r} in the prompt is not closed.",
            hint="Write it like <lora:name:0.8>.",
        )
    return text, loras


def check_without_tags(negative_prompt: str) -> None:
    """Make sure that a negative prompt names no LoRA: one changes the whole picture.

    Raises:
        InvalidRequestError: it does.
    """
    found = _BEGINNING.search(negative_prompt)
    if found:
        raise InvalidRequestError(
            f"The negative prompt names a LoRA: {found[0][:60]!r}.",
            hint="Name it in the prompt; a weight such as -0.5 turns it round.",
        )


def tag_of(name: str, weight: float) -> str:
    """Write a LoRA as a tag, the way AUTOMATIC1111's programs do.

    >>> tag_of("outline", 0.8)
    '<lora:outline:0.8>'
    """
    return f"<lora:{name}:{weight:g}>"


def _read(found: re.Match[str]) -> NamedLora:
    content = found["last"] if found["last"] is not None else found["inner"]
    name, colon, weight = content.rpartition(":")
    if not colon:
        name, weight = content, "1"
    try:
        strength = float(weight)
    except ValueError:
        strength = None
    if strength is None or not name.strip():
        raise InvalidRequestError(
            f"The tag {found[0].strip(' ,')!r} in the prompt cannot be read.",
            hint="Write it like <lora:name:0.8>.",
        )
    return name.strip(), strength
