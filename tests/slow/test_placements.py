"""A card that is too small, on a real engine: where the parts are does not change the picture.

Needs a Vulkan build that was compiled before (`sdcpu builds install vulkan`); Mesa's software
driver will do for a card.
"""

import pytest

from sdcpu.builds.installed import device_environment, own_build
from sdcpu.demo import demo_files
from sdcpu.gpus import cards, detect_gpus
from sdcpu.gpus.faults import known_fault
from sdcpu.placement import ON_CARD, Placement
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Drawn,
    Generate,
    GenerateSettings,
    Load,
    LoadSettings,
    Logged,
    Pixels,
)
from sdcpu.proving import alikeness
from sdcpu.settings import child_environment, load_settings

PLACEMENTS = (
    ON_CARD,
    Placement(offloaded=True),
    Placement(text_on_processor=True),
    Placement(decoder_on_processor=True),
    Placement(text_on_processor=True, decoder_on_processor=True, offloaded=True),
)
PICTURE = GenerateSettings(
    prompt="a red circle on a blue background",
    width=64,
    height=64,
    steps=1,
    cfg_scale=1,
    guidance=1,
    sampler="lcm",
    scheduler="lcm",
    seed=1,
)


def drawn(placement: Placement) -> tuple[Pixels, str]:
    """The picture, and what the engine said of the memory that it takes."""
    settings = load_settings()
    build, devices = own_build("vulkan", settings), cards(detect_gpus(["vulkan"]), "vulkan")
    if build is None or not build.library.is_file():
        pytest.skip("There is no Vulkan build: sdcpu builds install vulkan makes one.")
    if not devices or known_fault(devices[0]):
        pytest.skip("Vulkan knows no device here, or one that fails.")
    files = {role.value: str(path) for role, path in demo_files(settings.cache_folder).items()}
    load = LoadSettings(
        files=files,
        threads=2,
        placement=placement,
        vae_conv_direct=placement.decoder_on_processor,
    )
    environment = child_environment(SDCPU_ACCEL="off", **device_environment(build, 0))
    picture, lines = None, []
    with EngineProcess(library=build.library, environment=environment) as process:
        for work in (Load(settings=load), Generate(settings=PICTURE)):
            for answer in process.run(work):
                if isinstance(answer, Logged):
                    lines.append(answer.text)
                elif isinstance(answer, Drawn):
                    picture = answer.pixels
    assert picture is not None
    return picture, "\n".join(lines)


@pytest.mark.vulkan
@pytest.mark.timeout(900)
def test_where_the_parts_are_does_not_change_the_picture() -> None:
    pictures = {}
    for placement in PLACEMENTS:
        picture, said = drawn(placement)
        pictures[placement] = picture
        places = {
            "clip": "RAM" if placement.text_on_processor else "VRAM",
            "unet": "VRAM",
            "taesd": "RAM" if placement.decoder_on_processor else "VRAM",
        }
        for part, place in places.items():
            (line,) = [line for line in said.splitlines() if f"{part} compute buffer size" in line]
            assert line.endswith(f"({place})")
        assert ("unet offload params" in said) == placement.offloaded
    whole = pictures[ON_CARD]
    assert pictures[Placement(offloaded=True)] == whole
    for picture in pictures.values():
        assert alikeness(picture, whole) > 40
