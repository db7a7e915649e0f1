"""Normalisation, activations, sums, copies: everything but products."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.accel.graphs import (
    UNARIES,
    VARIANTS,
    Array,
    Tensor,
    compute,
    in_place,
    relative_error,
    result,
)
from tests.native.accel.references import FUNCTIONS, softmax, standardise

EPSILON = 1e-5

any_threads = st.integers(1, 8)
any_seed = st.integers(0, 2**32 - 1)


def normal(seed: int, *shape: int) -> Array:
    """Normal values around 0.5."""
    values = np.random.default_rng(seed).standard_normal(shape) + 0.5
    return values.astype(np.float32)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=10, deadline=None)
@given(count=st.integers(1, 40_000), threads=any_threads, seed=any_seed)
def test_activation(variant: str, name: str, count: int, threads: int, seed: int) -> None:
    values = 10 * normal(seed, count)
    values[:: max(count // 7, 1)] *= 1000
    out = result(count).operation("unary", [Tensor(values)], [UNARIES[name]])
    assert compute(variant, [out], threads) == [1]
    wanted = FUNCTIONS[name](values.astype(np.float64))
    np.testing.assert_allclose(out.array, wanted, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 2),
    channels=st.integers(1, 70),
    groups=st.integers(1, 32),
    height=st.integers(1, 20),
    width=st.integers(1, 40),
    mean=st.sampled_from([0.0, 1000.0]),
    threads=any_threads,
)
def test_group_norm(
    variant: str,
    count: int,
    channels: int,
    groups: int,
    height: int,
    width: int,
    mean: float,
    threads: int,
) -> None:
    values = normal(1, count, channels, height, width) + np.float32(mean)
    out = result(*values.shape)
    out.operation("group_norm", [Tensor(values)], [groups, EPSILON])
    assert compute(variant, [out], threads) == [1]
    per_group = -(-channels // groups)
    wanted = np.zeros(values.shape)
    for first in range(0, channels, per_group):
        part = slice(first, first + per_group)
        wanted[:, part] = standardise(values[:, part], (1, 2, 3), EPSILON)
    np.testing.assert_allclose(out.array, wanted, rtol=1e-4, atol=5e-5 * (1 + mean))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("with_silu", [True, False])
def test_group_norm_with_scale_shift_and_silu(variant: str, with_silu: bool) -> None:
    values = normal(2, 2, 64, 9, 13)
    scale, shift = normal(3, 1, 64, 1, 1), normal(4, 1, 64, 1, 1)
    norm = result(*values.shape).operation("group_norm", [Tensor(values)], [32, EPSILON])
    scaled = in_place(norm).operation("mul", [norm, Tensor(scale)])
    shifted = in_place(norm).operation("add", [scaled, Tensor(shift)])
    silu = in_place(norm).operation("unary", [shifted], [UNARIES["silu"]])
    nodes = [norm, scaled, shifted, silu] if with_silu else [norm, scaled, shifted]
    assert compute(variant, nodes, 3) == [1, 2, 2, 2][: len(nodes)]
    grouped = values.reshape(2, 32, 2, 9, 13)
    wanted = standardise(grouped, (2, 3, 4), EPSILON).reshape(values.shape) * scale + shift
    if with_silu:
        wanted = FUNCTIONS["silu"](wanted)
    np.testing.assert_allclose(norm.array, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["norm", "rms_norm"])
@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 50),
    columns=st.integers(1, 700),
    fused=st.booleans(),
    threads=any_threads,
    seed=any_seed,
)
def test_norm_of_rows(
    variant: str, name: str, rows: int, columns: int, fused: bool, threads: int, seed: int
) -> None:
    values, scale, shift = normal(seed, rows, columns), normal(5, columns), normal(6, columns)
    norm = result(rows, columns).operation(name, [Tensor(values)], [EPSILON])
    nodes, expected = [norm], [1]
    wanted = standardise(values, (1,), EPSILON)
    if name == "rms_norm":
        mean_square = (values.astype(np.float64) ** 2).mean(1, keepdims=True)
        wanted = values / np.sqrt(mean_square + EPSILON)
    if fused:
        nodes.append(in_place(norm).operation("mul", [norm, Tensor(scale)]))
        expected.append(2)
        wanted = wanted * scale
        if name == "norm":
            nodes.append(in_place(norm).operation("add", [nodes[-1], Tensor(shift)]))
            expected.append(2)
            wanted = wanted + shift
    assert compute(variant, nodes, threads) == expected
    np.testing.assert_allclose(norm.array, wanted, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fused", [True, False])
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 30), columns=st.integers(1, 600), threads=any_threads, seed=any_seed)
def test_softmax(
    variant: str, fused: bool, rows: int, columns: int, threads: int, seed: int
) -> None:
    values = 3 * normal(seed, rows, columns)
    scores = Tensor(values.copy())
    nodes, factor = [], 0.7
    if fused:
        scores = in_place(scores).operation("scale", [scores], [0.5, 0.0])
        nodes, factor = [scores], 0.35
    out = (in_place(scores) if fused else result(rows, columns)).operation(
        "soft_max", [scores], [0.7, 0.0]
    )
    assert compute(variant, [*nodes, out], threads) == [2] * len(nodes) + [1]
    wanted = softmax(factor * values.astype(np.float64))
    np.testing.assert_allclose(out.array, wanted, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["add", "mul"])
@pytest.mark.parametrize(
    "shape",
    [
        (2, 5, 7, 40),
        (1, 5, 7, 40),
        (1, 1, 1, 1),
        (1, 5, 1, 1),
        (2, 5, 1, 1),
        (1, 1, 1, 40),
        (1, 1, 7, 40),
        (2, 1, 7, 1),
    ],
)
def test_sums_and_products_are_broadcast(variant: str, name: str, shape: tuple[int, ...]) -> None:
    a, b = normal(7, 2, 5, 7, 40), normal(8, *shape)
    out = result(*a.shape).operation(name, [Tensor(a), Tensor(b)])
    assert compute(variant, [out], 3) == [1]
    np.testing.assert_array_equal(out.array, a + b if name == "add" else a * b)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1), (1, 0, 2, 3), (0, 2, 3, 1)]
)
@settings(max_examples=8, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, n) for n in (2, 20, 30, 70)]),
    threads=any_threads,
)
def test_copies_permute(
    variant: str, order: tuple[int, ...], shape: tuple[int, ...], threads: int
) -> None:
    values = normal(9, *shape)
    source = values.transpose(order)
    out = result(*source.shape).operation("cont", [Tensor(source)])
    if compute(variant, [out], threads) == [1]:
        np.testing.assert_array_equal(out.array, source)
    else:  # left to the engine, untouched
        assert order in {(0, 2, 3, 1), (0, 3, 2, 1), (1, 0, 2, 3)}
        assert np.isnan(out.array).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_copies_convert_to_half(variant: str) -> None:
    values = normal(10, 5, 1003)
    out = Tensor(np.zeros((5, 1003), np.float16), "f16").operation("cont", [Tensor(values)])
    assert compute(variant, [out], 2) == [1]
    np.testing.assert_array_equal(out.array, values.astype(np.float16))


@pytest.mark.parametrize("variant", VARIANTS)
def test_gated_gelu_reads_both_halves_of_one_tensor(variant: str) -> None:
    both = Tensor(normal(11, 50, 2 * 96))
    x = Tensor(both.array[:, :96]).operation("view", [both]).viewing(both)
    gate = Tensor(both.array[:, 96:]).operation("view", [both]).viewing(both)
    copied = result(50, 96).operation("cont", [gate])
    activated = in_place(copied).operation("unary", [copied], [UNARIES["gelu"]])
    out = result(50, 96).operation("mul", [x, activated])
    assert compute(variant, [copied, activated, out], 2) == [2, 2, 1]
    wanted = both.array[:, :96] * FUNCTIONS["gelu"](both.array[:, 96:].astype(np.float64))
    assert relative_error(out.array, wanted) < 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_concatenation(variant: str, axis: int) -> None:
    a = normal(12, 2, 3, 4, 5)
    b = normal(13, *(n + 1 if i == axis else n for i, n in enumerate(a.shape)))
    wanted = np.concatenate([a, b], axis)
    out = result(*wanted.shape).operation("concat", [Tensor(a), Tensor(b)], [3 - axis])
    assert compute(variant, [out], 3) == [1]
    np.testing.assert_array_equal(out.array, wanted)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_doubling_and_repeating(variant: str) -> None:
    values = normal(14, 2, 3, 5, 7)
    padded = np.pad(values, [(0, 0), (1, 0), (0, 2), (3, 1)])
    out = result(*padded.shape).operation("pad", [Tensor(values)], [3, 1, 0, 2, 1, 0, 0, 0])
    doubled = result(2, 3, 10, 14).operation("upscale", [Tensor(values)], [0])
    ones = result(3, 1000).operation("repeat", [Tensor(np.ones(1, np.float32))])
    assert compute(variant, [out, doubled, ones], 2) == [1, 1, 1]
    np.testing.assert_array_equal(out.array, padded)
    np.testing.assert_array_equal(doubled.array, values.repeat(2, 2).repeat(2, 3))
    assert (ones.array == 1).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_rotary_embeddings_double_and_broadcast_short_rows(variant: str) -> None:
    half, angles = normal(17, 3, 50, 64, 1), normal(18, 1, 50, 64, 2)
    doubled = result(3, 50, 64, 2).operation("repeat", [Tensor(half)])
    turned = result(3, 50, 64, 2).operation("mul", [doubled, Tensor(angles)])
    scaled = result(3, 50, 64, 2).operation("scale", [turned], [0.5, 2.0])
    assert compute(variant, [doubled, turned, scaled], 3) == [1, 1, 1]
    np.testing.assert_array_equal(turned.array, half * angles)
    np.testing.assert_allclose(scaled.array, half * angles * 0.5 + 2, rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_result_with_two_readers_is_not_fused(variant: str) -> None:
    values, scale = normal(15, 8, 64), normal(16, 64)
    norm = result(8, 64).operation("rms_norm", [Tensor(values)], [EPSILON])
    scaled = result(8, 64).operation("mul", [norm, Tensor(scale)])
    reader = result(8, 64).operation("add", [scaled, norm])
    assert compute(variant, [norm, scaled, reader], 2) == [1, 1, 1]
    np.testing.assert_array_equal(reader.array, scaled.array + norm.array)


@pytest.mark.parametrize("variant", VARIANTS)
@given(count=st.integers(1, 40_000), threads=any_threads, seed=any_seed)
@settings(max_examples=10, deadline=None)
def test_leaky_relu(variant: str, count: int, threads: int, seed: int) -> None:
    values = normal(seed, count)
    out = result(count).operation("leaky_relu", [Tensor(values)], [0.2])
    assert compute(variant, [out], threads) == [1]
    wanted = np.where(values < 0, np.float32(0.2) * values, values)
    np.testing.assert_allclose(out.array, wanted, rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("axes", [(3, 1, 2, 0), (3, 0, 2, 1), (2, 3, 0, 1)])
def test_copy_of_any_permutation(variant: str, axes: tuple[int, int, int, int]) -> None:
    """A rotary embedding takes pairs apart: the fastest dimension goes to the end."""
    values = normal(5, 7, 6, 30, 2)
    permuted = values.transpose(axes)
    out = result(*permuted.shape).operation("cont", [Tensor(permuted)])
    assert compute(variant, [out], 3) == [1]
    np.testing.assert_array_equal(out.array, permuted)
