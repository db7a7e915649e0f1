"""What a request leaves open, and what the presets change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdcpu.errors import InvalidRequestError
from sdcpu.families import FAMILIES
from sdcpu.images import MAX_SIDE, ImageRequest
from sdcpu.quality import fill_request, size_multiple
from sdcpu.registry import Defaults, Model, load_registry

SLOW = Model(
    name="slow",
    summary="",
    family="sd1",
    files=(),
    defaults=Defaults(steps=20, cfg_scale=7.0, sampler="euler_a", scheduler="discrete"),
)
FAST = replace(SLOW, defaults=replace(SLOW.defaults, steps=4, cfg_scale=1.0, sampler="lcm"))


def filled(model: Model = SLOW, **request: object) -> ImageRequest:
    return fill_request(ImageRequest(prompt="", **request), model).request  # type: ignore[arg-type]


def test_the_models_defaults_fill_what_is_open() -> None:
    request = filled()
    assert (request.width, request.height, request.steps) == (512, 512, 20)
    assert (request.cfg_scale, request.guidance, request.clip_skip) == (7.0, 3.5, None)
    assert (request.sampler, request.scheduler) == ("euler_a", "discrete")
    assert (request.quality, request.decoder) == ("balanced", "auto")


def test_nothing_changed_needs_no_reason() -> None:
    assert fill_request(ImageRequest(prompt="", cache="off"), SLOW).reasons == ()
    balanced = ImageRequest(prompt="", quality="balanced", cache="off")
    assert fill_request(balanced, SLOW).reasons == ()


@pytest.mark.parametrize(
    ("model", "quality", "steps"),
    [
        (SLOW, "draft", 10),
        (SLOW, "balanced", 20),
        (SLOW, "best", 30),
        (FAST, "draft", 4),
        (FAST, "balanced", 4),
        (FAST, "best", 8),
        (replace(SLOW, defaults=Defaults(steps=1)), "draft", 1),
        (replace(SLOW, defaults=Defaults(steps=1)), "best", 2),
        (replace(SLOW, defaults=Defaults(steps=12)), "draft", 8),
        (replace(SLOW, defaults=Defaults(steps=40)), "best", 50),
        (replace(FAST, draft={"steps": 2}), "draft", 2),
        (replace(SLOW, best={"steps": 25}), "best", 25),
    ],
)
def test_steps_of_the_presets(model: Model, quality: str, steps: int) -> None:
    assert filled(model, quality=quality).steps == steps


@pytest.mark.parametrize("quality", ["draft", "best"])
def test_values_that_are_given_win(quality: str) -> None:
    model = replace(SLOW, draft={"sampler": "lcm"}, best={"sampler": "lcm"})
    request = filled(model, quality=quality, steps=7, sampler="heun", cfg_scale=2, decoder="tiny")
    assert (request.steps, request.sampler, request.cfg_scale) == (7, "heun", 2)
    assert request.decoder == "tiny"


def test_decoders_of_the_presets() -> None:
    assert filled(quality="draft").decoder == "tiny"
    assert filled(quality="best").decoder == "full"
    assert filled(replace(SLOW, best={"decoder": "tiny"}), quality="best").decoder == "tiny"


@pytest.mark.parametrize(
    ("model", "asked", "drawn", "upscale_to"),
    [
        pytest.param(SLOW, {}, (384, 384), (512, 512), id="three quarters of the usual size"),
        pytest.param(SLOW, {"width": 768}, (448, 320), (768, 512), id="same proportions"),
        pytest.param(SLOW, {"width": 1024, "height": 1024}, (384, 384), (1024, 1024), id="larger"),
        pytest.param(SLOW, {"width": 384, "height": 384}, (384, 384), None, id="small enough"),
        pytest.param(
            replace(SLOW, draft={"width": 256, "height": 256}),
            {},
            (256, 256),
            (512, 512),
            id="as the model's entry says",
        ),
        pytest.param(
            replace(SLOW, defaults=Defaults(width=128, height=128)),
            {},
            (128, 128),
            None,
            id="nothing smaller can be drawn",
        ),
    ],
)
def test_a_draft_is_drawn_small_and_enlarged(
    model: Model,
    asked: dict[str, object],
    drawn: tuple[int, int],
    upscale_to: tuple[int, int] | None,
) -> None:
    request = ImageRequest(prompt="", quality="draft", **asked)  # type: ignore[arg-type]
    result = fill_request(request, model)
    assert (result.request.width, result.request.height) == drawn
    assert result.upscale_to == upscale_to


def test_a_draft_that_another_picture_must_fit_to_keeps_its_size() -> None:
    request = ImageRequest(prompt="", quality="draft", init_image="a.png")
    result = fill_request(request, SLOW, start=(500, 500))
    assert (result.request.width, result.request.height) == (512, 512)
    assert result.upscale_to is None
    assert result.canvas is not None
    assert result.canvas.result_size == (500, 500)
    assert "Drawn at 512x512 and cut to 500x500." in result.reasons


@pytest.mark.parametrize(
    ("asked", "strength"), [({}, 0.75), ({"extension": (64, 0, 0, 0)}, 1), ({"strength": 0.3}, 0.3)]
)
def test_the_strength_follows_from_what_is_done(asked: dict[str, Any], strength: float) -> None:
    request = ImageRequest(prompt="", init_image="a.png", **asked)
    assert fill_request(request, SLOW, start=(512, 512)).request.strength == strength


@pytest.mark.parametrize(
    ("asked", "start", "said"),
    [
        ({}, (512, 512), ()),
        ({"width": 512, "height": 512}, (512, 512), ()),
        ({}, (2048, 2048), ("The picture of 2048x2048 is scaled to 512x512.",)),
        (
            {"width": 512, "height": 512},
            (1024, 512),
            ("Its sides are cut off to make 512x512; --fit pad or fit keeps the whole.",),
        ),
        (
            {"width": 512, "height": 512, "fit": "pad"},
            (512, 256),
            ("What is missing to 512x512 begins as its edges go on.",),
        ),
    ],
)
def test_what_happens_to_the_picture_is_said(
    asked: dict[str, Any], start: tuple[int, int], said: tuple[str, ...]
) -> None:
    request = ImageRequest(prompt="", init_image="a.png", cache="off", **asked)
    assert fill_request(request, SLOW, start=start).reasons == said


def test_a_result_that_is_too_large_is_refused() -> None:
    request = ImageRequest(prompt="", init_image="a.png", extension=(8000, 0, 0, 0))
    with pytest.raises(InvalidRequestError, match="8512x512 pixels; at most 8192"):
        fill_request(request, SLOW, start=(512, 512))


@pytest.mark.parametrize(
    "model",
    [m for m in load_registry(None).models.values() if m.kind == "image"],
    ids=lambda model: model.name,
)
def test_every_model_has_three_qualities(model: Model) -> None:
    draft, balanced, best = (
        filled(model, quality=quality) for quality in ("draft", "balanced", "best")
    )
    steps = [request.steps or 0 for request in (draft, balanced, best)]
    assert steps == sorted(steps)
    assert steps[0] >= 1
    sides = [request.width or 0 for request in (draft, balanced, best)]
    assert sides == sorted(sides)
    assert {request.decoder for request in (draft, best)} == {"tiny", "full"}


def test_what_a_preset_changed_is_said() -> None:
    model = replace(SLOW, draft={"sampler": "lcm", "cfg_scale": 1.0})
    (reason,) = fill_request(ImageRequest(prompt="", quality="draft"), model).reasons
    assert reason == (
        "Quality draft: steps 10 instead of 20, cfg scale 1 instead of 7, sampler lcm instead of "
        "euler_a, drawn at 384x384 and enlarged to 512x512."
    )


def test_best_may_be_larger() -> None:
    model = replace(SLOW, best={"width": 1024, "height": 768, "steps": 20})
    result = fill_request(ImageRequest(prompt="", quality="best"), model)
    assert (result.request.width, result.request.height) == (1024, 768)
    assert result.reasons == ("Quality best: 1024x768 instead of 512x512.",)
    assert filled(model, quality="best", width=640, height=640).width == 640


@pytest.mark.parametrize(
    ("family", "asked", "drawn"),
    [
        ("sd1", (500, 500), (512, 512)),
        ("sd1", (530, 96), (512, 128)),
        ("sd1", (8, 8), (64, 64)),
        ("sd1", (MAX_SIDE, MAX_SIDE - 1), (MAX_SIDE, MAX_SIDE)),
        ("flux", (500, 500), (496, 496)),
        ("", (500, 500), (512, 512)),
    ],
)
def test_sizes_are_rounded_and_it_is_said(
    family: str, asked: tuple[int, int], drawn: tuple[int, int]
) -> None:
    model = replace(SLOW, family=family)
    request = ImageRequest(prompt="", width=asked[0], height=asked[1], cache="off")
    result = fill_request(request, model)
    assert (result.request.width, result.request.height) == drawn
    (reason,) = result.reasons
    assert f"{drawn[0]}x{drawn[1]} instead of {asked[0]}x{asked[1]}" in reason
    assert str(size_multiple(model)) in reason


@given(
    width=st.none() | st.integers(8, MAX_SIDE),
    height=st.none() | st.integers(8, MAX_SIDE),
    quality=st.sampled_from((None, "draft", "balanced", "best")),
    family=st.sampled_from((*sorted(FAMILIES), "")),
    steps=st.integers(1, 100),
)
def test_every_request_becomes_one_that_can_be_drawn(
    width: int | None, height: int | None, quality: str | None, family: str, steps: int
) -> None:
    model = replace(SLOW, family=family, defaults=replace(SLOW.defaults, steps=steps))
    asked = ImageRequest(prompt="", width=width, height=height, quality=quality)  # type: ignore[arg-type]
    result = fill_request(asked, model)
    request = result.request
    assert request.width is not None
    assert request.height is not None
    for side in (request.width, request.height):
        assert 0 < side <= MAX_SIDE
        assert side % size_multiple(model) == 0
    assert request.steps
    assert request.steps >= 1
    if result.upscale_to:
        assert quality == "draft"
        assert result.upscale_to == (width or 512, height or 512)
        assert request.width * request.height < result.upscale_to[0] * result.upscale_to[1]
