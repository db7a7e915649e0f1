"""How an upscaler's work is cut into tiles, by the memory there is."""

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.buffers import MIB
from sdcpu.cli.plan_text import announcement, plan_fields
from sdcpu.enlargement import LARGEST_BUFFER, Enlargement, plan_enlargement
from sdcpu.errors import InvalidRequestError, NotEnoughMemoryError
from sdcpu.fitting import Room
from sdcpu.registry import load_registry
from sdcpu.upscaler_files import find_upscaler
from sdcpu.weights import read_header
from tests.unit.test_plan import plan
from tests.upscalers import write_upscaler

REGISTRY = load_registry(None)
GIB = 1024 * MIB


def planned(size: tuple[int, int], scale: int = 4, free: int = 8 * GIB) -> Enlargement:
    room = Room(size=free, name="free memory", can_be_raised=False)
    return plan_enlargement(find_upscaler(None, REGISTRY), None, size, scale, room=room)


def test_a_small_picture_is_enlarged_in_one_piece() -> None:
    plan = planned((128, 96))
    assert (plan.size, plan.tile_size) == ((512, 384), 128)


def test_a_large_one_in_tiles_that_shrink_with_the_memory() -> None:
    sizes = [planned((512, 512), free=free).tile_size for free in (8 * GIB, GIB, GIB // 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert 512 > sizes[0] > sizes[-1]
    assert planned((512, 512)).memory < LARGEST_BUFFER + GIB // 2
    for free in (8 * GIB, GIB // 2):
        assert planned((512, 512), free=free).memory <= free


def test_what_fits_in_no_way_is_refused_with_figures() -> None:
    with pytest.raises(NotEnoughMemoryError, match="Enlarging 2048x2048 pixels 4 times needs"):
        planned((2048, 2048), free=GIB)


def test_a_picture_of_more_than_the_largest_side_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="more than 8192 a side"):
        planned((4096, 100))
    assert planned((4096, 100), scale=2).size == (8192, 200)


def test_a_smaller_network_works_twice(tmp_path: Path) -> None:
    file = write_upscaler(tmp_path / "two.safetensors", factor=2)
    model, header = find_upscaler(file, REGISTRY), read_header(file)
    room = Room(size=8 * GIB, name="free memory", can_be_raised=False)
    once, twice = (plan_enlargement(model, header, (64, 64), scale, room=room) for scale in (2, 4))
    assert (once.pixels, twice.pixels) == (128**2, 128**2 + 256**2)
    assert once.tile_size == 64


def test_the_plan_tells_of_the_upscaler_and_its_licence() -> None:
    assert planned((128, 96)).reason == (
        "Enlarged to 512x384 by realesrgan-x4plus (licence: BSD-3-Clause), "
        "128 pixels of a side at once."
    )
    made = plan(upscale=4, enlarged_by=find_upscaler(None, REGISTRY))
    assert made.enlargement is not None
    assert made.memory_needed > plan().memory_needed
    assert "BSD-3-Clause for realesrgan-x4plus" in announcement(replace(made, download_size=9))[1]
    assert any(text.endswith("MB") and "enlarging" in text for _, text in plan_fields(made))
