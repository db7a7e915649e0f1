"""Every operation against double precision and the engine's own, in graphs of the engine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.accel.cases import Case
from tests.native.accel.engine_graphs import Graph, require
from tests.native.accel.graphs import VARIANTS, Array
from tests.native.accel.small_cases import OPERATIONS

T = TypeVar("T")

ROUNDED = 2.0**-6
"""What rounding both operands to 8 bits may do to a vector of a product, at worst."""
EXACT = 2e-5
"""What sums in 32 bits may do."""
OF_THE_ENGINE, DEVIATIONS = 1.25, 5.0
"""Where activations are quantised: as a part of the engine's error, which quantises them, too, and
loses tiny ones; and, as its blocks are others and its luck with a short vector, too, in standard
deviations of what rounding does."""

MULTIPLIES = ("product", "convolution", "winograd", "attention")
QUANTISES = tuple(f"product {kind}" for kind in ("q8_0", "q4_0", "q4_k", "q5_k", "q6_k"))


class Drawn:
    """Sizes drawn by hypothesis, which makes those of a failure smaller."""

    def __init__(self, data: st.DataObject, *, poisons: bool = False) -> None:
        self._data = data
        self._poisons = poisons
        self._generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))

    def integer(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))

    def choice(self, options: Sequence[T]) -> T:
        return self._data.draw(st.sampled_from(options))

    def generator(self) -> np.random.Generator:
        return self._generator

    def poisons(self) -> bool:
        return self._poisons


def allowed(name: str, variant: str, case: Case, of_the_engine: Array) -> Array | float:
    """The largest error of this operation, or of each vector of it."""
    multiplies = name.partition(" ")[0] in MULTIPLIES
    if variant.endswith("int8") and name in QUANTISES:
        rounded: Array = np.maximum(
            OF_THE_ENGINE * of_the_engine, DEVIATIONS * case.rounding_errors
        )
        return np.maximum(ROUNDED, rounded)
    rounds = variant in ("bf16", "int8") or (name, variant) == ("attention", "avx2-int8")
    return ROUNDED if multiplies and rounds else EXACT


def compare(name: str, variant: str, data: st.DataObject) -> None:
    """Compute a case with these kernels: right, and the same with any number of threads."""
    require(variant)
    threads = data.draw(st.integers(2, 8))
    with Graph() as graph:
        case = OPERATIONS[name](graph, Drawn(data))
        graph.output(case.output)
        of_the_engine = case.errors(graph.compute("off", threads)[0])
        got = graph.compute(variant, threads)[0]
        alone = graph.compute(variant, 1)[0]
    errors = case.errors(got)
    limits = allowed(name, variant, case, of_the_engine) * case.sensitivity
    worst = int((errors - limits).argmax())
    assert (errors <= limits).all(), f"{errors[worst]:.2g}, the engine {of_the_engine[worst]:.2g}"
    assert got.tobytes() == alone.tobytes()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_operation(name: str, variant: str, data: st.DataObject) -> None:
    compare(name, variant, data)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_operation_often(name: str, variant: str, data: st.DataObject) -> None:
    compare(name, variant, data)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_what_is_not_finite_stays_so(name: str, variant: str, data: st.DataObject) -> None:
    """A broken model must give a broken picture, not one that looks right."""
    require(variant)
    if variant.endswith("int8") and name in QUANTISES:
        return  # nothing says "not a number" in 8 bits, and the engine quantises, too
    with Graph() as graph, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        case = OPERATIONS[name](graph, Drawn(data, poisons=True))
        graph.output(case.output)
        got = graph.compute(variant, 2)[0]
    # Of -infinity relu makes what is not a number: 0 times infinity.
    assert not np.isfinite(got[~np.isfinite(case.wanted)]).any()
    assert np.isfinite(got[np.isfinite(case.wanted)]).all() or name == "relu"
