"""How previews are made where the request leaves it open."""

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.measurements import Measurements
from sdcpu.registry import FileRole
from tests.unit.test_plan import SD15, plan

MODEL, HEADERS = SD15
WITHOUT_TINY = replace(
    MODEL, files=tuple(file for file in MODEL.files if file.role is not FileRole.TINY_DECODER)
)


def test_the_tiny_decoder_shows_what_it_will_decode_anyway() -> None:
    made = plan(preview="auto")
    assert (made.decoder, made.request.preview) == ("tiny", "tae")
    assert "Previews are decoded by the tiny decoder" in " ".join(made.reasons)


@pytest.mark.parametrize(
    ("model", "decoder"),
    [(MODEL, "full"), (WITHOUT_TINY, "auto"), (replace(MODEL, family="qwen_image"), "auto")],
)
def test_elsewhere_they_are_rough_and_free(model: object, decoder: str) -> None:
    made = plan((model, HEADERS), preview="auto", decoder=decoder)  # type: ignore[arg-type]
    without = plan((model, HEADERS), decoder=decoder)  # type: ignore[arg-type]
    assert made.request.preview == "proj"
    assert made.memory == without.memory
    assert "Previews are rough" in " ".join(made.reasons)


def test_previews_are_the_first_to_become_simple_when_memory_is_short() -> None:
    shown, without = plan(preview="auto"), plan()
    assert shown.memory_needed > without.memory_needed
    short = plan(preview="auto", limit=shown.memory_needed)
    assert short.request.preview == "proj"
    assert (short.memory, short.tile_size) == (without.memory, without.tile_size)
    assert "Rough previews, to fit the memory." in short.surprises


def test_steps_with_previews_are_measured_apart(tmp_path: Path) -> None:
    measurements = Measurements(tmp_path)
    shown = plan(preview="auto", measurements=measurements)
    measurements.record(shown.conditions, {"sample": 40.0, "decode": 1.0})
    assert plan(preview="auto", measurements=measurements).seconds_expected is not None
    assert plan(measurements=measurements).seconds_expected is None
