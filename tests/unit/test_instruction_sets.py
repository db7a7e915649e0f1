"""Instruction sets on systems that this one is not."""

import ctypes
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from sdcpu.instruction_sets import instruction_sets
from sdcpu.kernels import usable_kernels


def answer(monkeypatch: pytest.MonkeyPatch, platform: str, **functions: Callable[..., int]) -> None:
    """Stand in for a system and the functions of its library."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(**functions))


def test_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {b"hw.optional.avx2_0": 1, b"hw.optional.fma": 1, b"hw.optional.f16c": 1}
    known |= {b"hw.optional.avx512f": 0}

    def ask(name: bytes, value: object, *_: object) -> int:
        value._obj.value = known.get(name, 0)  # type: ignore[attr-defined]
        return 0 if name in known else -1

    answer(monkeypatch, "darwin", sysctlbyname=ask)
    assert instruction_sets() == {"avx2", "fma", "f16c"}
    assert usable_kernels(instruction_sets(), built=True) == ["avx2"]


@pytest.mark.parametrize(
    ("numbers", "kernels"),
    [({40}, ["avx2"]), ({40, 41}, ["avx512", "avx2"]), ({43}, ["int8", "neon"]), (set(), [])],
)
def test_windows(monkeypatch: pytest.MonkeyPatch, numbers: set[int], kernels: list[str]) -> None:
    answer(monkeypatch, "win32", IsProcessorFeaturePresent=lambda number: int(number in numbers))
    assert usable_kernels(instruction_sets(), built=True) == kernels


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd"])
def test_a_system_that_says_nothing(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    answer(monkeypatch, platform)
    assert instruction_sets() == frozenset()
