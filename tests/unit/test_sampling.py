"""Samplers, schedulers and step caches: what is known of them, and when a cache is taken."""

import pytest

from sdcpu.errors import InvalidRequestError
from sdcpu.images import ImageRequest
from sdcpu.models import Defaults, Model
from sdcpu.quality import fill_request
from sdcpu.sampling import (
    ETA_SAMPLERS,
    SAMPLER_USES,
    SAMPLERS,
    SCHEDULER_USES,
    TWO_PASS_SAMPLERS,
    check_eta,
)
from sdcpu.step_cache import choose_cache
from tests.pages import ROOT


def test_the_readme_has_a_line_for_each() -> None:
    text = (ROOT / "docs" / "sampling.md").read_text(encoding="utf-8")
    for name, use in [*SAMPLER_USES.items(), *SCHEDULER_USES.items()]:
        assert f"| `{name}` | {use} |\n" in text


def test_what_is_said_of_samplers_is_said_of_known_ones() -> None:
    assert set(SAMPLERS) >= ETA_SAMPLERS | TWO_PASS_SAMPLERS


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - ETA_SAMPLERS))
def test_eta_without_effect_is_refused(sampler: str) -> None:
    check_eta(None, sampler)
    with pytest.raises(InvalidRequestError, match=f"{sampler.replace('+', '.')} adds no fresh"):
        check_eta(0.5, sampler)


@pytest.mark.parametrize(
    ("asked", "family", "sampler", "steps", "chosen"),
    [
        ("auto", "sd1", "euler_a", 15, "ucache"),
        ("auto", "sd1", "dpm++2m", 20, "ucache"),
        ("auto", "sd1", "euler_a", 14, "off"),
        ("auto", "sd1", "euler", 20, "off"),
        ("auto", "sd3", "dpm++2m", 25, "off"),
        ("off", "sd1", "euler_a", 20, "off"),
        ("spectrum", "sd1", "lcm", 4, "spectrum"),
        ("easycache", "flux", "euler", 20, "easycache"),
    ],
)
def test_when_a_cache_is_taken(
    asked: str, family: str, sampler: str, steps: int, chosen: str
) -> None:
    name, reason = choose_cache(asked, family, sampler, steps)
    assert name == chosen
    assert bool(reason) == (asked == "auto" and chosen != "off")


@pytest.mark.parametrize(("name", "family"), [("easycache", "sd1"), ("ucache", "flux")])
def test_a_cache_that_would_do_nothing_is_refused(name: str, family: str) -> None:
    with pytest.raises(InvalidRequestError, match="does nothing for"):
        choose_cache(name, family, "euler", 20)


MODEL = Model(name="m", summary="", family="sd1", files=(), defaults=Defaults(sampler="dpm++2m"))


def test_the_best_quality_draws_every_step() -> None:
    assert fill_request(ImageRequest(prompt=""), MODEL).request.cache == "ucache"
    best = fill_request(ImageRequest(prompt="", quality="best"), MODEL).request
    assert best.cache == "off"


def test_noise_levels_say_how_many_steps() -> None:
    request = ImageRequest(prompt="", sigmas=(14.6, 3.0, 0.0), quality="draft")
    filled = fill_request(request, MODEL)
    assert filled.request.steps == 2
    assert "steps" not in " ".join(filled.reasons)
    with pytest.raises(InvalidRequestError, match="3 noise levels are 2 steps, not 4"):
        ImageRequest(prompt="", sigmas=(14.6, 3.0, 0.0), steps=4)
