"""How exact each operation of our kernels is, beside the engine's own: errors against 64 bits.

Every operation is computed with random shapes and values, most of them with outliers, by our
kernels and by the engine. The error of a vector (a token, a pixel, a row) is the length of the
difference as a part of the length of what is right; "worst" is the worst vector of all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.native.accel.engine_graphs import Graph, usable_variants
from tests.native.accel.graphs import Array
from tests.native.accel.small_cases import OPERATIONS

T = TypeVar("T")


class Random:
    """Sizes and values drawn at random."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """Between both, both included."""
        return int(self._generator.integers(low, high + 1))

    def choice(self, options: Sequence[T]) -> T:
        """One of these."""
        return options[self.integer(0, len(options) - 1)]

    def generator(self) -> np.random.Generator:
        """Where the values come from."""
        return self._generator

    def poisons(self) -> bool:
        """Whether values are not finite: never."""
        return False


def measure(name: str, variants: Sequence[str], cases: int) -> dict[str, Array]:
    """The errors of all vectors of many cases of one operation, by kernels."""
    errors: dict[str, list[Array]] = {variant: [] for variant in variants}
    for seed in range(cases):
        with Graph() as graph:
            case = OPERATIONS[name](graph, Random(seed))
            graph.output(case.output)
            for variant in variants:
                got = graph.compute(variant, 1 + seed % 8)[0]
                errors[variant].append(case.errors(got))
    return {variant: np.concatenate(parts) for variant, parts in errors.items()}


def described(errors: Array) -> str:
    """Median and worst."""
    return f"{np.median(errors):7.1e} {errors.max():7.1e}"


def main() -> None:
    """Print the table, operation by operation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100, help="of each operation")
    parser.add_argument("operations", nargs="*", help="all where none is named")
    arguments = parser.parse_args()
    variants = ["off", *usable_variants()]
    names = {"off": "engine"}
    titles = "".join(f"{names.get(variant, variant):>18}" for variant in variants)
    print(f"error: median, worst{titles}")
    for name in arguments.operations or OPERATIONS:
        errors = measure(name, variants, arguments.cases)
        print(f"{name:20}" + "".join(f"{described(errors[v]):>18}" for v in variants), flush=True)


if __name__ == "__main__":
    main()
