"""Matrix products of every type of weights."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.accel.graphs import (
    VARIANTS,
    Array,
    Tensor,
    compute,
    in_place,
    quantised,
    relative_error,
    result,
)

BLOCKS = {
    "f32": 1,
    "f16": 1,
    "bf16": 1,
    "q8_0": 32,
    "q4_0": 32,
    "q4_1": 32,
    "q5_0": 32,
    "q5_1": 32,
    "q4_k": 256,
    "q5_k": 256,
    "q6_k": 256,
}
INTEGERS = ("q8_0", "q4_0", "q4_k", "q5_k", "q6_k")
"""Types whose quants stay integers where activations are quantised."""


def most_error(variant: str, kind: str, weights: Array, inputs: Array) -> npt.NDArray[np.float64]:
    """The largest error that rounding can cause: operands to bf16 or int8, sums to floats."""
    products: npt.NDArray[np.float64] = np.abs(inputs) @ np.abs(weights).swapaxes(-1, -2)
    sums: npt.NDArray[np.float64] = (weights.shape[-1] + 8) * 2.0**-24 * products
    if variant.endswith("int8") and kind in INTEGERS and weights.shape[-1] % 32 == 0:
        blocks = inputs.reshape(*inputs.shape[:-1], -1, 32)
        largest = np.repeat(np.abs(blocks).max(-1), 32, -1)
        steps = largest / 254 * 1.001
        return np.asarray(sums + steps @ np.abs(weights).swapaxes(-1, -2) + 1e-6 * products)
    if variant in ("bf16", "int8", "avx2-int8"):
        return np.asarray(sums + 2.0**-6.99 * products)
    return sums


def with_outliers(generator: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """Normal values, where a hundredth is `scale` times as large."""
    values = generator.standard_normal(shape)
    return np.where(generator.random(shape) < 0.01, values * scale, values).astype(np.float32)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", BLOCKS)
@settings(max_examples=12, deadline=None)
@given(
    lanes=st.integers(1, 150),
    rows=st.integers(4, 40),
    blocks=st.integers(1, 6),
    rest=st.integers(0, 40),
    threads=st.integers(1, 8),
    outliers=st.sampled_from([1.0, 1e4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_product_is_exact_to_rounding(
    variant: str,
    kind: str,
    lanes: int,
    rows: int,
    blocks: int,
    rest: int,
    threads: int,
    outliers: float,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    depth = blocks * 32 + rest if BLOCKS[kind] == 1 else blocks * BLOCKS[kind]
    weights, exact = quantised(generator.standard_normal((lanes, depth)), kind)
    inputs = with_outliers(generator, (rows, depth), outliers)
    out = result(rows, lanes).operation("mul_mat", [weights, Tensor(inputs)])
    assert compute(variant, [out], threads) == [1]
    error = np.abs(out.array - inputs.astype(np.float64) @ exact.T)
    assert (error <= most_error(variant, kind, exact, inputs) + 1e-30).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", INTEGERS)
def test_deep_products_are_summed_in_blocks(variant: str, kind: str) -> None:
    generator = np.random.default_rng(1)
    weights, exact = quantised(generator.standard_normal((70, 5120)), kind)
    inputs = with_outliers(generator, (33, 5120), 100.0)
    out = result(33, 70).operation("mul_mat", [weights, Tensor(inputs)])
    assert compute(variant, [out], 2) == [1]
    error = np.abs(out.array - inputs.astype(np.float64) @ exact.T)
    assert (error <= most_error(variant, kind, exact, inputs)).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0", "q4_k", "q6_k"])
def test_bytes_do_not_depend_on_the_threads(variant: str, kind: str) -> None:
    generator = np.random.default_rng(2)
    weights, _ = quantised(generator.standard_normal((700, 768)), kind)
    inputs = Tensor(generator.standard_normal((300, 768)).astype(np.float32))
    seen = set()
    for threads in range(1, 9):
        out = result(300, 700).operation("mul_mat", [weights, inputs])
        compute(variant, [out], threads)
        seen.add(out.array.tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=15, deadline=None)
@given(
    outer=st.integers(1, 2),
    weights_outer=st.booleans(),
    inner=st.integers(1, 4),
    share=st.integers(1, 3),
    threads=st.integers(1, 8),
    half_inputs=st.booleans(),
)
def test_batches_share_weights(
    variant: str,
    outer: int,
    weights_outer: bool,
    inner: int,
    share: int,
    threads: int,
    half_inputs: bool,
) -> None:
    """The queries of several heads may belong to one head of keys."""
    generator = np.random.default_rng(3)
    weights = generator.standard_normal((outer if weights_outer else 1, inner, 21, 40))
    inputs = generator.standard_normal((outer, inner * share, 9, 40))
    weights_tensor, exact = quantised(weights, "f16")
    inputs_tensor, exact_inputs = quantised(inputs, "f16" if half_inputs else "f32")
    out = result(outer, inner * share, 9, 21)
    out.operation("mul_mat", [weights_tensor, inputs_tensor])
    assert compute(variant, [out], threads) == [1]
    repeated = np.repeat(np.broadcast_to(exact, (outer, inner, 21, 40)), share, axis=1)
    wanted = exact_inputs @ repeated.swapaxes(-1, -2)
    error = np.abs(out.array - wanted)
    assert (error <= most_error(variant, "f16", repeated, exact_inputs)).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_operands_may_be_strided(variant: str) -> None:
    """Attention reads heads out of the middle of rows."""
    generator = np.random.default_rng(4)
    keys = generator.standard_normal((30, 8, 40)).astype(np.float32).transpose(1, 0, 2)
    queries = generator.standard_normal((17, 8, 40)).astype(np.float32).transpose(1, 0, 2)
    out = result(8, 17, 30).operation("mul_mat", [Tensor(keys), Tensor(queries)])
    assert compute(variant, [out], 3) == [1]
    wanted = queries.astype(np.float64) @ keys.astype(np.float64).swapaxes(-1, -2)
    assert (np.abs(out.array - wanted) <= most_error(variant, "f32", keys, queries)).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["f16", "q8_0", "q5_k"])
def test_bias_and_residual_join_the_product(variant: str, kind: str) -> None:
    generator = np.random.default_rng(5)
    weights, exact = quantised(generator.standard_normal((100, 256)), kind)
    inputs = generator.standard_normal((2, 31, 256)).astype(np.float32)
    bias = generator.standard_normal(100).astype(np.float32)
    residual = generator.standard_normal((2, 31, 100)).astype(np.float32)
    product = result(2, 31, 100).operation("mul_mat", [weights, Tensor(inputs)])
    biased = in_place(product).operation("add", [product, Tensor(bias)])
    out = in_place(product).operation("add", [biased, Tensor(residual)])
    assert compute(variant, [product, biased, out], 2) == [1, 2, 2]
    wanted = inputs.astype(np.float64) @ exact.T + bias + residual
    error = np.abs(out.array - wanted)
    assert (error <= most_error(variant, kind, exact, inputs) + 1e-6 * np.abs(wanted)).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_channel_far_larger_than_its_neighbours_costs_them_nothing(
    variant: str, threads: int
) -> None:
    """As behind a norm that scales it up: its weights are as much smaller than the others."""
    generator = np.random.default_rng(17)
    values = generator.standard_normal((50, 320))
    values[:, ::32] = 0
    weights, exact = quantised(values, "q8_0")
    inputs = generator.standard_normal((60, 320)).astype(np.float32)
    inputs[:, ::32] *= 300
    out = result(60, 50).operation("mul_mat", [weights, Tensor(inputs)])
    assert compute(variant, [out], threads) == [1]
    assert relative_error(out.array, inputs.astype(np.float64) @ exact.T) < 6e-3


def test_products_of_few_rows_are_left_to_the_engine() -> None:
    weights, _ = quantised(np.ones((64, 64)), "f16")
    out = result(1, 64).operation("mul_mat", [weights, Tensor(np.ones((1, 64), np.float32))])
    assert compute("avx2", [out]) == [0]
    assert np.isnan(out.array).all()


def test_weights_that_the_engine_packed_anew_are_left_to_it() -> None:
    """Their type and shape stay the same; it notes in `extra` how it did so."""
    weights, _ = quantised(np.ones((64, 64)), "q4_0")
    weights.struct.extra = 1
    out = result(8, 64).operation("mul_mat", [weights, Tensor(np.ones((8, 64), np.float32))])
    assert compute("avx2", [out]) == [0]
    assert np.isnan(out.array).all()
