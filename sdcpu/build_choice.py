"""Card or processor, for one request: decided by what was measured on this machine.

A pure function of two plans. Where nothing like the request was measured, the proof of the card's
build tells how much faster it is; where the card turns out to be slower for a model and a size, it
is not used for them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sdcpu.card_ways import COPIED_PER_SECOND
from sdcpu.measurements import format_duration
from sdcpu.plan import EnginePlan, with_reason

ENOUGH_MEASURED = 2
"""Requests that must have been measured on a card before it is given up: the first one with a model
also compiles what the later ones use."""


def faster_plan(card: EnginePlan, processor: EnginePlan, loaded: Path | None = None) -> EnginePlan:
    """The plan that takes less time, with the reason; the card's where nobody can tell.

    `loaded` is the library of the engine that runs already: for it, loading costs nothing more.
    """
    here = _seconds(processor, loaded)
    there = _seconds(card, loaded)
    name = card.card.name if card.card else card.build.name
    source = "as measured here"
    if here is None:
        return _also(card, _reason_of_proof(card, name))
    if there is None:
        there, source = guessed_seconds(card, processor, loaded), "going by its proof"
    elif there > here and card.times_measured < ENOUGH_MEASURED:
        return _also(card, f"The {name} was measured less than twice with just this, so it draws.")
    if there is None:
        return card
    times = f"{format_duration(min(here, there))}, not {format_duration(max(here, there))}"
    if there > here:
        reason = f"The processor draws, which takes less time than the {name}: {times}, {source}."
        return with_reason(processor, reason)
    return _also(card, f"The {name} takes less time than the processor: {times}, {source}.")


def guessed_seconds(
    card: EnginePlan, processor: EnginePlan, loaded: Path | None = None
) -> float | None:
    """What a card may take that was never measured with this; None where its proof has no times.

    The processor's seconds, scaled by the proof, but for what the processor does in both plans.
    """
    proof = card.build.proof
    if proof is None or not proof.seconds or not proof.cpu_seconds:
        return None
    where = card.placement
    own = {"text": where.text_on_processor, "decode": where.decoder_on_processor}
    ratio = proof.seconds / proof.cpu_seconds
    seconds = sum(
        taken * (1 if own.get(stage) or stage == "load" else ratio)
        for stage, taken in processor.stage_seconds.items()
        if stage != "load" or card.build.library != loaded
    )
    if where.offloaded and card.memory.system:
        seconds += card.request.count * card.memory.system.weights / COPIED_PER_SECOND
    return seconds


def _seconds(plan: EnginePlan, loaded: Path | None) -> float | None:
    """Seconds expected of a plan, from now on; None where they are not known."""
    if plan.seconds_expected is None or plan.build.library != loaded:
        return plan.seconds_expected
    return plan.seconds_expected - plan.stage_seconds.get("load", 0.0)


def _reason_of_proof(card: EnginePlan, name: str) -> str:
    proof = card.build.proof
    if proof is None or not proof.seconds or not proof.cpu_seconds:
        return ""
    times = proof.cpu_seconds / proof.seconds
    return f"When its build was proved, the {name} was {times:.2g} times as fast as the processor."


def _also(plan: EnginePlan, reason: str) -> EnginePlan:
    """The plan with one more reason, which is no surprise."""
    return replace(plan, reasons=(*plan.reasons, reason)) if reason else plan
