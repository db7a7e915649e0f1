"""Convolutions, directly and through Winograd's transform."""

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
    quantised,
    relative_error,
    result,
)
from tests.native.accel.references import convolve

MOST_ERROR = dict.fromkeys(VARIANTS, 2e-6) | {"bf16": 1e-2, "int8": 1e-2}
"""Of the length of the result. bf16 rounds operands to 8 bits: 2^-7, more where sums cancel."""


def run(
    variant: str,
    pictures: Array,
    kernel: Array,
    kind: str,
    threads: int,
    stride: tuple[int, int] = (1, 1),
    pad: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> tuple[Array, Array]:
    """What the kernels make of it, and what is right."""
    weights, exact = quantised(kernel, kind)
    wanted = convolve(pictures, exact, stride, pad, dilation)
    out = result(*wanted.shape)
    out.operation("conv_2d", [weights, Tensor(pictures)], [*stride, *pad, *dilation])
    assert compute(variant, [out], threads) == [1]
    return out.array, wanted


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 2),
    channels=st.integers(1, 40),
    outputs=st.integers(1, 20),
    height=st.integers(3, 20),
    width=st.integers(3, 20),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    kind=st.sampled_from(["f16", "f32"]),
    threads=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_convolution_of_any_shape(
    variant: str,
    count: int,
    channels: int,
    outputs: int,
    height: int,
    width: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilation: tuple[int, int],
    kind: str,
    threads: int,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    if dilation[0] * (kernel[0] - 1) >= width + 2 * pad[0]:
        dilation = (1, dilation[1])
    if dilation[1] * (kernel[1] - 1) >= height + 2 * pad[1]:
        dilation = (dilation[0], 1)
    pictures = generator.standard_normal((count, channels, height, width)).astype(np.float32)
    weights = generator.standard_normal((outputs, channels, kernel[1], kernel[0]))
    got, wanted = run(variant, pictures, weights, kind, threads, stride, pad, dilation)
    assert relative_error(got, wanted) < MOST_ERROR[variant]


WINOGRAD_SIZES = [(8, 16), (16, 16), (32, 32), (16, 32), (64, 32), (64, 64), (6, 96), (11, 13)]
"""Height and width: in place with one or two blocks of tiles, and with shared weights."""


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", WINOGRAD_SIZES)
@pytest.mark.parametrize("kind", ["f16", "f32"])
def test_winograd(variant: str, size: tuple[int, int], kind: str) -> None:
    generator = np.random.default_rng(6)
    pictures = generator.standard_normal((2, 70, *size)).astype(np.float32)
    weights = generator.standard_normal((45, 70, 3, 3))
    got, wanted = run(variant, pictures, weights, kind, 3, pad=(1, 1))
    assert relative_error(got, wanted) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 2),
    channels=st.integers(16, 70).map(lambda half: 2 * half),
    outputs=st.integers(32, 60),
    height=st.integers(5, 50),
    width=st.integers(8, 70),
    threads=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_winograd_of_any_size(
    variant: str,
    count: int,
    channels: int,
    outputs: int,
    height: int,
    width: int,
    threads: int,
    seed: int,
) -> None:
    """Tiles that reach over the picture, and vectors of tiles over the end of a row."""
    generator = np.random.default_rng(seed)
    pictures = generator.standard_normal((count, channels, height, width)).astype(np.float32)
    weights = generator.standard_normal((outputs, channels, 3, 3))
    got, wanted = run(variant, pictures, weights, "f16", threads, pad=(1, 1))
    assert relative_error(got, wanted) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(192, 192), (180, 250)])
