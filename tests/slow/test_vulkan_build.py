"""The Vulkan build from its source to a picture: needs the network once, Vulkan and minutes.

Mesa's software driver will do: `sudo apt install glslc libvulkan-dev mesa-vulkan-drivers`.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.builds.compilation import compile_build
from sdcpu.builds.recipes import RECIPES
from sdcpu.builds.source import archive_path, fetch_source
from sdcpu.builds.tools import find_tools
from sdcpu.errors import BuildError
from sdcpu.generator import ImageGenerator
from sdcpu.gpus import cards, detect_gpus
from sdcpu.hardware import detect_hardware
from sdcpu.protocol import Pixels
from sdcpu.proving import SAME_PICTURE, alikeness, prove_build
from sdcpu.settings import child_environment, load_settings


@pytest.mark.vulkan
@pytest.mark.timeout(3600)
def test_the_vulkan_build_draws_what_the_processor_draws(tmp_path: Path) -> None:
    try:
        find_tools(RECIPES["vulkan"], child_environment())
    except BuildError as error:
        pytest.skip(f"{error.message} {error.hint}")
    drivers = detect_gpus(("vulkan",))
    if not cards(drivers, "vulkan"):
        pytest.skip("Vulkan knows no device here.")
    settings = replace(load_settings(), builds_folder=tmp_path, state_folder=tmp_path)
    for _ in fetch_source(settings):
        pass
    events = compile_build(
        RECIPES["vulkan"], archive_path(settings), settings, detect_hardware(), drivers
    )
    assert [event.done for event in events][-1] > 100
    proof = prove_build("vulkan", settings)
    assert proof.verdict in ("faster", "slower"), proof.reason
    assert proof.decibels is None or proof.decibels >= SAME_PICTURE
    drawn = []
    for build in ("cpu", "vulkan"):
        with ImageGenerator("demo", settings=replace(settings, build=build)) as generator:
            image = generator.generate("a yellow star on a black background", seed=3).image
        size = {"width": image.width, "height": image.height}
        drawn.append(Pixels(channels=3, data=image.convert("RGB").tobytes(), **size))
    assert alikeness(*drawn) >= SAME_PICTURE
