"""Which of our CPU kernels compute for the engine (see `sdcpu/accel/README.md`)."""

from __future__ import annotations

from dataclasses import dataclass

from sdcpu.errors import InvalidRequestError

OFF = "off"
AUTOMATIC = "auto"
CHOICES = (AUTOMATIC, OFF, "avx2", "avx512", "neon", "bf16", "int8")
"""What can be asked for. "bf16" and "int8" are there on x86-64 and on 64-bit Arm."""
MEASURED = "the fastest when sdcpu bench measured this machine"
"""A reason."""

_AVX2 = frozenset({"avx2", "fma", "f16c"})
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
_NEON = frozenset({"asimd"})
_FEATURES = (
    ("int8", _AVX512 | {"avx512_vnni"}),
    ("int8", _AVX2 | {"avx_vnni"}),
    ("bf16", _AVX512 | {"avx512_bf16"}),
    ("avx512", _AVX512),
    ("avx2", _AVX2),
    ("int8", _NEON | {"asimddp"}),
    ("bf16", _NEON | {"bf16"}),
    ("neon", _NEON),
)
"""Instruction sets that each needs, in the kernel's words, fastest first; as in variant.cpp."""

_TITLES = {
    "int8": "8-bit products for linear layers",
    "bf16": "16-bit products (bfloat16)",
    "avx512": "32-bit products with AVX-512",
    "avx2": "32-bit products with AVX2",
    "neon": "32-bit products with NEON",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelChoice:
    """The kernels to use, and why."""

    name: str
    """One of `CHOICES` but "auto"."""
    reason: str


def choose_kernels(
    asked: str, features: frozenset[str], *, built: bool, measured: str | None = None
) -> KernelChoice:
    """Take the fastest kernels that the processor runs, or the ones that are asked for.

    `features` are the processor's instruction sets, `built` says whether the native library that
    holds the kernels is there, `measured` names the ones that were the fastest on this machine.

    Raises:
        InvalidRequestError: there are no kernels of this name, or they cannot run here.

    >>> choose_kernels("auto", frozenset({"avx2", "fma", "f16c"}), built=True).name
    'avx2'
    """
    if asked not in CHOICES:
        raise InvalidRequestError(
            f"There are no kernels {asked!r}.", hint=f"Choose one of: {', '.join(CHOICES)}."
        )
    if asked == OFF:
        return KernelChoice(name=OFF, reason="The engine's own kernels, as asked for.")
    usable = usable_kernels(features, built=built)
    if asked != AUTOMATIC:
        if asked not in usable:
            why = "this processor lacks instructions" if built else "the native library is missing"
            raise InvalidRequestError(
                f"The kernels {asked!r} cannot run here: {why}.",
                hint=f"Usable: {', '.join([*usable, OFF])}.",
            )
        return KernelChoice(name=asked, reason=f"{_TITLES[asked]}, as asked for.")
    if measured == OFF:
        return KernelChoice(name=OFF, reason=f"The engine's own kernels: {MEASURED}.")
    if measured in usable:
        return KernelChoice(name=measured, reason=f"{_TITLES[measured]}: {MEASURED}.")
    if usable:
        return KernelChoice(
            name=usable[0], reason=f"{_TITLES[usable[0]]}: the fastest that this processor runs."
        )
    why = "no instructions they need" if built else "no native library of sdcpu"
    return KernelChoice(
        name=OFF, reason=f"The engine's own kernels, which take much longer: there is {why} here."
    )


def usable_kernels(features: frozenset[str], *, built: bool) -> list[str]:
    """Name the kernels that a processor with these instruction sets runs, fastest first.

    >>> usable_kernels(frozenset({"avx2", "fma", "f16c"}), built=True)
    ['avx2']
    """
    usable = (name for name, needed in _FEATURES if built and needed <= features)
    return list(dict.fromkeys(usable))
