"""Whole pictures of a model with outlier channels, against those of the same model without."""

from pathlib import Path

import pytest
from PIL import Image

from sdcpu.families import FileRole
from sdcpu.hardware import detect_hardware
from sdcpu.kernels import usable_kernels
from tests.native.accel.outliers import write_outliers
from tests.native.accel.test_pictures import LEAST, SHOWN, draw, pytestmark
from tests.pictures import describe, psnr

__all__ = ["pytestmark"]


@pytest.fixture(scope="module")
def plain(demo_files: dict[FileRole, Path]) -> list[Image.Image]:
    """What the engine's own kernels draw without outliers."""
    return draw(demo_files, "off")


def with_outliers(
    demo_files: dict[FileRole, Path], folder: Path, kernels: str, kind: str
) -> list[Image.Image]:
    """The pictures of the model with outliers."""
    if kernels not in usable_kernels(detect_hardware().cpu_features, built=True):
        pytest.skip(f"this processor has no {kernels} kernels")
    target = folder / "outliers.gguf"
    write_outliers(demo_files[FileRole.MODEL], target, kind)
    pictures = draw({**demo_files, FileRole.MODEL: target}, kernels)
    target.unlink()  # 700 MB
    return pictures


def test_integers_are_left_where_outliers_would_spoil_them(
    demo_files: dict[FileRole, Path], plain: list[Image.Image], tmp_path: Path
) -> None:
    """The engine, which always quantises activations, draws these in other colours: 18 dB."""
    pictures = with_outliers(demo_files, tmp_path, "int8", "Q8_0")
    for picture, reference, shown in zip(pictures, plain, SHOWN, strict=True):
        assert psnr(picture, reference) > LEAST["int8"]
        assert describe(picture) == shown


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kernels", sorted(LEAST))
@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_outliers_change_no_picture(
    demo_files: dict[FileRole, Path],
    plain: list[Image.Image],
    tmp_path: Path,
    kernels: str,
    kind: str,
) -> None:
    pictures = with_outliers(demo_files, tmp_path, kernels, kind)
    # Weights of 8 bits that are 300 times smaller than their neighbours are lost: 38 dB at best.
    least = LEAST[kernels] if kind == "F16" else LEAST["int8"]
    for picture, reference, shown in zip(pictures, plain, SHOWN, strict=True):
        assert psnr(picture, reference) > least
        assert describe(picture) == shown
