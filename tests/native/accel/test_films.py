"""Convolutions over time, as the engine makes them for the decoders of Wan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.accel.graphs import VARIANTS, Array, Tensor, compute, quantised, relative_error
from tests.native.accel.graphs import result as empty
from tests.native.accel.references import convolve
from tests.native.accel.test_convolutions import MOST_ERROR


@dataclass(frozen=True)
class Film:
    """Sizes of a convolution over time."""

    channels: int
    outputs: int
    height: int
    width: int
    depth: int
    """Of the kernels, in frames."""
    kernel: int
    """Their width and height."""
    frames: int
    """Of the input."""
    before: int
    """Zeros before the input, in frames."""
    stride: tuple[int, int]
    """Of width and height; of time."""


def run(variant: str, film: Film, threads: int, seed: int) -> tuple[list[int], Array, Array]:
    """What ran of padding, im2col of three dimensions and product; the result; what is right."""
    generator = np.random.default_rng(seed)
    border = film.kernel // 2
    side, step = film.stride
    frames = generator.standard_normal((film.channels, film.frames, film.height, film.width))
    kernel = (film.outputs * film.channels, film.depth, film.kernel, film.kernel)
    weights, exact = quantised(generator.standard_normal(kernel), "f16")
    together = exact.reshape(film.outputs, film.channels * film.depth, film.kernel, film.kernel)
    padded_frames = np.pad(frames.astype(np.float32), [(0, 0), (film.before, 0), (0, 0), (0, 0)])
    count = (padded_frames.shape[1] - film.depth) // step + 1
    wanted = np.stack(
        [
            convolve(
                padded_frames[:, begin : begin + film.depth].reshape(1, -1, *frames.shape[2:]),
                together,
                (side, side),
                (border, border),
            )[0]
            for begin in range(0, count * step, step)
        ],
        1,
    )
    padded = empty(
        film.channels, padded_frames.shape[1], *(2 * border + n for n in frames.shape[2:])
    )
    pads = [border, border, border, border, film.before, 0, 0, 0]
    padded.operation("pad", [Tensor(frames.astype(np.float32))], pads)
    size = together[0].size
    matrix = Tensor(np.zeros((*wanted.shape[1:], size), np.float16), "f16")
    numbers = [side, side, step, 0, 0, 0, 1, 1, 1, film.channels]
    matrix.operation("im2col_3d", [weights, padded], numbers)
    pixels = wanted[0].size
    flat = Tensor(matrix.array.reshape(pixels, size), "f16")
    flat.operation("reshape", [matrix]).viewing(matrix)
    rows = Tensor(weights.array.reshape(film.outputs, size), "f16")
    rows.operation("reshape", [weights]).viewing(weights)
    out = empty(film.outputs, pixels).operation("mul_mat", [flat, rows])
    computed = compute(variant, [padded, matrix, flat, rows, out], threads)
    slices = 2 * film.outputs * size // film.depth if film.frames == 1 < film.depth else 0
    assert computed[1] == int(4 * wanted.size + slices <= matrix.array.nbytes)
    return computed, out.array.reshape(wanted.shape), wanted


films = st.builds(
    Film,
    channels=st.sampled_from([8, 40]),
    outputs=st.sampled_from([3, 33]),
    height=st.integers(4, 20),
    width=st.integers(4, 40),
    depth=st.sampled_from([1, 3]),
    kernel=st.sampled_from([1, 3]),
    frames=st.integers(1, 4),
    before=st.integers(0, 2),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
).filter(lambda film: film.frames + film.before >= film.depth)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=30, deadline=None)
@given(film=films, threads=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_convolution_over_time(variant: str, film: Film, threads: int, seed: int) -> None:
    computed, got, wanted = run(variant, film, threads, seed)
    if computed[1]:
        assert computed[4] == 1
        assert relative_error(got, wanted) < MOST_ERROR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("frames", [1, 3, 4])
def test_large_frames_share_what_is_transformed(variant: str, frames: int) -> None:
    """Winograd's transform with the channels of all frames of a kernel, tiles or weights first."""
    for channels, side in ((40, 40), (130, 12)):
        film = Film(channels, 40, side, side, 3, 3, frames, 3 - min(frames, 3), (1, 1))
        computed, got, wanted = run(variant, film, 3, 5)
        assert computed[1] == computed[4] == 1
        assert relative_error(got, wanted) < MOST_ERROR[variant]