@pytest.mark.parametrize("is_smooth", [True, False])
def test_winograd_of_a_large_picture(variant: str, size: tuple[int, int], is_smooth: bool) -> None:
    """Tiles of 4 x 4 in every variant: with bf16 three times the error on noise."""
    generator = np.random.default_rng(11)
    pictures = generator.standard_normal((1, 34, *size)).astype(np.float32)
    if is_smooth:
        pictures = np.cumsum(np.cumsum(pictures, 2), 3)
    weights = generator.standard_normal((33, 34, 3, 3))
    got, wanted = run(variant, pictures, weights, "f16", 2, pad=(1, 1))
    rounding = 1 if is_smooth or MOST_ERROR[variant] < 1e-3 else 2.5
    assert relative_error(got, wanted) < rounding * MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (32, 32), (64, 64)])
def test_bytes_do_not_depend_on_the_threads(variant: str, size: tuple[int, int]) -> None:
    generator = np.random.default_rng(7)
    pictures = generator.standard_normal((1, 320, *size)).astype(np.float32)
    weights = generator.standard_normal((64, 320, 3, 3))
    seen = {run_once(variant, pictures, weights, threads).tobytes() for threads in (1, 2, 3, 5, 8)}
    assert len(seen) == 1


def run_once(variant: str, pictures: Array, kernel: Array, threads: int) -> Array:
    """A 3x3 convolution without its reference."""
    weights, _ = quantised(kernel, "f16")
    out = result(pictures.shape[0], kernel.shape[0], *pictures.shape[2:])
    out.operation("conv_2d", [weights, Tensor(pictures)], [1, 1, 1, 1, 1, 1])
    assert compute(variant, [out], threads) == [1]
    return out.array


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(24, 24), (32, 32)])
def test_channels_with_outliers(variant: str, size: tuple[int, int]) -> None:
    """Decoders have a few channels thousands of times as large as the others."""
    generator = np.random.default_rng(8)
    pictures = generator.standard_normal((1, 128, *size)).astype(np.float32)
    pictures[:, 5] *= 3e4
    pictures[:, 77, 3, 3] = 1e6
    weights = generator.standard_normal((64, 128, 3, 3))
    got, wanted = run(variant, pictures, weights, "f16", 2, pad=(1, 1))
    assert relative_error(got, wanted) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("strength", [1e2, 1e4, 1e6])
def test_a_huge_pixel_does_not_spoil_its_neighbours(variant: str, strength: float) -> None:
    """Winograd's F(2x2, 3x3) needs no guard: a result is made of its own 3x3 inputs alone.

    Larger tiles would add the error of a huge input to results that do not read it, so they are not
    used for such pictures.
    """
    generator = np.random.default_rng(16)
    pictures = generator.standard_normal((1, 64, 32, 32)).astype(np.float32)
    pictures[:, :, 10, 10] *= strength
    pictures[:, 5, 20, 21] = strength
    pictures[:, 9] *= strength
    kernel = generator.standard_normal((40, 64, 3, 3))
    kernel[:, 9] /= strength
    _, exact = quantised(kernel, "f32")
    got, wanted = run(variant, pictures, kernel, "f32", 2, pad=(1, 1))
    squares = convolve(pictures.astype(np.float64) ** 2, exact**2, pad=(1, 1))
    errors = np.linalg.norm(got - wanted, axis=1) / np.sqrt(squares.sum(1))
    assert errors.max() < 2.5 * MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_huge_pixel_of_a_large_picture_does_not_spoil_its_neighbours(variant: str) -> None:
    """Here every variant has large tiles, unless it sees such a pixel."""
    generator = np.random.default_rng(17)
    pictures = generator.standard_normal((1, 32, 192, 192)).astype(np.float32)
    pictures[:, :, 100, 101] *= 1e3
    kernel = generator.standard_normal((32, 32, 3, 3))
    got, wanted = run(variant, pictures, kernel, "f16", 2, pad=(1, 1))
    got[:, :, 99:102, 100:103] = wanted[:, :, 99:102, 100:103] = 0  # what reads it
    around = (slice(None), slice(None), slice(94, 107), slice(95, 108))
    assert relative_error(got[around], wanted[around]) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(9, 11), (16, 16), (32, 32)])
