"""One name for a model in several quantisations."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.errors import NotEnoughMemoryError, UnknownModelError
from sdcpu.images import ImageRequest
from sdcpu.models import Model
from sdcpu.plan import EnginePlan
from sdcpu.registry import FileRole, load_registry
from sdcpu.variants import plan_variant
from tests.plans import plan_for

REGISTRY = load_registry(None)
FLUX = REGISTRY.find("flux1-schnell")
SOME = [model for model in REGISTRY.models.values() if model.variants]


def planner(room: int) -> Callable[[Model], EnginePlan]:
    """Plans with every model whose files are no larger than the room."""

    def plan(model: Model) -> EnginePlan:
        if model.download_size > room:
            raise NotEnoughMemoryError(f"{model.name} is too large.")
        return replace(plan_for(ImageRequest(prompt="")), model=model, memory_available=room)

    return plan


@pytest.mark.parametrize(
    ("room", "here", "taken", "words"),
    [
        (20e9, [], "q8_0", "the best of them"),
        (12e9, [], "q4_0", "the largest that fits 12.0 GB"),
        (9e9, [], "q3_k", "the largest that fits 9.0 GB"),
        (20e9, ["q3_k"], "q3_k", "which is here"),
        (20e9, ["q3_k", "q4_0"], "q4_0", "which is here"),
        (9e9, ["q8_0"], "q3_k", "the largest that fits"),
    ],
)
def test_what_is_here_comes_first_then_the_largest_that_fits(
    room: float, here: Collection[str], taken: str, words: str
) -> None:
    plan = plan_variant(FLUX, planner(int(room)), lambda model: model.quantization in here)
    assert plan.model.name == f"flux1-schnell:{taken}"
    assert words in plan.reasons[0] == plan.surprises[0]
    other = "q4_0" if taken == "q8_0" else "q8_0"
    assert f"-m flux1-schnell:{other}" in plan.reasons[0]


def test_when_nothing_fits_the_error_is_that_of_the_smallest() -> None:
    with pytest.raises(NotEnoughMemoryError, match="flux1-schnell:q2_k is too large"):
        plan_variant(FLUX, planner(10**9), lambda _: True)


@pytest.mark.parametrize("name", ["flux1-schnell:q4_0", "sd-turbo"])
def test_a_model_without_choice_is_planned_as_it_is(name: str) -> None:
    model = REGISTRY.find(name)
    plan = plan_variant(model, planner(10**12), lambda _: False)
    assert plan.model is model
    assert len(plan.reasons) == 4


@pytest.mark.parametrize("model", SOME, ids=lambda model: model.name)
def test_variants_differ_in_their_files_and_share_the_rest(model: Model) -> None:
    assert [file.role for file in model.files] == list(dict.fromkeys(f.role for f in model.files))
    assert model.quantization in [variant.quantization for variant in model.variants]
    bits = [int(variant.quantization[1]) for variant in model.variants]
    assert bits == sorted(bits, reverse=True)
    for variant in model.variants:
        assert REGISTRY.find(variant.name.upper()) == variant
        assert [file.role for file in variant.files] == [file.role for file in model.files]
        assert variant.files[0].quantization == variant.quantization
        assert (variant.defaults, variant.license) == (model.defaults, model.license)
    assert len({variant.files for variant in model.variants}) == len(model.variants) > 1


def test_parts_come_in_the_same_quantisation_where_there_is_one() -> None:
    text = {
        variant.quantization: next(f.name for f in variant.files if f.role is FileRole.T5XXL)
        for variant in FLUX.variants
    }
    assert text["q8_0"] == "t5-v1_1-xxl-encoder-Q8_0.gguf"
    assert text["q4_0"] == text["q2_k"] == "t5-v1_1-xxl-encoder-Q4_K_M.gguf"


@pytest.mark.parametrize(
    ("name", "words"),
    [("flux1-schnell:q9", "flux1-schnell:q4_0"), ("sd-turbo:q8_0", "one way only: sd-turbo")],
)
def test_a_quantisation_that_is_not_there_is_named(name: str, words: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        REGISTRY.find(name)
    assert words in caught.value.hint


def test_a_user_may_add_alternatives(tmp_path: Path) -> None:
    head = '[m]\nsummary = "s"\nfamily = "sd1"\nlicense = "MIT"\n'
    file = '[[m.files]]\nrole = "model"\nlocal_path = "{0}.gguf"\nquantization = "{0}"\n'
    (tmp_path / "models.toml").write_text(head + file.format("q4_0") + file.format("f16"))
    model = load_registry(tmp_path / "models.toml").find("m")
    assert (model.quantization, model.files[0].name) == ("q4_0", "q4_0.gguf")
    assert [variant.name for variant in model.variants] == ["m:f16", "m:q4_0"]
    assert [file.name for file in model.all_files] == ["q4_0.gguf", "f16.gguf"]
