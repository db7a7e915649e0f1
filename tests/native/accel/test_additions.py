"""What a LoRA adds to a layer: layer += factor * product, in one operation where it can be."""

import numpy as np
import pytest

from tests.native.accel.graphs import VARIANTS, Tensor, compute, in_place, quantised, result
from tests.native.accel.references import convolve
from tests.native.accel.test_convolutions import MOST_ERROR
from tests.native.accel.test_products import most_error

FACTOR = -0.75


def random(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def leaf(*shape: int) -> Tensor:
    """A layer's result that is there already."""
    return Tensor(random(*shape))


def addition(product: Tensor, layer: Tensor, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    """Scale a product in place, and add it to the layer in place."""
    scaled = in_place(product).operation("scale", [product], [FACTOR, offset])
    return scaled, in_place(layer).operation("add", [layer, scaled])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rank", [1, 4, 20, 64, 512])
@pytest.mark.parametrize("shape", [(2, 31, 100), (1, 4, 64), (1, 77, 5)])
def test_a_product_is_added_in_place(variant: str, rank: int, shape: tuple[int, int, int]) -> None:
    batch, rows, lanes = shape
    weights, exact = quantised(random(lanes, rank), "f16")
    inputs, layer = random(batch, rows, rank), leaf(*shape)
    before = layer.array.copy()
    product = result(*shape).operation("mul_mat", [weights, Tensor(inputs)])
    scaled, out = addition(product, layer)
    assert compute(variant, [product, scaled, out], 3) == [1, 2, 2]
    assert np.isnan(product.array).all()
    wanted = before + FACTOR * (inputs.astype(np.float64) @ exact.T)
    error = np.abs(layer.array - wanted)
    allowed = most_error(variant, "f16", exact, inputs) + 1e-6 * np.abs(wanted)
    assert (error <= allowed).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(9, 11), (16, 16)])
def test_a_convolution_of_single_pixels_is_added_in_place(
    variant: str, size: tuple[int, int]
) -> None:
    weights, exact = quantised(random(50, 20, 1, 1), "f16")
    pictures, layer = random(2, 20, *size), leaf(2, 50, *size)
    before = layer.array.copy()
    product = result(2, 50, *size)
    product.operation("conv_2d", [weights, Tensor(pictures)], [1, 1, 0, 0, 1, 1])
    scaled, out = addition(product, layer)
    assert compute(variant, [product, scaled, out], 2) == [1, 2, 2]
    added = FACTOR * convolve(pictures, exact, pad=(0, 0))
    error = np.linalg.norm(layer.array - before - added) / np.linalg.norm(added)
    assert error < MOST_ERROR[variant]


def test_what_is_added_to_must_be_there_before() -> None:
    weights, exact = quantised(random(64, 16), "f16")
    inputs, layer = random(1, 8, 16), leaf(1, 8, 64)
    doubled = result(1, 8, 64).operation("scale", [layer], [2.0, 0.0])
    product = result(1, 8, 64).operation("mul_mat", [weights, Tensor(inputs)])
    scaled, out = addition(product, doubled)
    assert compute("avx2", [product, scaled, doubled, out]) == [1, 1, 1, 1]
    wanted = 2 * layer.array + FACTOR * (inputs.astype(np.float64) @ exact.T)
    assert np.allclose(doubled.array, wanted, atol=1e-4)


def test_nobody_reads_the_layer_with_the_addition_too_early() -> None:
    weights, _ = quantised(random(64, 16), "f16")
    layer = leaf(1, 8, 64)
    before = layer.array.copy()
    product = result(1, 8, 64).operation("mul_mat", [weights, Tensor(random(1, 8, 16))])
    scaled, out = addition(product, layer)
    doubled = result(1, 8, 64).operation("scale", [layer], [2.0, 0.0])
    assert compute("avx2", [product, scaled, doubled, out]) == [1, 1, 1, 1]
    assert np.array_equal(doubled.array, 2 * before)


@pytest.mark.parametrize("case", ["too deep", "with an offset", "another reader", "8-bit weights"])
def test_other_products_are_stored_first(case: str) -> None:
    rank = 544 if case == "too deep" else 64
    weights, exact = quantised(random(64, rank), "q8_0" if case == "8-bit weights" else "f16")
    inputs, layer = random(1, 8, rank), leaf(1, 8, 64)
    before = layer.array.copy()
    product = result(1, 8, 64).operation("mul_mat", [weights, Tensor(inputs)])
    offset = 0.5 if case == "with an offset" else 0.0
    scaled, out = addition(product, layer, offset)
    nodes = [product, scaled, out]
    if case == "another reader":
        nodes.append(result(1, 8, 64).operation("scale", [scaled], [1.0, 0.0]))
    assert compute("avx2", nodes) == [1] * len(nodes)
    wanted = before + FACTOR * (inputs.astype(np.float64) @ exact.T) + offset
    assert np.allclose(layer.array, wanted, atol=1e-3 if case == "8-bit weights" else 1e-4)


def test_a_larger_convolution_is_stored_first() -> None:
    weights, exact = quantised(random(20, 20, 3, 3), "f16")
    pictures, layer = random(1, 20, 16, 16), leaf(1, 20, 16, 16)
    before = layer.array.copy()
    product = result(1, 20, 16, 16)
    product.operation("conv_2d", [weights, Tensor(pictures)], [1, 1, 1, 1, 1, 1])
    scaled, out = addition(product, layer)
    assert compute("avx2", [product, scaled, out]) == [1, 1, 1]
    wanted = before + FACTOR * convolve(pictures, exact, pad=(1, 1))
    assert np.allclose(layer.array, wanted, atol=1e-2)
