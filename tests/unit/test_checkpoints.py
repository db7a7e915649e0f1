"""The checkpoints that tests are made with have the shapes of the published ones."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from sdcpu.identification import identify
from sdcpu.weights import read_header
from tests.checkpoints import (
    CHECKPOINTS,
    write_checkpoint,
    write_hollow_checkpoint,
    write_small_checkpoint,
)
from tests.checkpoints.stable_diffusion import SD2_UNET, SD15_UNET, SDXL_UNET, UNet, unet
from tests.checkpoints.writer import TYPES, TypeName, stored_size, stored_type

FEW = [("a.weight", (64, 512)), ("a.bias", (64,)), ("norm.weight", (64,))]


def _values(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Every tensor of a file, as numbers."""
    return {
        tensor.name: dequantize(tensor.data, tensor.tensor_type)
        for tensor in GGUFReader(path).tensors
    }


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
        ("z-image", 6154.9),
        ("qwen-image", 20430.4),
        ("wan2.1", 1419.0),
        ("qwen3-4b", 4022.5),
        ("qwen2.5-vl-7b", 7070.6),  # without the layer behind the last, and without its eyes
        ("vae-wan", 126.89),
        ("ssd-1b", 2232.8),  # bytes of SSD-1B-A1111.safetensors, halved
        ("vega", 1646.7),
        ("sd1-tiny", 530.1),
        ("sd2-tiny", 750.9),
        ("sdxs-512", 441.3),
        ("sdxs-09", 671.06),
        ("chroma", 8900),
        ("klein-4b", 3876),
        ("wan2.2-ti2v", 5000),
        ("umt5-xxl", 5681),
        ("clip-vision-h", 632.1),
        ("vae-wan2.2", 704.7),
        ("esrgan", 16.698),
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
        ("ssd-1b", "model", "sdxl"),
        ("vega", "model", "sdxl"),
        ("sd1-tiny", "model", "sd1_tiny"),
        ("sd2-tiny", "model", "sd2"),
        ("sdxs-512", "model", "sdxs"),
        ("sdxs-09", "model", "sdxs"),
        ("flux-fill-short", "diffusion_model", "flux_fill"),
        ("chroma-short", "diffusion_model", "chroma"),
        ("klein-4b-short", "diffusion_model", "flux2_klein"),
        ("klein-9b-short", "diffusion_model", "flux2_klein_9b"),
        ("wan2.1", "diffusion_model", "wan21"),
        ("wan2.1-i2v", "diffusion_model", "wan21_i2v"),
        ("wan2.2-ti2v", "diffusion_model", "wan22_ti2v"),
        ("umt5-xxl", "t5xxl", None),
        ("clip-vision-h", "clip_vision", None),
        ("qwen2.5-vl-vision", "llm_vision", None),
        ("vae32", "vae", None),
        ("vae-wan2.2", "vae", None),
        ("taef2", "tiny_decoder", None),
        ("taew2.1", "tiny_decoder", None),
        ("taew2.2", "tiny_decoder", None),
        ("sd35-medium", "diffusion_model", "sd3"),
        ("flux-dev", "diffusion_model", "flux"),
        ("flux-short", "diffusion_model", "flux"),
        ("z-image", "diffusion_model", "z_image"),
        ("qwen-image-short", "diffusion_model", "qwen_image"),
        ("qwen3-4b-short", "llm", None),
        ("qwen2.5-vl-7b-short", "llm", None),
        ("esrgan-anime", "upscaler", None),
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


@pytest.mark.parametrize("kind", TYPES)
def test_weights_are_small_and_norms_are_near_one(tmp_path: Path, kind: TypeName) -> None:
    path = tmp_path / "few.gguf"
    write_checkpoint(path, FEW, kind)
    values = _values(path)
    assert values["a.weight"].shape == (64, 512)
    assert abs(np.mean(values["a.weight"])) < 0.002
    assert np.std(values["a.weight"]) == pytest.approx(0.02, rel=0.1)
    assert np.abs(values["a.bias"]).max() < 0.2
    assert np.mean(values["norm.weight"]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", ["f16", "q4_K"])
def test_a_small_file_stands_for_the_same_values(tmp_path: Path, kind: TypeName) -> None:
    """Where its header says they are; one long tensor pays for all the others."""
    shapes = [*FEW, *((f"{number}.weight", (1024, 1024)) for number in range(40))]
    write_checkpoint(tmp_path / "whole.gguf", shapes, kind)
    write_small_checkpoint(tmp_path / "small.gguf", shapes, kind)
    small, whole = (_values(tmp_path / f"{name}.gguf") for name in ("small", "whole"))
    assert small.keys() == whole.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(small[name], values)
    sizes = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes["small"] < sizes["whole"] / 2


def test_both_formats_hold_the_same_tensors(tmp_path: Path) -> None:
    shapes = list(CHECKPOINTS["taesd"].shapes())
    headers = []
    for name in ("taesd.gguf", "taesd.safetensors"):
        write_checkpoint(tmp_path / name, shapes, "f16")
        headers.append(read_header(tmp_path / name))
    first, second = ({(t.name, t.shape, t.type) for t in header.tensors} for header in headers)
    assert first == second == {(name, shape, "f16") for name, shape in shapes}
