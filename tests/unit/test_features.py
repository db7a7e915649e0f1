"""The table of what is proven is what the tests prove."""

from sdcpu.families import FAMILIES
from tests.features import FEATURES, proofs, table, written_table


def test_the_page_has_the_table() -> None:
    assert written_table() == table(), "python -m tests.features writes it"


def test_every_feature_is_proven_somewhere() -> None:
    assert {feature for feature, _ in proofs()} == set(FEATURES)


def test_every_family_is_proven_except_the_one_that_is_too_large() -> None:
    assert set(FAMILIES) - {family for _, family in proofs()} == {"flux2", "wan22_i2v"}
