"""A LoRA that is applied at run time: the picture that the engine draws, and no waiting for it."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from lora import write_lora
from PIL import Image

from sdcpu.accel import library_path
from sdcpu.families import FileRole
from sdcpu.hardware import detect_hardware
from sdcpu.kernels import usable_kernels
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Drawn,
    Finished,
    Generate,
    GenerateSettings,
    Load,
    LoraFile,
)
from tests.native.accel.loading import load_settings
from tests.pictures import psnr

LEAST = {"avx2": 50.0, "avx512": 50.0, "neon": 50.0, "bf16": 35.0, "int8": 35.0}
"""Decibels, as without a LoRA."""

pytestmark = pytest.mark.skipif(
    library_path() is None, reason="the native library was not built: no C++ compiler, or not Linux"
)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> LoraFile:
    file = tmp_path_factory.mktemp("lora") / "lora.safetensors"
    write_lora(file, rank=20)
    write_lora(file.with_name("other.safetensors"), rank=12)
    return LoraFile(path=str(file), weight=0.6)


def other(lora: LoraFile) -> LoraFile:
    """A second LoRA, of another rank and sign."""
    return LoraFile(path=str(Path(lora.path).with_name("other.safetensors")), weight=-lora.weight)


def draw(
    files: dict[FileRole, Path],
    kernels: str,
    loras: Sequence[tuple[LoraFile, ...]],
    threads: int = 2,
) -> tuple[list[Image.Image], list[float]]:
    """A picture with each set of LoRAs, by one process; and the seconds before its first step."""
    load = load_settings(files, kernels, threads)
    pictures, seconds = [], []
    with EngineProcess(environment={**os.environ, "SDCPU_ACCEL": kernels}) as engine:
        for _ in engine.run(Load(settings=load)):
            pass
        for each in loras:
            settings = GenerateSettings(
                prompt="a red circle on a blue background",
                width=128,
                height=128,
                steps=2,
                cfg_scale=1.0,
                guidance=3.5,
                sampler="lcm",
                scheduler="lcm",
                seed=3,
                loras=each,
            )
            for event in engine.run(Generate(settings=settings)):
                if isinstance(event, Drawn):
                    size = (event.pixels.width, event.pixels.height)
                    pictures.append(Image.frombytes("RGB", size, event.pixels.data))
                elif isinstance(event, Finished):
                    seconds.append(event.stage_seconds["text"])
    return pictures, seconds


@pytest.fixture(scope="module")
def stock(demo_files: dict[FileRole, Path], lora: LoraFile) -> list[Image.Image]:
    return draw(demo_files, "off", [(lora,), (lora, other(lora)), ()])[0]


@pytest.mark.parametrize("kernels", LEAST)
def test_pictures_are_those_of_the_engine(
    demo_files: dict[FileRole, Path], stock: list[Image.Image], lora: LoraFile, kernels: str
) -> None:
    if kernels not in usable_kernels(detect_hardware().cpu_features, built=True):
        pytest.skip(f"this processor has no {kernels} kernels")
    pictures, _ = draw(demo_files, kernels, [(lora,), (lora, other(lora))])
    for picture, reference in zip(pictures, stock, strict=False):
        assert psnr(picture, reference) > LEAST[kernels]
    one, both, none = stock
    assert max(psnr(one, none), psnr(both, none), psnr(one, both)) < 35  # they do something


def test_bytes_do_not_depend_on_the_threads(
    demo_files: dict[FileRole, Path], lora: LoraFile
) -> None:
    first, second = (
        draw(demo_files, "auto", [(lora, other(lora))], threads=threads)[0][0] for threads in (1, 3)
    )
    assert first.tobytes() == second.tobytes()


def test_the_first_picture_after_loading_does_not_wait_for_the_lora(
    demo_files: dict[FileRole, Path], lora: LoraFile
) -> None:
    _, (first, second) = draw(demo_files, "auto", [(lora,), (lora,)])
    assert first < second + 0.5  # the engine would sleep 0.8 s
