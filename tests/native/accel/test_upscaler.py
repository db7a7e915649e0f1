"""The engine's upscaler with our kernels, on a made checkpoint whose tensors overlap."""

from dataclasses import replace
from pathlib import Path

import pytest
from survey.drawing import Machine, draw
from survey.findings import Finding
from survey.profiles import left_to_engine
from survey.rows import ROWS, files_of

from sdcpu.accel import library_path
from sdcpu.builds import find_build
from sdcpu.settings import load_settings

pytestmark = pytest.mark.skipif(
    library_path() is None, reason="the native library was not built: no C++ compiler, or not Linux"
)


def test_it_enlarges_as_the_engine_alone_does(tmp_path: Path) -> None:
    finding = Finding(replace(ROWS["esrgan"], width=40, height=24))
    library = find_build("auto", load_settings()).library
    files = files_of(finding.row, tmp_path)
    for side, kernels in (("stock", "off"), ("ours", "auto")):
        machine = Machine(kernels=kernels, library=library, threads=2)
        finding.add(side, 0, draw(finding.row, files, machine, profiled=True))
    stock, ours = (finding.last[side] for side in ("stock", "ours"))
    assert len(ours.pictures["upscale"]) == 160 * 96 * 3
    assert (finding.psnr("upscale") or 0) > 35
    assert not stock.profiles
    if ours.profiles:  # where no kernels of ours run, there is none
        assert sum(left_to_engine(ours.profiles["upscale"]).values()) < 0.1
        assert ours.pictures != stock.pictures
