"""Every family draws a small picture, from its entry in models.toml with made checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdcpu.families import FAMILIES
from tests.wiring import SIDE, WIRINGS, draw, tidy

PREDICTED = (0.9, 1.25)
"""Of the measured peak. A plan that says too little is the worse one."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wiring")


@pytest.mark.parametrize("name", WIRINGS)
def test_from_the_entry_to_the_picture(folder: Path, name: str) -> None:
    drawing = draw(WIRINGS[name], folder)
    names = list(WIRINGS)
    tidy(folder, (WIRINGS[later] for later in names[names.index(name) + 1 :]))
    assert drawing.plans[-1].model.family in FAMILIES
    assert drawing.pictures
    for picture in drawing.pictures:
        assert picture.size == (SIDE, SIDE)
        # Not a number becomes black; random weights draw noise, however faint.
        assert np.asarray(picture, np.float32).std() > 0.2
    least, most = PREDICTED
    assert least <= drawing.predicted / drawing.peak <= most
