"""What may differ along a side of a grid, and how each of its values changes a request."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdcpu.batch.fields import MODEL, OUTPUT, check_names, values_of_cells
from sdcpu.errors import InvalidRequestError

WORDS, LORA_WEIGHT = "words", "lora_weight"
"""Axes that are no field of a request: a part of the prompt, and the weight of its LoRAs."""
MAX_VALUES = 100
_NOT_ON_AN_AXIS = {"count", OUTPUT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A field and its values, one for each column or row.

    >>> Axis(name="cfg_scale", values=("1", "4")).labels
    ('cfg scale 1', 'cfg scale 4')
    """

    name: str
    """A field of `ImageRequest`, "model", "words" or "lora_weight"."""
    values: tuple[str, ...]
    """As they are written; the first of "words" is the one that the prompt has."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands beside the pictures."""
        if self.name in {WORDS, "prompt", MODEL}:
            return self.values
        name = "LoRA weight" if self.name == LORA_WEIGHT else self.name.replace("_", " ")
        return tuple(f"{name} {value}" for value in self.values)

    def applied(self, request: Mapping[str, Any], number: int) -> dict[str, Any]:
        """The request, which may name a model too, with one of the values.

        Raises:
            InvalidRequestError: the value cannot be, or there is nothing that it could change.
        """
        value = self.values[number]
        if self.name == WORDS:
            return {**request, "prompt": self._exchanged(str(request["prompt"]), value)}
        if self.name == LORA_WEIGHT:
            return {**request, "loras": self._weighted(request.get("loras", ()), value)}
        return {**request, **values_of_cells({self.name: value}, Path())}

    def _exchanged(self, prompt: str, words: str) -> str:
        if self.values[0] not in prompt:
            raise InvalidRequestError(
                f"The prompt has no {self.values[0]!r} that could be exchanged.",
                hint="The first of the words must stand in the prompt: words=red,green",
            )
        return prompt.replace(self.values[0], words)

    def _weighted(self, loras: tuple[tuple[str, float], ...], text: str) -> Any:
        if not loras:
            raise InvalidRequestError(
                "There is no LoRA whose weight could differ.", hint="Name one with --lora."
            )
        try:
            return tuple((name, float(text)) for name, _ in loras)
        except ValueError:
            raise InvalidRequestError(f"The weight of a LoRA cannot be {text!r}.") from None


def parse_axis(text: str) -> Axis:
    """Read an axis, written like "steps=2,4,8"; a value with a comma stands in quotation marks.

    Raises:
        InvalidRequestError: it has no values, or there is no such field.

    >>> parse_axis('prompt="a cat, sitting",a dog').values
    ('a cat, sitting', 'a dog')
    """
    name, equals, written = text.partition("=")
    name = name.strip()
    if not equals or not written.strip():
        raise InvalidRequestError(
            f"The axis {text!r} has no values.", hint="Write it like steps=2,4,8"
        )
    if name not in {WORDS, LORA_WEIGHT}:
        check_names([name])
    if name in _NOT_ON_AN_AXIS:
        raise InvalidRequestError(f"The {name} of pictures cannot differ within a grid.")
    (row,) = csv.reader([written.replace("\n", " ")], skipinitialspace=True)
    values = tuple(value.strip() for value in row)
    if len(values) > MAX_VALUES or not all(values):
        raise InvalidRequestError(
            f"The axis {name} has {len(values)} values, or an empty one.",
            hint=f"Give 1 to {MAX_VALUES}, with commas between them.",
        )
    return Axis(name=name, values=values)
