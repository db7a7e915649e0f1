"""The checkpoints that tests are made with have the shapes of the published ones."""

import math
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from sdcpu.identification import identify
from sdcpu.weights import read_header
from tests.checkpoints import CHECKPOINTS, write_checkpoint, write_hollow_checkpoint
from tests.checkpoints.stable_diffusion import SD2_UNET, SD15_UNET, SDXL_UNET, UNet, unet
from tests.checkpoints.writer import TypeName, stored_size, stored_type


@pytest.mark.parametrize(
    ("kind", "millions"),
    [(SD15_UNET, 859.5), (SD2_UNET, 865.9), (SDXL_UNET, 2567.5)],
    ids=["SD 1.5", "SD 2", "SDXL"],
)
def test_unets_have_the_published_number_of_values(kind: UNet, millions: float) -> None:
    assert sum(math.prod(shape) for _, shape in unet(kind)) / 1e6 == pytest.approx(
        millions, abs=0.1
    )


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("clip-l", 123.06),
        ("clip-g", 694.66),
        ("t5-xxl", 4762.31),
        ("vae", 83.65),
        ("taesd", 2.445),
        ("controlnet", 361.28),
        ("sd35-medium", 2469.7),
        ("flux-schnell", 11891.2),
        ("flux-dev", 11901.4),
    ],
)
def test_checkpoints_have_the_published_number_of_values(name: str, millions: float) -> None:
    values = sum(math.prod(shape) for _, shape in CHECKPOINTS[name].shapes())
    assert values / 1e6 == pytest.approx(millions, rel=2e-3)


@pytest.mark.parametrize(("kind", "megabytes"), [("f16", 2133), ("q8_0", 1800), ("q4_0", 1622)])
def test_sd15_has_the_size_of_the_published_files(kind: TypeName, megabytes: int) -> None:
    sizes = (
        stored_size(shape, stored_type(name, shape, kind))
        for name, shape in CHECKPOINTS["sd15"].shapes()
    )
    assert sum(sizes) / 1e6 == pytest.approx(megabytes, abs=4)


@pytest.mark.parametrize(
    ("name", "role", "family"),
    [
        ("sd15", "model", "sd1"),
        ("sd2", "model", "sd2"),
        ("sdxl", "model", "sdxl"),
        ("sd35-medium", "diffusion_model", "sd3"),
        ("flux-dev", "diffusion_model", "flux"),
        ("flux-short", "diffusion_model", "flux"),
        ("clip-l", "clip_l", None),
        ("clip-g", "clip_g", None),
        ("t5-xxl", "t5xxl", None),
        ("vae", "vae", None),
        ("vae16", "vae", None),
        ("taesd", "tiny_decoder", None),
        ("taef1", "tiny_decoder", None),
        ("controlnet", "control_net", None),
        ("lora", "lora", None),
    ],
)
def test_checkpoints_are_taken_for_what_they_stand_for(
    tmp_path: Path, name: str, role: str, family: str | None
) -> None:
    path = tmp_path / f"{name}.gguf"
    write_hollow_checkpoint(path, CHECKPOINTS[name].shapes(), "q8_0")
    found = identify(read_header(path))
    assert found.role == role
    assert family in (None, found.family)
    if name == "sd15":  # a hole is not stored
        assert path.stat().st_blocks * 512 < 1_000_000 < path.stat().st_size


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0", "q4_0"])
def test_weights_are_small_and_norms_are_near_one(tmp_path: Path, kind: TypeName) -> None:
    shapes = [("a.weight", (64, 96)), ("a.bias", (64,)), ("norm.weight", (64,))]
    path = tmp_path / "few.gguf"
    write_checkpoint(path, shapes, kind)
    stored = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    values = {name: dequantize(t.data, t.tensor_type) for name, t in stored.items()}
    assert values["a.weight"].shape == (64, 96)
    assert np.std(values["a.weight"]) == pytest.approx(0.02, rel=0.1)
    assert np.abs(values["a.bias"]).max() < 0.2
    assert np.mean(values["norm.weight"]) == pytest.approx(1, abs=0.05)


def test_both_formats_hold_the_same_tensors(tmp_path: Path) -> None:
    shapes = list(CHECKPOINTS["taesd"].shapes())
    headers = []
    for name in ("taesd.gguf", "taesd.safetensors"):
        write_checkpoint(tmp_path / name, shapes, "f16")
        headers.append(read_header(tmp_path / name))
    first, second = ({(t.name, t.shape, t.type) for t in header.tensors} for header in headers)
    assert first == second == {(name, shape, "f16") for name, shape in shapes}
