"""What is fused in random graphs of the engine changes no result that anything reads."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.accel.engine_graphs import Graph, require
from tests.native.accel.graphs import VARIANTS
from tests.native.accel.random_graphs import CHAINS, STEPS, RandomGraph, Step

EXACT = [variant for variant in VARIANTS if "int8" not in variant and variant != "bf16"]
"""What is fused does not depend on the kernels; these show mistakes best."""

bits = st.integers(0, 0x7FF)
one_step = st.builds(
    Step,
    st.sampled_from(sorted(STEPS)),
    pick=st.sampled_from([0, 0, 0, 1, 2, 5]),
    other=st.integers(0, 7),
    choice=bits,
)


@st.composite
def one_chain(draw: st.DrawFn) -> list[Step]:
    """A chain as networks have it, now and then with something in between."""
    steps = []
    for name in draw(st.sampled_from(CHAINS)):
        if draw(st.integers(0, 7)) == 7:
            steps.append(draw(one_step))
        steps.append(Step(name, 0, draw(st.integers(0, 7)), draw(bits)))
    return steps


programs = st.lists(one_chain(), min_size=1, max_size=5).map(lambda parts: [*chain(*parts)])


def compare(variant: str, program: list[Step], seed: int, threads: int) -> None:
    """Compute a random graph with these kernels and with the engine's own."""
    require(variant)
    shapes = ((1, 8, 6, 16), (2, 32, 8, 32), (1, 4, 12, 20), (2, 1, 5, 64))
    with Graph() as graph:
        made = RandomGraph(graph, seed, shapes[seed % len(shapes)])
        for step in program:
            made.apply(step)
        made.finish()
        if not graph.outputs:
            return
        wanted = graph.compute("off", threads)
        disturbed = graph.compute("off", threads, disturbed=1e-3)
        got = graph.compute(variant, threads)
    if not all(np.isfinite(values).all() for values in (*wanted, *disturbed)):
        return  # a product of products of products
    for ours, theirs, moved in zip(got, wanted, disturbed, strict=True):
        # The engine looks gelu up in a table, to three digits. What such errors grow to, shows
        # what a disturbance as large grows to.
        allowed = 20 * np.linalg.norm(moved - theirs) + 1e-2 * np.linalg.norm(theirs) + 1e-6
        assert np.linalg.norm(ours - theirs) <= allowed


@pytest.mark.parametrize("variant", EXACT)
@settings(max_examples=150, deadline=None)
@given(program=programs, seed=st.integers(0, 1000), threads=st.integers(1, 4))
def test_random_graph(variant: str, program: list[Step], seed: int, threads: int) -> None:
    compare(variant, program, seed, threads)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("variant", EXACT)
@settings(max_examples=10_000, deadline=None)
@given(program=programs, seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 8))
def test_random_graph_often(variant: str, program: list[Step], seed: int, threads: int) -> None:
    compare(variant, program, seed, threads)
