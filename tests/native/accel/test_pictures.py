"""Whole pictures with our kernels, against those of the engine's own."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from sdcpu.accel import library_path
from sdcpu.families import FileRole
from sdcpu.hardware import detect_hardware
from sdcpu.kernels import usable_kernels
from sdcpu.process import EngineProcess
from sdcpu.protocol import Drawn, Generate, GenerateSettings, Load
from tests.native.accel.loading import load_settings
from tests.pictures import Described, describe, psnr

LEAST = {"avx2": 50.0, "avx512": 50.0, "neon": 50.0, "bf16": 35.0, "int8": 35.0}
"""Decibels. The engine itself rounds activations to 8 bits."""

PROMPTS = ("a red circle on a blue background", "a golden star on a navy background")
SHOWN = (Described("blue", "red", "circle"), Described("blue", "yellow", "star"))

pytestmark = pytest.mark.skipif(
    library_path() is None, reason="the native library was not built: no C++ compiler, or not Linux"
)


def draw(
    files: dict[FileRole, Path],
    kernels: str,
    *,
    threads: int = 2,
    width: int = 128,
    library: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> list[Image.Image]:
    """A picture of each prompt, drawn by a process with these kernels.

    `library` is another engine than the installed one, `more` more of the process's environment.
    """
    environment = {**os.environ, "SDCPU_ACCEL": kernels, **(more or {})}
    load = load_settings(files, kernels, threads)
    pictures = []
    with EngineProcess(library=library, environment=environment) as engine:
        for _ in engine.run(Load(settings=load)):
            pass
        for prompt in PROMPTS:
            settings = GenerateSettings(
                prompt=prompt,
                width=width,
                height=128,
                steps=4,
                cfg_scale=1.0,
                guidance=3.5,
                sampler="lcm",
                scheduler="lcm",
                seed=3,
            )
            for event in engine.run(Generate(settings=settings)):
                if isinstance(event, Drawn):
                    pixels = event.pixels
                    size = (pixels.width, pixels.height)
                    pictures.append(Image.frombytes("RGB", size, pixels.data))
    return pictures


@pytest.fixture(scope="module")
def stock(demo_files: dict[FileRole, Path]) -> list[Image.Image]:
    return draw(demo_files, "off")


@pytest.mark.parametrize("kernels", LEAST)
def test_pictures_are_those_of_the_engine(
    demo_files: dict[FileRole, Path], stock: list[Image.Image], kernels: str
) -> None:
    if kernels not in usable_kernels(detect_hardware().cpu_features, built=True):
        pytest.skip(f"this processor has no {kernels} kernels")
    pictures = draw(demo_files, kernels)
    for picture, reference, shown in zip(pictures, stock, SHOWN, strict=True):
        assert psnr(picture, reference) > LEAST[kernels]
        assert picture.tobytes() != reference.tobytes()  # the kernels have run
        assert describe(picture) == shown


def test_bytes_do_not_depend_on_the_threads(demo_files: dict[FileRole, Path]) -> None:
    """Also where widths are not multiples of a vector."""
    first, second = (draw(demo_files, "auto", threads=threads, width=160) for threads in (1, 3))
    assert [picture.tobytes() for picture in first] == [picture.tobytes() for picture in second]
