"""In which quantisation a model is taken: the largest that fits the memory, or what is here."""

from __future__ import annotations

from collections.abc import Callable

from sdcpu.errors import NotEnoughMemoryError
from sdcpu.figures import size_text
from sdcpu.models import Model
from sdcpu.plan import EnginePlan, with_reason


def plan_variant(
    model: Model, plan_of: Callable[[Model], EnginePlan], is_here: Callable[[Model], bool]
) -> EnginePlan:
    """Plan with the variant of a model that suits the memory, and say why it is that one.

    What is here comes before what would have to be downloaded, the larger before the smaller.

    Args:
        model: A model, with variants or without.
        plan_of: Plans a picture with one of them.
        is_here: Whether nothing of one would have to be downloaded.

    Raises:
        NotEnoughMemoryError: not even the smallest fits.
    """
    if not model.variants:
        return plan_of(model)
    here = {variant.name for variant in model.variants if is_here(variant)}
    for variant in sorted(model.variants, key=lambda variant: variant.name not in here):
        try:
            plan = plan_of(variant)
        except NotEnoughMemoryError:
            continue
        return with_reason(plan, _reason(plan, model, is_here=variant.name in here))
    return plan_of(model.variants[-1])  # its error says how much memory is missing


def _reason(plan: EnginePlan, model: Model, *, is_here: bool) -> str:
    """Why it is this variant, and how to have another."""
    if is_here:
        why = "which is here"
    elif plan.model.name == model.variants[0].name:
        why = "the best of them"
    else:
        why = f"the largest that fits {size_text(plan.memory_available)} of memory"
    others = [variant for variant in model.variants if variant.name != plan.model.name]
    names = " or ".join(variant.name for variant in others)
    return f"{model.name} in {plan.model.quantization}, {why}; another way: -m {names}."
