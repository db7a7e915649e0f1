"""Numbers of bytes in words."""

import pytest

from sdcpu.figures import size_text


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_793_292, "9.8 MB"),
        (99_960_000, "100 MB"),
        (614_000_000, "614 MB"),
        (999_900_000, "1.0 GB"),
        (2_293_000_000, "2.3 GB"),
        (128_000_000_000, "128 GB"),
    ],
)
def test_sizes(size: int, expected: str) -> None:
    assert size_text(size) == expected