def test_bias_and_residual_join_the_convolution(variant: str, size: tuple[int, int]) -> None:
    generator = np.random.default_rng(9)
    pictures = generator.standard_normal((2, 40, *size)).astype(np.float32)
    weights, exact = quantised(generator.standard_normal((50, 40, 3, 3)), "f16")
    bias = generator.standard_normal((1, 50, 1, 1)).astype(np.float32)
    residual = generator.standard_normal((2, 50, *size)).astype(np.float32)
    out = result(2, 50, *size)
    out.operation("conv_2d", [weights, Tensor(pictures)], [1, 1, 1, 1, 1, 1])
    biased = in_place(out).operation("add", [out, Tensor(bias)])
    last = in_place(out).operation("add", [biased, Tensor(residual)])
    relu = in_place(out).operation("unary", [last], [UNARIES["relu"]])
    assert compute(variant, [out, biased, last], 2) == [1, 2, 2]
    wanted = convolve(pictures, exact, pad=(1, 1)) + bias + residual
    assert relative_error(out.array, wanted) < MOST_ERROR[variant]
    assert compute(variant, [out, biased, last, relu], 2) == [1, 2, 2, 2]
    assert relative_error(out.array, np.maximum(wanted, 0)) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 2),
    channels=st.integers(1, 30),
    outputs=st.integers(1, 4),
    height=st.integers(3, 10),
    width=st.integers(16, 150),
    kernel=st.sampled_from([1, 3, 5]),
    dilation=st.integers(1, 2),
    kind=st.sampled_from(["f16", "f32"]),
    threads=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_few_output_channels(
    variant: str,
    count: int,
    channels: int,
    outputs: int,
    height: int,
    width: int,
    kernel: int,
    dilation: int,
    kind: str,
    threads: int,
    seed: int,
) -> None:
    """The last convolution of a decoder: in 32 bits, whatever the variant."""
    generator = np.random.default_rng(seed)
    pictures = generator.standard_normal((count, channels, height, width)).astype(np.float32)
    weights, exact = quantised(generator.standard_normal((outputs, channels, kernel, kernel)), kind)
    bias = generator.standard_normal((1, outputs, 1, 1)).astype(np.float32)
    pad = kernel // 2 * dilation
    wanted = np.maximum(convolve(pictures, exact, (1, 1), (pad, pad), (dilation,) * 2) + bias, 0)
    out = result(*wanted.shape)
    out.operation("conv_2d", [weights, Tensor(pictures)], [1, 1, pad, pad, dilation, dilation])
    biased = in_place(out).operation("add", [out, Tensor(bias)])
    relu = in_place(out).operation("unary", [biased], [UNARIES["relu"]])
    assert compute(variant, [out, biased, relu], threads) == [1, 2, 2]
    np.testing.assert_allclose(out.array, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pictures_may_be_strided(variant: str) -> None:
    generator = np.random.default_rng(10)
    whole = generator.standard_normal((1, 64, 40, 40)).astype(np.float32)
    part = whole[:, 16:56, 4:36, :32]
    weights = generator.standard_normal((33, 40, 3, 3))
    got, wanted = run(variant, part, weights, "f16", 2, pad=(1, 1))
    assert relative_error(got, wanted) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(9, 11), (32, 32)])
def test_leaky_relu_joins_the_convolution(variant: str, size: tuple[int, int]) -> None:
    generator = np.random.default_rng(12)
    pictures = generator.standard_normal((1, 40, *size)).astype(np.float32)
    weights, exact = quantised(generator.standard_normal((50, 40, 3, 3)), "f16")
    out = result(1, 50, *size)
    out.operation("conv_2d", [weights, Tensor(pictures)], [1, 1, 1, 1, 1, 1])
    leaky = in_place(out).operation("leaky_relu", [out], [0.2])
    assert compute(variant, [out, leaky], 2) == [1, 2]
    wanted = convolve(pictures, exact, pad=(1, 1))
    wanted = np.where(wanted < 0, 0.2 * wanted, wanted)
    assert relative_error(out.array, wanted) < MOST_ERROR[variant]
