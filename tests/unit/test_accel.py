"""Which kernels a processor runs."""

from pathlib import Path

import pytest

import sdcpu.accel
from sdcpu.accel import usable_kernels

AVX2 = frozenset({"avx2", "fma", "f16c", "sse2"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
ICE_LAKE = AVX512 | {"avx512_vnni"}
ZEN_4 = ICE_LAKE | {"avx512_bf16"}


@pytest.mark.parametrize(
    ("features", "asked", "kernels"),
    [
        (frozenset(), "auto", "off"),
        (frozenset({"avx2"}), "auto", "off"),
        (AVX2, "auto", "avx2"),
        (AVX2, "int8", "avx2"),
        (AVX512, "auto", "avx512"),
        (ICE_LAKE, "auto", "int8"),
        (ICE_LAKE, "bf16", "avx512"),
        (ZEN_4, "auto", "int8"),
        (ZEN_4, "bf16", "bf16"),
        (ZEN_4, "avx512", "avx512"),
        (ZEN_4, "avx2", "avx2"),
        (ZEN_4, "off", "off"),
    ],
)
def test_kernels_suit_the_processor(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    features: frozenset[str],
    asked: str,
    kernels: str,
) -> None:
    monkeypatch.setattr(sdcpu.accel, "library_path", lambda: tmp_path / "libsdcpu_accel.so")
    assert usable_kernels(features, asked) == kernels


def test_without_the_library_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdcpu.accel, "library_path", lambda: None)
    assert usable_kernels(ZEN_4) == "off"
