r"""Prompts with alternatives: "a {red|green} {car|boat}" stands for four prompts.

Braces with bars choose, and may hold further braces. `__animal__` chooses a line of the wildcard
file animal.txt, see `sdcpu.wildcards`. Everything else stays as it is: weights such as (cat:1.2),
tags such as <lora:ink:0.8>, braces without a bar. A backslash takes the meaning from what follows
it: \{ \} \| \_.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from sdcpu.errors import InvalidRequestError
from sdcpu.wildcards import Wildcards

MAX_PROMPTS = 1000
"""Prompts that one template may become, unless a sample of them is asked for."""
MAX_DEPTH = 20
"""Braces within braces, and wildcards that name wildcards."""

_TOKEN = re.compile(
    r"""
    \\(?P<escaped>[{}|_])
    | (?P<tag><[^<>{}|]*:[^<>{}|]*>)          # such as <lora:my__style__:0.8>
    | (?<!\w)__(?P<wildcard>\w(?:[\w./-]*?\w)?)__(?!_)
    | (?P<mark>[{}|])
    | (?P<text>[^\\<_{}|]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several texts is taken."""

    options: tuple[PromptTemplate, ...]

    @property
    def count(self) -> int:
        """Texts that it can become."""
        return sum(option.count for option in self.options)

    def text(self, number: int) -> str:
        """One of them, counted from 0."""
        for option in self.options:
            if number < option.count:
                return option.text(number)
            number -= option.count
        raise IndexError(number)


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt whose choices are still open.

    >>> template = parse_template("a {red|green} car")
    >>> template.count, template.text(1)
    (2, 'a green car')
    """

    parts: tuple[str | Choice, ...]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What is open, from left to right; choices within choices are not among them."""
        return tuple(part for part in self.parts if isinstance(part, Choice))

    @property
    def count(self) -> int:
        """Prompts that it can become."""
        return prod(choice.count for choice in self.choices)

    def text(self, number: int) -> str:
        """One of them, counted from 0; the last choice changes fastest."""
        texts = []
        for part in reversed(self.parts):
            if isinstance(part, str):
                texts.append(part)
            else:
                number, own = divmod(number, part.count)
                texts.append(part.text(own))
        if number:
            raise IndexError(number)
        return "".join(reversed(texts))


def expand_prompt(
    text: str,
    *,
    wildcards: Sequence[Path] | None = None,
    sample: int | None = None,
    seed: int | None = None,
    limit: int = MAX_PROMPTS,
) -> list[str]:
    """All prompts that a template stands for, or a sample of them.

    `wildcards` are folders with wildcard files, the first one first; None: the folder "wildcards"
    beside the configuration file. A `sample` is drawn without repetition; the same seed draws the
    same one.

    Raises:
        InvalidRequestError: a brace without its partner, a wildcard that is not there, wildcards
            that name each other in a circle, or more prompts than `limit`.

    >>> expand_prompt("a {red|green} {car|boat}")
    ['a red car', 'a red boat', 'a green car', 'a green boat']
    >>> len(expand_prompt("a {red|green} {car|boat}", sample=2, seed=1))
    2
    """
    template = parse_template(text, wildcards=wildcards)
    if sample is None and template.count > limit:
        raise InvalidRequestError(
            f"The prompt stands for {template.count:,} pictures; at most {limit:,} are drawn.",
            hint="Take some of them, such as --sample 20, or leave alternatives out.",
        )
    if sample is not None and not 1 <= sample <= limit:
        raise InvalidRequestError(
            f"A sample of {sample} prompts cannot be taken; give a number from 1 to {limit}."
        )
    if sample is None or sample >= template.count:
        return [template.text(number) for number in range(template.count)]
    return [template.text(number) for number in _sample(template.count, sample, seed)]


def parse_template(text: str, *, wildcards: Sequence[Path] | None = None) -> PromptTemplate:
    """Read a template.

    Raises:
        InvalidRequestError: as `expand_prompt`, but for the number of prompts.

    >>> parse_template("a {red|{dark|light} green} car").count
    3
    """
    return _Reader(Wildcards(wildcards)).template(text, ())


class _Reader:
    """Reads templates; every wildcard file is read once."""

    def __init__(self, wildcards: Wildcards) -> None:
        self._wildcards = wildcards
        self._known: dict[str, Choice] = {}

    def template(self, text: str, inside: tuple[str, ...]) -> PromptTemplate:
        """Read a text; `inside` are the wildcards whose lines lead to it."""
        tokens = _TOKEN.finditer(text)
        (template,), closed = self._options(tokens, text, inside, depth=0)
        if closed is not None:
            raise _unpaired(text, closed, "closed and was not opened")
        return template

    def _options(
        self, tokens: Iterator[re.Match[str]], text: str, inside: tuple[str, ...], depth: int
    ) -> tuple[list[PromptTemplate], int | None]:
        """Read what stands between bars, up to a closing brace, whose place is returned too."""
        options: list[PromptTemplate] = []
        parts: list[str | Choice] = []
        for token in tokens:
            if wildcard := token["wildcard"]:
                parts.append(self._wildcard(wildcard, inside))
            elif token["mark"] == "{":
                parts += self._braces(tokens, text, inside, depth, token.start())
            elif token["mark"] == "}":
                return [*options, PromptTemplate(tuple(_joined(parts)))], token.start()
            elif token["mark"] == "|" and depth:
                options.append(PromptTemplate(tuple(_joined(parts))))
                parts = []
            else:
                parts.append(token["escaped"] or token[0])
        return [*options, PromptTemplate(tuple(_joined(parts)))], None

    def _braces(
        self,
        tokens: Iterator[re.Match[str]],
        text: str,
        inside: tuple[str, ...],
        depth: int,
        opened: int,
    ) -> list[str | Choice]:
        if depth >= MAX_DEPTH:
            raise InvalidRequestError(
                f"The prompt has braces within more than {MAX_DEPTH} others.",
                hint="Write it more simply.",
            )
        options, closed = self._options(tokens, text, inside, depth + 1)
        if closed is None:
            raise _unpaired(text, opened, "opened and never closed")
        if len(options) == 1:
            return ["{", *options[0].parts, "}"]
        return [Choice(tuple(options))]

    def _wildcard(self, name: str, inside: tuple[str, ...]) -> Choice:
        if name in inside or len(inside) >= MAX_DEPTH:
            circle = " → ".join(f"__{each}__" for each in (*inside, name))
            raise InvalidRequestError(
                f"The wildcards name each other in a circle: {circle}.",
                hint="Take one of the names out of its file.",
            )
        if name not in self._known:
            lines = self._wildcards.lines(name)
            self._known[name] = Choice(
                tuple(self.template(line, (*inside, name)) for line in lines)
            )
        return self._known[name]


def _joined(parts: Sequence[str | Choice]) -> Iterator[str | Choice]:
    """The parts with neighbouring texts as one."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        if texts:
            yield "".join(texts)
            texts = []
        yield part
    if texts:
        yield "".join(texts)


def _unpaired(text: str, place: int, what: str) -> InvalidRequestError:
    shown = text[max(0, place - 20) : place + 20]
    return InvalidRequestError(
        f"A brace of the prompt is {what}: …{shown}…",
        hint=r"Alternatives are written {red|green}; a brace of its own is written \{ or \}.",
    )


def _sample(count: int, size: int, seed: int | None) -> list[int]:
    """Different numbers below `count`, which may be larger than any list."""
    source = random.Random(seed)  # noqa: S311 - a choice of pictures, no secret
    taken: dict[int, None] = {}
    while len(taken) < size:
        taken[source.randrange(count)] = None
    return list(taken)
