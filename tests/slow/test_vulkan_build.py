"""The Vulkan build from its source to a picture: needs Vulkan and, the first time, an hour.

Mesa's software driver will do, from version 25 on, with newer headers than Debian 12 has
(docs/graphics-cards.md). A Vulkan build in the builds' folder (SDCPU_BUILDS names another one) is
taken as it is; without one, it is compiled.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.builds import find_build
from sdcpu.builds.compilation import compile_build
from sdcpu.builds.installed import own_build
from sdcpu.builds.recipes import RECIPES
from sdcpu.builds.records import read_record, write_record
from sdcpu.builds.source import archive_path, fetch_source
from sdcpu.builds.states import build_states
from sdcpu.builds.tools import find_tools
from sdcpu.errors import BuildError, BuildUnusableError
from sdcpu.generator import ImageGenerator
from sdcpu.gpus import Gpu, cards, detect_gpus
from sdcpu.gpus.faults import known_fault
from sdcpu.hardware import detect_hardware
from sdcpu.protocol import Pixels
from sdcpu.proving import SAME_PICTURE, alikeness, prove_build
from sdcpu.settings import Settings, child_environment, load_settings

pytestmark = [pytest.mark.vulkan, pytest.mark.timeout(2 * 3600)]


@pytest.fixture
def card() -> Gpu:
    """The first device of Vulkan here."""
    there = cards(detect_gpus(("vulkan",)), "vulkan")
    if not there:
        pytest.skip("Vulkan knows no device here.")
    return there[0]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of builds with that for Vulkan, not proved yet."""
    folder = tmp_path_factory.mktemp("builds")
    there = load_settings()
    settings = replace(there, builds_folder=folder)
    if own_build("vulkan", there) is not None:
        shutil.copytree(there.builds_folder / "vulkan", folder / "vulkan")
    else:
        try:
            find_tools(RECIPES["vulkan"], child_environment())
        except BuildError as error:
            pytest.skip(f"{error.message} {error.hint}")
        for _ in fetch_source(settings):
            pass
        events = compile_build(
            RECIPES["vulkan"], archive_path(settings), settings, detect_hardware()
        )
        assert [event.done for event in events][-1] > 100
    record = read_record(folder / "vulkan")
    assert record is not None
    write_record(folder / "vulkan", replace(record, proofs={}))
    return folder


@pytest.fixture
def settings(compiled: Path, tmp_path: Path) -> Settings:
    """The user's, with that folder."""
    return replace(load_settings(), builds_folder=compiled, state_folder=tmp_path)


def test_the_vulkan_build_draws_what_the_processor_draws(settings: Settings, card: Gpu) -> None:
    if fault := known_fault(card):
        pytest.skip(fault)
    proof = prove_build("vulkan", settings)
    assert proof.verdict in ("faster", "slower"), proof.reason
    assert proof.decibels is None or proof.decibels >= SAME_PICTURE
    assert (proof.device, proof.driver) == (card.name, card.driver)
    assert proof.seconds is not None
    assert proof.memory is not None
    chosen = find_build("auto", settings, detect_gpus(("vulkan",)))
    assert chosen.is_gpu == (proof.verdict == "faster")
    states = {state.name: state for state in build_states(settings)}
    assert states["vulkan"].state == ("chosen" if proof.verdict == "faster" else "usable")
    assert proof.reason in states["vulkan"].explanation
    # A size and steps that a program that plays a card has drawn in the proof.
    request = {} if card.is_card else {"width": 64, "height": 64, "steps": 1}
    drawn = []
    for build in ("cpu", "vulkan"):
        with ImageGenerator("demo", settings=replace(settings, build=build)) as generator:
            drawing = generator.generate("a yellow star on a black background", seed=3, **request)
        image = drawing.image
        size = {"width": image.width, "height": image.height}
        drawn.append(Pixels(channels=3, data=image.convert("RGB").tobytes(), **size))
    assert alikeness(*drawn) >= SAME_PICTURE


def test_a_driver_that_cannot_draw_is_named(settings: Settings, card: Gpu) -> None:
    fault = known_fault(card)
    if not fault:
        pytest.skip(f"Nothing is wrong with {card.driver}, as far as is known.")
    proof = prove_build("vulkan", settings)
    assert (proof.verdict, proof.reason) == ("fails", fault)
    drivers = detect_gpus(("vulkan",))
    assert find_build("auto", settings, drivers).name == "cpu"
    with pytest.raises(BuildUnusableError, match="Mesa"):
        find_build("vulkan", settings, drivers)
