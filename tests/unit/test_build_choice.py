"""Card or processor: what was measured decides, then the proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdcpu.build_choice import faster_plan, guessed_seconds
from sdcpu.builds import Build
from sdcpu.builds.records import Proof
from sdcpu.images import ImageRequest
from sdcpu.memory import MemoryEstimate
from sdcpu.placement import Placement
from sdcpu.plan import EnginePlan
from tests.fake_cards import CARD
from tests.plans import plan_for

PROOF = Proof(verdict="faster", reason="", seconds=0.1, cpu_seconds=2.0)
LIBRARY = Path("cuda.so")
CUDA = Build(name="cuda", title="", library=LIBRARY, version="1", usable=True, proof=PROOF)


def on_processor(**stages: float) -> EnginePlan:
    """A plan for the processor whose stages are known to take so long."""
    total = sum(stages.values()) if stages else None
    plan = replace(plan_for(ImageRequest(prompt="x")), surprises=(), reasons=("Why not.",))
    return replace(plan, seconds_expected=total, stage_seconds=stages)


def on_card(times: int = 2, placement: Placement | None = None, **stages: float) -> EnginePlan:
    """The same on a card, measured so often."""
    placed = placement or Placement()
    system = MemoryEstimate(process=1, weights=6_000_000_000, text=0, sample=0, decode=0)
    plan = replace(on_processor(**stages), build=CUDA, card=CARD, placement=placed)
    return replace(
        plan,
        times_measured=times if stages else 0,
        memory=replace(plan.memory, system=system),
    )


@pytest.mark.parametrize(
    ("card", "processor", "chosen", "reason"),
    [
        pytest.param(
            on_card(sample=4.0),
            on_processor(sample=9.0),
            "cuda",
            "The NVIDIA Test takes less time than the processor: about 4 s, not about 9 s, as "
            "measured here.",
            id="both measured, the card is faster",
        ),
        pytest.param(
            on_card(sample=9.0),
            on_processor(sample=4.0),
            "cpu",
            "The processor draws, which takes less time than the NVIDIA Test: about 4 s, not "
            "about 9 s, as measured here.",
            id="both measured, the card is slower",
        ),
        pytest.param(
            on_card(times=1, sample=9.0),
            on_processor(sample=4.0),
            "cuda",
            "The NVIDIA Test was measured less than twice with just this, so it draws.",
            id="once may have been disturbed",
        ),
        pytest.param(
            on_card(),
            on_processor(),
            "cuda",
            "When its build was proved, the NVIDIA Test was 20 times as fast as the processor.",
            id="nothing measured",
        ),
        pytest.param(
            on_card(sample=9.0), on_processor(), "cuda", "20 times as fast", id="only the card"
        ),
        pytest.param(
            on_card(),
            on_processor(sample=40.0),
            "cuda",
            "about 2 s, not about 40 s, going by its proof.",
            id="only the processor: the proof's ratio",
        ),
        pytest.param(
            on_card(placement=Placement(decoder_on_processor=True)),
            on_processor(sample=1.0, decode=30.0),
            "cuda",
            "going by its proof",
            id="what the processor decodes takes as long",
        ),
        pytest.param(
            on_card(placement=Placement(offloaded=True)),
            on_processor(sample=0.5),
            "cpu",
            "under 1 s, not about 1 s, going by its proof.",
            id="copying alone takes longer",
        ),
    ],
)
def test_which_draws(card: EnginePlan, processor: EnginePlan, chosen: str, reason: str) -> None:
    plan = faster_plan(card, processor)
    assert plan.build.name == chosen
    assert any(reason in said for said in plan.reasons)
    # Who has a card and sees the processor draw must be told; the other way is as expected.
    assert bool(plan.surprises) == (chosen == "cpu")


def test_an_engine_that_runs_already_need_not_load() -> None:
    card, processor = on_card(load=5.0, sample=1.0), on_processor(load=1.0, sample=3.0)
    assert faster_plan(card, processor).build.name == "cpu"
    assert faster_plan(card, processor, LIBRARY).build.name == "cuda"
    assert faster_plan(card, processor, processor.build.library).build.name == "cpu"


@pytest.mark.parametrize(
    ("placement", "seconds"),
    [
        ({}, 1 + (2 + 20 + 4) / 20),
        ({"text_on_processor": True}, 1 + 2 + (20 + 4) / 20),
        ({"decoder_on_processor": True}, 1 + 4 + (2 + 20) / 20),
        ({"offloaded": True}, 1 + (2 + 20 + 4) / 20 + 1),
    ],
)
def test_a_guess_scales_what_the_card_does(placement: Any, seconds: float) -> None:
    processor = on_processor(load=1.0, text=2.0, sample=20.0, decode=4.0)
    card = on_card(placement=Placement(**placement))
    assert guessed_seconds(card, processor) == pytest.approx(seconds)
    assert guessed_seconds(card, processor, LIBRARY) == pytest.approx(seconds - 1)


def test_a_proof_without_times_says_nothing() -> None:
    silent = replace(CUDA, proof=replace(PROOF, seconds=None))
    card = replace(on_card(), build=silent)
    assert guessed_seconds(card, on_processor(sample=1.0)) is None
    assert faster_plan(card, on_processor(sample=1.0)).build is silent
