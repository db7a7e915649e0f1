"""Cards that are too small for all of a model: what is done about it, by sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sdcpu.buffers import MIB
from sdcpu.card_memory import predict_card_memory
from sdcpu.card_ways import lost_seconds, ways_on_card
from sdcpu.errors import NotEnoughMemoryError
from sdcpu.fitting import SAFETY_MARGIN
from sdcpu.jobs import engine_load
from sdcpu.memory import Way, Weights, weights_by_part
from sdcpu.placement import ON_CARD, Placement
from sdcpu.registry import Defaults, FileRole, Model
from tests.unit.headers import model, sd15
from tests.unit.test_plan import GB, MACHINE, card_with, plan

SD15 = sd15()
SDXL = model(
    "sdxl",
    {FileRole.MODEL: ("sdxl", "q8_0"), FileRole.TINY_DECODER: ("taesd", "f16")},
    defaults=Defaults(width=1024, height=1024),
)
FLUX = model(
    "flux",
    {
        FileRole.DIFFUSION_MODEL: ("flux-dev", "q4_0"),
        FileRole.CLIP_L: ("clip-l", "f16"),
        FileRole.T5XXL: ("t5-xxl", "q8_0"),
        FileRole.TINY_DECODER: ("taef1", "f16"),
    },
    defaults=Defaults(width=1024, height=1024),
)
WAY = Way(
    width=512,
    height=512,
    decoder="full",
    on_card=True,
    flash_attention=True,
    vae_conv_direct=False,
)


@pytest.mark.parametrize(
    ("made", "card", "main", "placement", "tile_size"),
    [
        pytest.param(SD15, 3.2, 12, "", 0, id="all fits"),
        pytest.param(SD15, 3, 12, "", 32, id="tiles are the least"),
        pytest.param(SD15, 2.6, 12, "text on processor", 32, id="a small text encoder"),
        pytest.param(SDXL, 5.5, 12, "offloaded", 0, id="copying is faster than the processor"),
        pytest.param(FLUX, 16, 32, "", 0, id="a large card"),
        pytest.param(FLUX, 12, 32, "offloaded", 0, id="a large text encoder is copied, too"),
        pytest.param(FLUX, 12, 12, "text on processor", 0, id="or stays in main memory"),
        pytest.param(FLUX, 9, 7, "text on processor", 64, id="both are small"),
    ],
)
def test_what_fits_is_done_the_fastest_way(
    made: Any, card: float, main: float, placement: str, tile_size: int
) -> None:
    planned = plan(made, card=card_with(int(card * GB)), available=int(main * GB))
    assert (planned.placement.label, planned.tile_size) == (placement, tile_size)
    assert planned.memory.system is not None
    for memory, room in ((planned.memory, card), (planned.memory.system, main)):
        assert memory.peak * (1 + SAFETY_MARGIN) <= room * GB


def test_the_plan_says_what_is_not_on_the_card_and_what_it_takes() -> None:
    made = plan(FLUX, card=card_with(12 * GB), available=32 * GB)
    assert "The weights wait in main memory (12.1 GB), to fit the card's" in made.surprises[0]
    assert any("8.5 GB of 12.0 GB free memory on the NVIDIA" in reason for reason in made.reasons)
    assert "Beside that it takes 12.8 GB of 32.0 GB free memory." in made.reasons
    whole = plan(FLUX, card=card_with(24 * GB), available=32 * GB)
    assert whole.surprises == ()
    assert made.conditions != whole.conditions  # their seconds are not mixed up


def test_kernels_of_ours_compute_what_the_processor_does() -> None:
    features = frozenset({"avx2", "fma", "f16c"})
    hardware = replace(MACHINE, cpu_features=features)
    given: dict[str, Any] = {"hardware": hardware, "kernels_built": True, "available": 7 * GB}
    assert plan(FLUX, card=card_with(9 * GB), **given).kernels == "avx2"
    assert plan(FLUX, card=card_with(24 * GB), **given).kernels == "off"
    assert plan(FLUX, card=card_with(9 * GB), accel="off", **given).kernels == "off"


@pytest.mark.parametrize(
    ("card", "main", "where"),
    [(4.0, 32.0, "free memory on the NVIDIA Test"), (9.0, 3.0, "3.0 GB of free memory")],
)
def test_nothing_helps(card: float, main: float, where: str) -> None:
    with pytest.raises(NotEnoughMemoryError, match=where) as caught:
        plan(FLUX, card=card_with(int(card * GB)), available=int(main * GB))
    assert "et the processor draw it (--build cpu)" in caught.value.hint


def test_a_card_without_memory_of_its_own_spares_nothing_elsewhere() -> None:
    shared = replace(card_with(16 * GB), kind="integrated")
    assert plan(FLUX, card=shared, available=32 * GB).placement == ON_CARD
    with pytest.raises(NotEnoughMemoryError, match=r"there are 12\.0 GB"):
        plan(FLUX, card=shared, available=12 * GB)


def test_the_engine_is_told() -> None:
    made = plan(SD15, card=card_with(int(2.6 * GB)), available=2 * GB)
    assert engine_load(made, {}).placement == Placement(text_on_processor=True)
    assert made.vae_conv_direct is False


@pytest.mark.parametrize("made", [SD15, SDXL, FLUX])
def test_no_byte_of_the_weights_is_lost(made: tuple[Model, Any]) -> None:
    whole = predict_card_memory(made[0], WAY, made[1])
    assert whole.system is not None
    assert whole.system.weights == 0
    weights = weights_by_part(made[0], WAY, made[1])
    assert whole.weights == sum(weights)
    assert weights.text > 100_000_000
    for way in ways_on_card(WAY, weights, (0,), shares_memory=False):
        memory = predict_card_memory(made[0], way, made[1])
        assert memory.system is not None
        kept = whole.weights if way.placement.offloaded else whole.weights - memory.weights
        assert memory.system.weights == kept
        assert memory.peak <= whole.peak


def test_parts_of_one_file_are_told_apart() -> None:
    # What the engine logs when it has loaded such a file ("total params memory size").
    weights = weights_by_part(SD15[0], WAY, SD15[1])
    logged = Weights(text=159.13 * MIB, diffusion=1400.64 * MIB, decoder=94.47 * MIB)  # type: ignore[arg-type]
    assert weights == pytest.approx(logged, rel=0.001)


def test_only_one_of_two_diffusion_models_is_on_the_card_at_a_time() -> None:
    made = model(
        "wan22_t2v",
        {
            FileRole.DIFFUSION_MODEL: ("wan2.1", "q8_0"),
            FileRole.HIGH_NOISE_DIFFUSION_MODEL: ("wan2.1", "q4_0"),
        },
    )
    way = replace(WAY, placement=Placement(offloaded=True))
    both = weights_by_part(made[0], way, made[1])
    assert 0 < both.high_noise < both.diffusion
    without = predict_card_memory(made[0], replace(way, placement=ON_CARD), made[1])
    offloaded = predict_card_memory(made[0], way, made[1])
    assert offloaded.sample - without.sample == both.diffusion


def test_the_order_follows_from_the_sizes() -> None:
    large_text = Weights(text=5_000_000_000, diffusion=6_000_000_000)
    small_text = Weights(text=1_000_000, diffusion=6_000_000_000)
    for weights, second in ((large_text, "offloaded"), (small_text, "text on processor")):
        ways = ways_on_card(WAY, weights, (0,), shares_memory=False)
        assert [way.placement.label for way in ways[:2]] == ["", second]
        assert len({way.placement for way in ways}) == len(ways) == 8


def test_everything_on_the_card_loses_nothing() -> None:
    assert lost_seconds(WAY, Weights(text=10**10, diffusion=10**10)) == 0
