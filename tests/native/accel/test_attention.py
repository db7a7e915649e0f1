"""Attention in one operation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.accel.graphs import VARIANTS, Array, Tensor, compute, relative_error, result
from tests.native.accel.references import attend, attended_lengths

MOST_ERROR = dict.fromkeys(VARIANTS, 1e-5) | {"bf16": 1e-2, "int8": 2e-2, "avx2-int8": 2e-2}
QUANTISES = ("int8", "avx2-int8")


def run(
    variant: str,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    threads: int,
) -> tuple[Array, Array]:
    """What the kernels make of it, and what is right."""
    scale = float(query.shape[-1]) ** -0.5
    wanted = attend(query, key, value, mask, scale).transpose(0, 2, 1, 3)
    kinds = {np.dtype(np.float16): "f16", np.dtype(np.float32): "f32"}
    out = result(*wanted.shape)
    out.operation(
        "flash_attn",
        [
            Tensor(query),
            Tensor(key, kinds[key.dtype]),
            Tensor(value, kinds[value.dtype]),
            None if mask is None else Tensor(mask, "f16"),
        ],
        [scale, 0.0, 0.0],
    )
    assert compute(variant, [out], threads) == [1]
    return out.array, wanted


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 2),
    key_heads=st.integers(1, 3),
    share=st.integers(1, 2),
    queries=st.integers(1, 30),
    keys=st.one_of(st.integers(1, 300), st.integers(512, 1100)),
    size=st.integers(1, 100),
    value_size=st.one_of(st.none(), st.integers(1, 100)),
    half=st.booleans(),
    strength=st.sampled_from([1.0, 10.0]),
    threads=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_attention_of_any_shape(
    variant: str,
    count: int,
    key_heads: int,
    share: int,
    queries: int,
    keys: int,
    size: int,
    value_size: int | None,
    half: bool,
    strength: float,
    threads: int,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    kind = np.float16 if half else np.float32
    query = strength * generator.standard_normal((count, key_heads * share, queries, size))
    key = generator.standard_normal((count, key_heads, keys, size)).astype(kind)
    value = generator.standard_normal((count, key_heads, keys, value_size or size)).astype(kind)
    got, wanted = run(variant, query.astype(np.float32), key, value, None, threads)
    lengths = attended_lengths(query, key, value, size**-0.5)
    # Sharp weights double what rounding the scores does; a single value is not averaged at all.
    error = np.linalg.norm(got - wanted) / np.linalg.norm(lengths)
    assert error < MOST_ERROR[variant] * (1 + strength)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("visible", [1, 77, 154, 600])
def test_masked_keys_are_not_seen(variant: str, visible: int) -> None:
    generator = np.random.default_rng(11)
    query = generator.standard_normal((1, 4, 20, 40)).astype(np.float32)
    key = generator.standard_normal((1, 4, 640, 40)).astype(np.float16)
    value = generator.standard_normal((1, 4, 640, 40)).astype(np.float16)
    value[:, :, visible:] = 1000
    mask = np.zeros((20, 640), np.float16)
    mask[:, visible:] = -np.inf
    got, wanted = run(variant, query, key, value, mask, 2)
    assert relative_error(got, wanted) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_masks_add_to_the_scores(variant: str) -> None:
    """The mask of a text encoder: no token sees those after it."""
    generator = np.random.default_rng(12)
    query = generator.standard_normal((1, 12, 77, 64)).astype(np.float32)
    key = generator.standard_normal((1, 12, 77, 64)).astype(np.float32)
    value = generator.standard_normal((1, 12, 77, 64)).astype(np.float32)
    later = np.triu(np.ones((77, 77), bool), 1)
    mask = np.where(later, -np.inf, generator.standard_normal((77, 77))).astype(np.float16)
    got, wanted = run(variant, query, key, value, mask, 3)
    assert relative_error(got, wanted) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_heads_may_lie_in_the_rows_of_a_layer(variant: str) -> None:
    generator = np.random.default_rng(13)
    rows = generator.standard_normal((3, 1, 50, 8, 40)).astype(np.float32)
    query, key, value = (part.transpose(0, 2, 1, 3) for part in rows)
    got, wanted = run(variant, query, key, value, None, 2)
    assert relative_error(got, wanted) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_bytes_do_not_depend_on_the_threads(variant: str) -> None:
    generator = np.random.default_rng(14)
    query = generator.standard_normal((1, 5, 300, 40)).astype(np.float32)
    key = generator.standard_normal((1, 5, 600, 40)).astype(np.float16)
    seen = {run(variant, query, key, key, None, threads)[0].tobytes() for threads in range(1, 9)}
    assert len(seen) == 1


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_large_scores_are_not_rounded(variant: str, threads: int) -> None:
    """Keys with a large bias in one dimension, as in Qwen2.5, or long ones, as in SD 2.1."""
    generator = np.random.default_rng(15)
    query, key, value = generator.standard_normal((3, 1, 3, 530, 64)).astype(np.float32)
    key[:, 1, :, 7] += 200
    key[:, 2] *= 50
    got, wanted = run(variant, query, key, value, None, threads)
    errors = [relative_error(got[:, :, head], wanted[:, :, head]) for head in range(3)]
    # The first head has scores as they mostly are: it is rounded where that is faster.
    assert (errors[0] > 1e-4) == (variant in ("bf16", *QUANTISES))
    # What all keys have in common is not quantised.
    assert errors[1] < (MOST_ERROR[variant] if variant in QUANTISES else 1e-4)
    assert errors[2] < 1e-4


@pytest.mark.parametrize("variant", QUANTISES)
@pytest.mark.parametrize(
    ("query_factor", "key_factor"), [(1, 100), (0.01, 100), (100, 0.01), (10, 1)]
)
@pytest.mark.parametrize("rows", ["all", "one"])
def test_large_channels_spoil_no_scores(
    variant: str, query_factor: float, key_factor: float, rows: str
) -> None:
    """A channel that is larger than the others, in all rows or in one that no sample sees."""
    generator = np.random.default_rng(17)
    query, key, value = generator.standard_normal((3, 1, 2, 530, 64)).astype(np.float32)
    large = slice(None) if rows == "all" else slice(101, 102)
    query[:, 0, large, 7] *= query_factor
    key[:, 0, large, 7] *= key_factor
    got, wanted = run(variant, query, key, value, None, 2)
    for head in range(2):  # scores are off by 1/32 at most
        assert relative_error(got[:, :, head], wanted[:, :, head]) < MOST_ERROR[variant] + 1 / 32


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_not_a_number_is_not_hidden(variant: str, poison: float) -> None:
    """A query concerns itself alone; a key all queries of its head that see more than -infinity."""
    generator = np.random.default_rng(16)
    query, key, value = generator.standard_normal((3, 1, 3, 530, 64)).astype(np.float32)
    query[0, 0, 9, 5] = key[0, 1, 101, 63] = poison
    with np.errstate(invalid="ignore"):
        got, wanted = run(variant, query, key, value, None, 2)
    assert np.array_equal(np.isnan(got), np.isnan(wanted))
    assert np.isnan(got[0, 9, 0]).all()
    assert np.isnan(got[0, :, 1]).any()
    others = np.arange(530) != 9
    for part, whole in ((got[:, others, 0], wanted[:, others, 0]), (got[:, :, 2], wanted[:, :, 2])):
        assert relative_error(part, whole) < MOST_ERROR[variant]
