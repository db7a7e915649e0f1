"""Where the time of a stage went, operation by operation, read off what our kernels print."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gguf import GGMLQuantizationType

WORTH_NAMING = 0.02
"""An operation with a smaller share of its stage is not named."""
_LEFT = " (engine)"
_TITLE = re.compile(r"profile of (\w+): ([\d.]+) s")
_ENTRY = re.compile(r"\s*([\d.]+) ms +[\d.]+ % +(\d+) x +[\d.]+ GFLOP +(\d+) GFLOP/s  (\S+)(.*)")


@dataclass(frozen=True, slots=True)
class Operation:
    """Everything of one kind and shape that was computed in a stage."""

    name: str
    """The operation and the types of its operands: "MUL_MAT q4_K f32"."""
    shape: str
    share: float
    """Of the stage's time."""
    count: int
    speed: int
    """GFLOP/s of one thread; 0 where nothing is multiplied."""
    left: bool
    """The engine computed it, not our kernels."""


def read_profiles(lines: Iterable[str]) -> dict[str, list[Operation]]:
    """Operations by stage, the slowest first, from the lines that the engine's process printed.

    >>> lines = ["profile of decode: 0.010 s, 1 GFLOP, 100 GFLOP/s",
    ...          "5.0 ms  50.0 %  3 x  1.0 GFLOP   7 GFLOP/s  MUL_MAT/12/0 a[1,2] (engine)"]
    >>> read_profiles(lines)["decode"]
    [Operation(name='MUL_MAT q4_K f32', shape='a[1,2]', share=0.5, count=3, speed=7, left=True)]
    """
    profiles: dict[str, list[Operation]] = {}
    current: list[Operation] = []
    total = 0.0
    for line in lines:
        if title := _TITLE.match(line):
            current = profiles.setdefault(title[1], [])
            total = float(title[2])
        elif total and (entry := _ENTRY.match(line)):
            milliseconds, count, speed, key, more = entry.groups()
            kind, *types = key.split("/")
            current.append(
                Operation(
                    name=" ".join([kind, *(_type_name(int(number)) for number in types)]),
                    shape=more.replace(_LEFT, "").strip(),
                    share=float(milliseconds) / 1e3 / total,
                    count=int(count),
                    speed=int(speed),
                    left=more.endswith(_LEFT),
                )
            )
    return profiles


def left_to_engine(operations: Iterable[Operation]) -> dict[str, float]:
    """Shares of the stage by operation, the largest first, of what our kernels do not compute."""
    shares: dict[str, float] = {}
    for operation in operations:
        if operation.left:
            shares[operation.name] = shares.get(operation.name, 0.0) + operation.share
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def left_text(operations: Iterable[Operation]) -> str:
    """What the engine computed, for people: all of it, and each operation worth naming.

    >>> left_text([Operation("ROPE f32", "", 0.03, 1, 0, True)])
    '3.0 %: ROPE f32 3.0 %'
    """
    shares = left_to_engine(operations)
    named = [f"{name} {share:.1%}" for name, share in shares.items() if share >= WORTH_NAMING]
    text = ": ".join([f"{sum(shares.values()):.1%}", *([", ".join(named)] if named else [])])
    return text.replace("%", " %")


def _type_name(number: int) -> str:
    """As models and plans write it: q4_0, q4_K."""
    return GGMLQuantizationType(number).name.lower().replace("_k", "_K")
