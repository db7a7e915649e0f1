"""What came out: medians, ratios, whether the pictures are the same, and all of it as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

UNITS = {"memory": "MB", "memory-whole": "MB", "memory-vae": "MB"}
"""Quantities that are no seconds."""
PICTURE_LIMIT = 0.10
"""A picture that is further off is marked; without the text in it, it would be off by 0.30."""
COARSE_PICTURE_LIMIT = 0.30
"""The same for Q4_0, whose weights are rounded that much."""
OURS = "ours-*"
"""The fastest of our variants, in an aim."""

Aim = tuple[str, str, str, float]
AIMS: tuple[Aim, ...] = (
    ("step", OURS, "openvino-bf16", 0.70),
    ("step", "ours-avx2", "openvino-f32-avx2", 0.90),
    ("vae", OURS, "openvino-bf16", 0.60),
    ("taesd", OURS, "openvino-bf16", 1.00),
)
"""A quantity, ours, a peer, and the ratio that is allowed."""
MEMORY_AIM = ("ours-int8-q4_0", 1.80e9)
"""The engine's peak with Q4_0 weights and TAESD, in bytes, at 512x512."""


@dataclass(slots=True)
class Result:
    """Measurements by contestant, quantity and round."""

    values: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Reasons by contestant."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    """The last picture of the full decoder: its channels, one byte each."""

    def add(self, contestant: str, quantity: str, number: int, value: float) -> None:
        """Note a measurement of a round."""
        self.values.setdefault(contestant, {}).setdefault(quantity, {})[number] = value

    def median(self, contestant: str, quantity: str) -> float | None:
        """The median over the rounds; None when it was not measured."""
        rounds = self.values.get(contestant, {}).get(quantity)
        return float(median(rounds.values())) if rounds else None

    def ratio(self, contestant: str, against: str, quantity: str) -> float | None:
        """The median of the ratios within each round that measured both."""
        ours = self.values.get(contestant, {}).get(quantity, {})
        theirs = self.values.get(against, {}).get(quantity, {})
        both = ours.keys() & theirs.keys()
        return float(median(ours[each] / theirs[each] for each in both)) if both else None

    def fastest(self, prefix: str, quantity: str) -> str | None:
        """The contestant with the lowest median among those with a prefix."""
        medians = {
            name: value
            for name in self.values
            if name.startswith(prefix) and (value := self.median(name, quantity)) is not None
        }
        return min(medians, key=medians.__getitem__) if medians else None

    def difference(self, contestant: str, reference: str) -> float | None:
        """How far a picture is off: the spread of the difference per spread of the reference."""
        one, other = self.pictures.get(contestant), self.pictures.get(reference)
        if one is None or other is None or len(one) != len(other):
            return None
        picture, wanted = (
            np.frombuffer(each, np.uint8).astype(np.float64) for each in (one, other)
        )
        error = float(np.sqrt(np.mean((picture - wanted) ** 2)))
        return error / (float(wanted.std()) or 1.0)

    def as_json(self, against: str, reference: str) -> dict[str, Any]:
        """Every figure, by contestant."""
        figures = {}
        for name, quantities in self.values.items():
            figures[name] = {
                "rounds": quantities,
                "median": {quantity: self.median(name, quantity) for quantity in quantities},
                "ratio": {quantity: self.ratio(name, against, quantity) for quantity in quantities},
                "picture": self.difference(name, reference),
            }
        return {"against": against, "figures": figures, "skipped": self.skipped}


def table(
    result: Result,
    titles: Mapping[str, str],
    quantities: Sequence[str],
    *,
    against: str,
    reference: str,
    coarse: bool = False,
) -> list[str]:
    """The lines of the table: a median and, in brackets, its ratio to one contestant.

    `coarse`: the engine's weights are Q4_0, for those contestants too whose names do not say so.
    """
    heads = [f"{quantity}, {UNITS.get(quantity, 's')}" for quantity in quantities]
    lines = [_line("", [*heads, "rounds", "picture"])]
    for name, title in titles.items():
        if name not in result.values:
            continue
        cells = [_cell(result, name, quantity, against) for quantity in quantities]
        rounds = max(map(len, result.values[name].values()))
        difference = result.difference(name, reference)
        cells += [str(rounds), _picture_cell(name, difference, coarse=coarse)]
        lines.append(_line(title, cells))
    lines += [f"{titles.get(name, name)}: {why}" for name, why in result.skipped.items()]
    return lines


def aims(result: Result) -> list[str]:
    """A line for each aim that could be measured."""
    lines = []
    for quantity, ours, theirs, limit in AIMS:
        name = result.fastest(ours.rstrip("*"), quantity) if ours.endswith("*") else ours
        ratio = result.ratio(name, theirs, quantity) if name else None
        if ratio is not None:
            verdict = "reached" if ratio <= limit else "missed"
            figures = f"{ratio:.2f}, at most {limit:.2f} is the aim: {verdict}"
            lines.append(f"{quantity}: {name} / {theirs} = {figures}")
    name, limit = MEMORY_AIM
    peak = result.median(name, "memory")
    if peak is not None:
        verdict = "reached" if peak < limit else "missed"
        lines.append(f"memory: {name} {peak / 1e9:.2f} GB, under {limit / 1e9:.2f}: {verdict}")
    return lines


def _cell(result: Result, name: str, quantity: str, against: str) -> str:
    value = result.median(name, quantity)
    if value is None:
        return "-"
    text = f"{value / 1e6:.0f}" if quantity in UNITS else f"{value:.2f}"
    ratio = result.ratio(name, against, quantity)
    return text if ratio is None else f"{text} ({ratio:.2f})"


def _picture_cell(name: str, difference: float | None, *, coarse: bool) -> str:
    if difference is None:
        return "-"
    is_coarse = coarse or name.endswith("q4_0")
    limit = COARSE_PICTURE_LIMIT if is_coarse else PICTURE_LIMIT
    return f"{difference:.1%}" + (" wrong!" if difference > limit else "")


def _line(title: str, cells: Sequence[str]) -> str:
    return f"{title:<32}" + "".join(f" {cell:>16}" for cell in cells)
