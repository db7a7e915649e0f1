"""Which kernels are taken on which processor."""

import pytest

from sdcpu.errors import InvalidRequestError
from sdcpu.kernels import choose_kernels

HASWELL = frozenset({"sse2", "avx", "avx2", "fma", "f16c"})
ALDER_LAKE = HASWELL | {"avx_vnni"}
SKYLAKE_X = HASWELL | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
CASCADE_LAKE = SKYLAKE_X | {"avx512_vnni"}
COOPER_LAKE = SKYLAKE_X | {"avx512_bf16"}
PI_4 = frozenset({"fp", "asimd", "crc32"})
PI_5 = PI_4 | {"asimdhp", "asimddp"}
GRAVITON_3 = PI_5 | {"i8mm", "bf16"}
ZEN_4 = SKYLAKE_X | {"avx512_vnni", "avx512_bf16"}


@pytest.mark.parametrize(
    ("asked", "features", "built", "chosen", "words"),
    [
        ("auto", ZEN_4, True, "int8", "fastest"),
        ("auto", CASCADE_LAKE, True, "int8", "fastest"),
        ("auto", COOPER_LAKE, True, "bf16", "fastest"),
        ("auto", SKYLAKE_X, True, "avx512", "fastest"),
        ("auto", HASWELL, True, "avx2", "fastest"),
        ("auto", ALDER_LAKE, True, "int8", "fastest"),
        ("auto", PI_4, True, "neon", "fastest"),
        ("auto", PI_5, True, "int8", "fastest"),
        ("auto", GRAVITON_3, True, "int8", "fastest"),
        ("bf16", GRAVITON_3, True, "bf16", "as asked for"),
        ("neon", GRAVITON_3, True, "neon", "as asked for"),
        ("auto", frozenset({"sse2"}), True, "off", "take much longer"),
        ("auto", ZEN_4, False, "off", "no native library"),
        ("off", ZEN_4, True, "off", "as asked for"),
        ("avx2", ZEN_4, True, "avx2", "as asked for"),
    ],
)
def test_the_choice(
    asked: str, features: frozenset[str], built: bool, chosen: str, words: str
) -> None:
    choice = choose_kernels(asked, features, built=built)
    assert choice.name == chosen
    assert words in choice.reason


@pytest.mark.parametrize(
    ("asked", "features", "built", "words"),
    [
        ("avx1024", ZEN_4, True, "no kernels 'avx1024'"),
        ("bf16", HASWELL, True, "lacks instructions"),
        ("neon", ZEN_4, True, "lacks instructions"),
        ("avx2", GRAVITON_3, True, "lacks instructions"),
        ("bf16", PI_5, True, "lacks instructions"),
        ("avx2", HASWELL, False, "native library is missing"),
    ],
)
def test_what_cannot_be(asked: str, features: frozenset[str], built: bool, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        choose_kernels(asked, features, built=built)


@pytest.mark.parametrize(
    ("asked", "features", "measured", "chosen", "words"),
    [
        ("auto", ZEN_4, "bf16", "bf16", "when sdcpu bench measured this machine"),
        ("auto", ZEN_4, "off", "off", "when sdcpu bench measured this machine"),
        ("auto", HASWELL, "bf16", "avx2", "that this processor runs"),
        ("int8", ZEN_4, "bf16", "int8", "as asked for"),
        ("off", ZEN_4, "bf16", "off", "as asked for"),
    ],
)
def test_what_was_measured_counts_where_nothing_is_asked_for(
    asked: str, features: frozenset[str], measured: str, chosen: str, words: str
) -> None:
    choice = choose_kernels(asked, features, built=True, measured=measured)
    assert choice.name == chosen
    assert words in choice.reason
