"""Edges beside large tiles of Winograd's transform, whose rounding mixes a tile's pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sdcpu.families import FileRole
from tests.native.accel.graphs import Array
from tests.native.accel.references import convolve
from tests.native.accel.test_convolutions import run
from tests.native.accel.tiny_autoencoder import TinyAutoencoder

SIDE = 192
"""Of the smallest pictures for which bf16 has large tiles."""
MOST = {"avx2": 1e-5, "bf16": 0.04}
"""Error of a result as a part of the longest within a tile of it; 0.01 in the middle."""


def longest_within(lengths: Array, distance: int) -> Array:
    """The largest value of [y][x] within so many pixels."""
    padded = np.pad(lengths, distance)
    size = 2 * distance + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    return np.asarray(windows.max((2, 3)))


@pytest.mark.parametrize("variant", MOST)
@pytest.mark.parametrize("strength", [10, 1000])
@pytest.mark.parametrize("is_line", [False, True])
def test_the_error_beside_an_edge_is_a_part_of_its_brighter_side(
    variant: str, strength: float, is_line: bool
) -> None:
    """A dark pixel errs by a part of the longest within a tile, whatever its own length."""
    generator = np.random.default_rng(21)
    pictures = generator.standard_normal((1, 32, SIDE, SIDE)).astype(np.float32)
    for edge in (50, 99):  # where a tile begins after an edge, and where it does not
        last = edge + 1 if is_line else edge + 20
        pictures[..., edge:last] *= strength
    kernel = generator.standard_normal((32, 32, 3, 3))
    got, wanted = run(variant, pictures, kernel, "f16", 2, pad=(1, 1))
    error = np.linalg.norm(got - wanted, axis=1)[0]
    squares = convolve(pictures.astype(np.float64) ** 2, kernel**2, pad=(1, 1)).sum(1)[0]
    own, around = np.sqrt(squares), longest_within(np.sqrt(squares), 4)
    assert np.max(error / around) < MOST[variant]
    assert np.median(error / own) < MOST[variant] / 3


def hard_edges(side: int) -> Image.Image:
    """White on black: a disc, bars and thin lines."""
    picture = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(picture)
    draw.ellipse([0.1 * side, 0.1 * side, 0.5 * side, 0.5 * side], fill="white")
    draw.rectangle([0.63 * side, 0.1 * side, 0.65 * side, 0.95 * side], fill="yellow")
    draw.rectangle([0.2 * side, 0.65 * side, 0.45 * side, 0.9 * side], fill="red")
    draw.line([0.05 * side, side, side, 0.6 * side], fill="white")
    return picture


@pytest.mark.parametrize("variant", ["bf16", "int8"])
def test_the_dark_side_of_an_edge_stays_dark(
    demo_files: dict[FileRole, Path], variant: str
) -> None:
    """Large tiles of bf16 in every layer of a decoder: no edge casts a glow that can be seen."""
    autoencoder = TinyAutoencoder(demo_files[FileRole.TINY_DECODER])
    pixels = np.asarray(hard_edges(256), np.float32).transpose(2, 0, 1)[None] / 255
    exact = "avx2"
    latent = autoencoder.encode(pixels, exact)
    wanted, got = (
        255 * autoencoder.decode(latent, each).clip(0, 1)[0] for each in (exact, variant)
    )
    brightness = wanted.max(0)
    beside_an_edge = (brightness < 40) & (longest_within(brightness, 4) > 150)
    assert 0.02 < beside_an_edge.mean() < 0.5
    error = (got - wanted)[:, beside_an_edge]
    assert np.abs(error).max() < 2
    assert 0 < np.sqrt(np.square(error).mean()) < 0.25
