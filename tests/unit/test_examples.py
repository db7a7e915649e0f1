"""The examples in docstrings are right; those that draw are in tests/native/test_examples.py."""

from pathlib import Path

import pytest

from tests.examples import DRAWING, check_examples, modules_with_examples

NAMES = [name for name in modules_with_examples() if name not in DRAWING]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_examples(name)


def test_the_ones_that_draw_are_known() -> None:
    assert set(DRAWING) <= set(modules_with_examples())
    assert len(NAMES) > 20
