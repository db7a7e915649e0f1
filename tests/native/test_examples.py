"""The examples in docstrings that draw are right."""

from pathlib import Path

import pytest

from tests.examples import DRAWING, check_examples


@pytest.mark.parametrize("name", DRAWING)
def test_examples(
    name: str, demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDCPU_CACHE", str(demo_folder))
    monkeypatch.setenv("SDCPU_STATE", str(tmp_path / "state"))
    check_examples(name)
