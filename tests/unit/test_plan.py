"""The plan: threads, what is given up to fit the memory, refusals, time, reasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdcpu.builds import Build
from sdcpu.errors import InvalidRequestError, NotEnoughMemoryError
from sdcpu.fitting import SAFETY_MARGIN
from sdcpu.gpus import Gpu
from sdcpu.hardware import Hardware
from sdcpu.images import ImageRequest
from sdcpu.measurements import Measurements
from sdcpu.plan import EnginePlan, choose_threads, make_plan
from sdcpu.registry import Defaults, FileRole, Model, ModelFile, load_registry
from sdcpu.tuning import Tuning
from sdcpu.weights import WeightsHeader
from tests.unit.headers import model, sd15

GB = 10**9
MACHINE = Hardware(
    cpu_name="Some CPU",
    architecture="x86_64",
    system="Linux",
    logical_cores=8,
    physical_cores=4,
    usable_cpus=tuple(range(8)),
    usable_cores=4,
    memory_total=16 * GB,
    memory_available=12 * GB,
)
BUILD = Build(name="cpu", title="", library=Path("lib.so"), version="0.4.7", usable=True)
AVX512_BF16_VNNI = frozenset(
    {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16"}
    | {"avx512_vnni"}
)
NOWHERE = Measurements(Path("/nowhere"))
SD15 = sd15()


def plan(
    made: tuple[Model, dict[ModelFile, WeightsHeader]] = SD15,
    *,
    available: int = 12 * GB,
    hardware: Hardware = MACHINE,
    measurements: Measurements = NOWHERE,
    limit: int | None = None,
    threads: int | None = None,
    accel: str = "auto",
    kernels_built: bool = False,
    tuning: Tuning | None = None,
    held: int = 0,
    card: Gpu | None = None,
    enlarged_by: Model | None = None,
    **request: object,
) -> EnginePlan:
    """Plan with SD 1.5 (q8_0, TAESD) on a machine with four cores, unless told otherwise."""
    return make_plan(
        made[0],
        ImageRequest(prompt="a lighthouse", **request),  # type: ignore[arg-type]
        replace(hardware, memory_available=available),
        BUILD if card is None else replace(BUILD, name="cuda"),
        headers=made[1],
        measurements=measurements,
        memory_limit=limit,
        memory_held=held,
        threads=threads,
        accel=accel,
        kernels_built=kernels_built,
        tuning=tuning,
        card=card,
        upscaler=enlarged_by,
    )


@pytest.mark.parametrize(
    ("facts", "asked", "threads", "reason"),
    [
        ({}, None, 4, "4 threads: this process may use 4 of 4 physical cores."),
        ({"usable_cores": 1}, None, 1, "1 thread: this process may use 1 of 4 physical cores."),
        ({"cpu_quota": 2.5}, None, 2, "2 threads: the container may use 2.5 CPUs' worth of time."),
        ({"cpu_quota": 0.3}, None, 1, "1 thread: the container may use 0.3 CPUs' worth of time."),
        ({"cpu_quota": 64.0}, None, 4, "4 threads: this process may use 4 of 4 physical cores."),
        (
            {"usable_cores": 10, "usable_performance_cores": 6, "physical_cores": 10},
            None,
            6,
            "6 threads: one for each performance core; the 4 slower ones would hold them up.",
        ),
        (
            {"usable_cores": 4, "usable_performance_cores": 0, "physical_cores": 10},
            None,
            4,
            "4 threads: this process may use 4 of 10 physical cores.",
        ),
        (
            {"usable_cores": 10, "usable_performance_cores": 6, "cpu_quota": 3.0},
            None,
            3,
            "3 threads: the container may use 3 CPUs' worth of time.",
        ),
        ({"cpu_quota": 1.0}, 7, 7, "7 threads, as asked for."),
    ],
)
def test_threads(facts: dict[str, object], asked: int | None, threads: int, reason: str) -> None:
    hardware = replace(MACHINE, **facts)  # type: ignore[arg-type]
    assert choose_threads(hardware, asked) == (threads, reason)


def test_the_fastest_way_while_it_fits() -> None:
    made = plan()
    assert not made.flash_attention
    assert made.vae_conv_direct
    assert made.tile_size == 0
    assert made.decoder == made.request.decoder == "tiny"
    assert made.memory_needed == pytest.approx(2.33e9, rel=0.02)


@pytest.mark.parametrize(
    ("available", "request_", "flash", "tiled", "decoder"),
    [
        pytest.param(3 * GB, {}, False, False, "tiny", id="all fits"),
        pytest.param(2.3 * GB, {}, True, False, "tiny", id="flash attention saves the scores"),
        pytest.param(3 * GB, {"decoder": "full"}, False, False, "full", id="the full decoder fits"),
        pytest.param(
            2.62 * GB, {"decoder": "full"}, False, True, "full", id="tiles save the decoder's"
        ),
        pytest.param(2.4 * GB, {"decoder": "full"}, True, True, "full", id="both"),
        pytest.param(2.4 * GB, {"quality": "best"}, True, True, "full", id="best: both"),
        pytest.param(
            2.13 * GB, {"quality": "best"}, True, False, "tiny", id="best: the tiny decoder"
        ),
    ],
)
def test_speed_is_given_up_before_the_decoder(
    available: float, request_: dict[str, object], flash: bool, tiled: bool, decoder: str
) -> None:
    made = plan(available=int(available), **request_)  # type: ignore[arg-type]
    assert made.flash_attention is flash
    assert bool(made.tile_size) is tiled
    assert made.decoder == decoder
    words = " ".join(made.reasons)
    assert ("Flash attention, to fit" in words) is flash
    assert ("in tiles, to fit" in words) is tiled
    assert ("tiny decoder, to fit" in words) is (request_ != {} and decoder == "tiny")


def test_larger_tiles_come_first() -> None:
    sizes = {
        plan(available=int(free * GB), decoder="full", width=1024, height=1024).tile_size
        for free in (6, 3)
    }
    assert sizes == {0, 64}


def test_the_tightest_limit_counts() -> None:
    made = plan(limit=4 * GB)
    assert (made.memory_available, "of 4.0 GB memory allowed" in made.reasons[-1]) == (
        4 * GB,
        True,
    )
    container = replace(MACHINE, memory_limit=6 * GB, memory_limit_available=3 * GB)
    made = plan(hardware=container, limit=4 * GB)
    assert made.memory_available == 3 * GB
    assert "memory left in the container" in made.reasons[-1]


def test_what_the_engine_holds_already_counts_as_free() -> None:
    assert plan(available=GB, held=2 * GB).memory_available == 3 * GB
    with pytest.raises(NotEnoughMemoryError):
        plan(available=GB)


def test_memory_that_nobody_can_tell_is_no_limit() -> None:
    unknown = replace(MACHINE, memory_total=0)
    assert plan(hardware=unknown, available=0).memory_available > 100 * GB
    assert plan(hardware=unknown, available=0, limit=4 * GB).memory_available == 4 * GB


def test_what_the_engine_holds_does_not_raise_the_users_limit() -> None:
    with pytest.raises(NotEnoughMemoryError):
        plan(held=2 * GB, limit=GB)


def test_a_refusal_has_figures_and_a_way_out() -> None:
    with pytest.raises(NotEnoughMemoryError) as caught:
        plan(available=2 * GB, width=1024, height=1024)
    error = caught.value
    assert "1024x1024 needs 2.2 GB" in error.message
    assert "2.0 GB of free memory" in error.message
    assert error.details["memory_available"] == 2 * GB
    width, height = error.details["largest_width"], error.details["largest_height"]
    assert f"{width}x{height} pixels would fit" in error.hint
    assert "in tiles it would fit (--tiled)" in error.hint
    assert plan(available=2 * GB, width=width, height=height)
    assert isinstance(width, int)
    with pytest.raises(NotEnoughMemoryError):
        plan(available=2 * GB, width=width + 64, height=width + 64)


def test_a_smaller_type_is_proposed_where_it_helps() -> None:
    with pytest.raises(NotEnoughMemoryError, match=r"needs 2\.2 GB") as caught:
        plan(sd15("f16"), available=int(1.95 * GB), width=256, height=256)
    assert "q4_0 file of the model would fit" in caught.value.hint
    with pytest.raises(NotEnoughMemoryError) as caught:
        plan(sd15("q4_0"), available=int(1.5 * GB), width=256, height=256)
    assert "q4_0" not in caught.value.hint
    assert "smaller model" in caught.value.hint


def test_a_limit_of_the_users_can_be_raised() -> None:
    with pytest.raises(NotEnoughMemoryError) as caught:
        plan(limit=GB)
    assert caught.value.hint == "Allow it more memory."


def test_without_a_tiny_decoder_the_full_one_draws() -> None:
    assert plan(sd15(tiny=False)).decoder == "full"
    assert plan(sd15(tiny=False), quality="draft").decoder == "full"


@pytest.mark.parametrize(
    ("made", "decoder"),
    [
        pytest.param(sd15(tiny=False), "tiny", id="no tiny one"),
        pytest.param(
            model(
                "sd1",
                {
                    FileRole.DIFFUSION_MODEL: ("sd15", "q8_0"),
                    FileRole.TINY_DECODER: ("taesd", "f16"),
                },
            ),
            "full",
            id="no full one",
        ),
    ],
)
def test_a_decoder_that_is_not_there(
    made: tuple[Model, dict[ModelFile, WeightsHeader]], decoder: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"has no {decoder} decoder"):
        plan(made, decoder=decoder)


def test_a_tiny_decoder_that_cannot_read_pictures_is_left_out() -> None:
    headers: dict[ModelFile, WeightsHeader] = {}
    edits = (load_registry(None).find("qwen-image-edit"), headers)
    assert plan(edits, available=90 * GB).decoder == "tiny"
    picture = ("a.png",)
    assert plan(edits, available=90 * GB, ref_images=picture).decoder == "full"
    assert plan(edits, available=90 * GB, ref_images=picture, quality="draft").decoder == "full"
    with pytest.raises(InvalidRequestError, match="no tiny decoder that can read a picture"):
        plan(edits, available=90 * GB, ref_images=picture, decoder="tiny")
    tiny = tuple(file for file in edits[0].files if file.role is not FileRole.VAE)
    with pytest.raises(InvalidRequestError, match="no decoder that can read a picture"):
        plan((replace(edits[0], files=tiny), {}), available=90 * GB, ref_images=picture)


def test_best_takes_the_full_decoder() -> None:
    assert plan(quality="best").decoder == "full"


@pytest.mark.parametrize("kind", ["lora", "upscaler", "control_net"])
def test_models_that_do_not_draw(kind: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot draw"):
        plan((replace(SD15[0], kind=kind), SD15[1]))  # type: ignore[arg-type]


def test_the_time_is_known_after_the_first_picture(tmp_path: Path) -> None:
    measurements = Measurements(tmp_path)
    first = plan(measurements=measurements)
    assert first.seconds_expected is None
    assert first.stage_seconds == {}
    taken = {"load": 1.0, "text": 1.0, "sample": 40.0, "decode": 4.0}
    measurements.record(first.conditions, taken)
    second = plan(measurements=measurements)
    assert second.seconds_expected == pytest.approx(46)
    assert second.stage_seconds == pytest.approx(taken)
    assert "About 45 s, from what this machine measured before." in second.reasons


@pytest.mark.parametrize(
    ("request_", "passes"),
    [
        ({"steps": 10, "cfg_scale": 1}, 10),
        ({"steps": 10, "cfg_scale": 7}, 20),
        ({"steps": 10, "cfg_scale": 1, "sampler": "heun"}, 20),
        ({"steps": 10, "cfg_scale": 1, "init_image": "a.png", "strength": 0.3}, 4),
        ({"steps": 10, "cfg_scale": 1, "init_image": "a.png", "strength": 0.0}, 1),
        ({"steps": 4, "cfg_scale": 1, "init_image": "a.png", "strength": 0.75}, 4),
        ({"steps": 4, "cfg_scale": 1, "init_image": "a.png", "strength": 1.0}, 4),
    ],
)
def test_evaluations_of_the_model(request_: dict[str, object], passes: int) -> None:
    assert plan(**request_).conditions.passes == passes  # type: ignore[arg-type]


def test_what_slows_the_steps_is_part_of_the_conditions() -> None:
    lora = ModelFile(role=FileRole.LORA, path="a.gguf", size=7)
    model, headers = SD15
    with_lora = replace(model, files=(*model.files, lora)), headers
    conditions = plan(with_lora, control_image="c.png").conditions
    assert (conditions.loras, conditions.control, conditions.references) == (1, True, 0)
    assert plan(ref_images=("a.png", "b.png")).conditions.references == 2


def test_reasons_are_sentences_and_the_surprising_ones_come_first() -> None:
    made = plan(available=int(2.3 * GB), width=500, quality="best", decoder="tiny")
    assert [reason.split()[0] for reason in made.reasons] == [
        "Quality",
        "Drawn",
        "Flash",
        "4",
        "The",
        "At",
    ]
    assert all(reason.endswith(".") for reason in made.reasons)


def test_our_kernels_bring_the_flags_that_suit_them() -> None:
    zen4 = replace(MACHINE, cpu_features=AVX512_BF16_VNNI)
    with_kernels = plan(hardware=zen4, kernels_built=True)
    assert with_kernels.kernels == "int8"
    assert with_kernels.flash_attention
    assert with_kernels.diffusion_conv_direct
    assert with_kernels.vae_conv_direct
    assert not any("Flash attention" in reason for reason in with_kernels.reasons)
    without = plan(hardware=zen4, kernels_built=True, accel="off")
    assert without.kernels == "off"
    assert not without.flash_attention
    assert with_kernels.conditions != without.conditions


def test_what_was_measured_decides_where_nothing_is_asked_for() -> None:
    zen4 = replace(MACHINE, cpu_features=AVX512_BF16_VNNI)
    tuning = Tuning(kernels="bf16", threads=3)
    made = plan(hardware=zen4, kernels_built=True, tuning=tuning)
    assert (made.kernels, made.threads) == ("bf16", 3)
    assert sum("when sdcpu bench measured this machine" in reason for reason in made.reasons) == 2
    asked = plan(hardware=zen4, kernels_built=True, tuning=tuning, threads=2, accel="avx2")
    assert (asked.kernels, asked.threads) == ("avx2", 2)
    assert not any("sdcpu bench" in reason for reason in asked.reasons)


@pytest.mark.parametrize("direct", [True, False])
def test_direct_convolutions_of_the_engine_where_they_were_measured_to_be_faster(
    direct: bool,
) -> None:
    tuning = Tuning(kernels="off", threads=4, diffusion_conv_direct=direct)
    made = plan(tuning=tuning)
    assert made.diffusion_conv_direct == direct
    assert not made.flash_attention
    tight = plan(tuning=tuning, available=int(2.3 * GB))
    assert tight.flash_attention
    assert tight.diffusion_conv_direct
    assert any("Flash attention, to fit the memory" in reason for reason in tight.reasons)


def card_with(free: int | None) -> Gpu:
    return Gpu(
        api="cuda",
        index=0,
        name="NVIDIA Test",
        kind="discrete",
        memory_total=8 * GB,
        memory_free=free,
    )


def test_a_card_computes_in_its_own_memory() -> None:
    made = plan(card=card_with(7 * GB), available=1 * GB, limit=1 * GB, accel="int8")
    assert (made.build.name, made.kernels) == ("cuda", "off")
    assert made.memory_available == 7 * GB
    assert made.flash_attention
    assert not made.diffusion_conv_direct
    assert not made.vae_conv_direct
    assert "The NVIDIA Test computes (cuda)." in made.reasons
    assert not any("thread" in reason for reason in made.reasons)
    assert made.conditions.machine.startswith("NVIDIA Test | cuda")


def test_a_card_whose_driver_does_not_tell_what_is_free() -> None:
    assert plan(card=card_with(None)).memory_available == 8 * GB


def test_a_card_that_is_too_small_is_named() -> None:
    with pytest.raises(NotEnoughMemoryError, match="of free memory on the NVIDIA Test"):
        plan(card=card_with(1 * GB))


def test_download_size_counts_what_is_missing() -> None:
    files = (
        ModelFile(role=FileRole.MODEL, path="m", size=100),
        ModelFile(role=FileRole.TINY_DECODER, path="t", size=None),
        ModelFile(role=FileRole.LORA, path="l", size=7, built_in=True),
    )
    made = make_plan(
        Model(name="m", summary="", family="sd1", files=files, defaults=Defaults()),
        ImageRequest(prompt=""),
        MACHINE,
        BUILD,
        headers={},
        measurements=NOWHERE,
        missing_files=files,
    )
    assert made.download_size == 100
    assert made.files == files


@settings(max_examples=30, deadline=None)
@given(
    limit=st.integers(GB // 2, 20 * GB),
    side=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    quality=st.sampled_from((None, "draft", "balanced", "best")),
    decoder=st.sampled_from(("auto", "tiny", "full")),
    preview=st.sampled_from(("none", "tae")),
    count=st.integers(1, 50),
)
def test_a_plan_always_fits_the_limit(
    limit: int, side: tuple[int, int], quality: str | None, decoder: str, preview: str, count: int
) -> None:
    request = {
        "width": 64 * side[0],
        "height": 64 * side[1],
        "quality": quality,
        "decoder": decoder,
        "preview": preview,
        "count": count,
    }
    try:
        made = plan(available=100 * GB, limit=limit, **request)  # type: ignore[arg-type]
    except NotEnoughMemoryError:
        return
    assert made.memory_needed * (1 + SAFETY_MARGIN) <= made.memory_available == limit
    assert made.memory_needed == made.memory.peak
    request_made = made.request
    open_values = (request_made.steps, request_made.cfg_scale, request_made.guidance)
    assert None not in (*open_values, request_made.sampler, request_made.scheduler)


@settings(max_examples=20, deadline=None)
@given(low=st.integers(GB, 8 * GB), more=st.integers(0, 4 * GB))
def test_more_memory_never_makes_it_slower(low: int, more: int) -> None:
    try:
        tight = plan(limit=low)
    except NotEnoughMemoryError:
        return
    roomy = plan(limit=low + more)
    assert roomy.flash_attention <= tight.flash_attention
    assert (roomy.tile_size == 0) >= (tight.tile_size == 0)
