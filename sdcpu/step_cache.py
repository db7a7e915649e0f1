"""Step caches: skipping evaluations of the model whose result can be guessed from earlier ones."""

from __future__ import annotations

from sdcpu.errors import InvalidRequestError
from sdcpu.families import FAMILIES

FROM_STEPS = 15
"""Fewer steps leave nothing that can be skipped."""
MEASURED_TO_PAY = frozenset({"euler_a", "dpm++2m"})
"""Samplers whose pictures a cache keeps better than fewer steps do in the same time.

Measured with demo-base, 20 steps at 128x128, as processor time and likeness to all 20 steps:
euler_a with ucache 71 % at 35 to 44 dB, with 12 steps 61 % at 28 to 30 dB; dpm++2m with karras and
ucache 56 % at 38 to 41 dB, with 12 steps 61 % at 35 to 40 dB; but euler with ucache 53 % at 40 to
42 dB, with 12 steps 61 % at 46 to 52 dB."""
_FOR_UNETS = ("ucache", "spectrum")
_FOR_TRANSFORMERS = ("easycache", "spectrum")


def caches_of(family: str) -> tuple[str, ...]:
    """The caches that the engine has for a family (sample-cache.cpp); the others do nothing there.

    >>> caches_of("sd1"), caches_of("flux")
    (('ucache', 'spectrum'), ('easycache', 'spectrum'))
    """
    known = FAMILIES.get(family)
    return _FOR_UNETS if known and not known.loads_in_parts else _FOR_TRANSFORMERS


def choose_cache(asked: str, family: str, sampler: str, steps: int) -> tuple[str, str]:
    """Settle on a cache or "off", and say why where nobody asked for it.

    Raises:
        InvalidRequestError: the engine would ignore the one that is asked for.

    >>> choose_cache("auto", "sd1", "lcm", 4)
    ('off', '')
    """
    if asked != "auto":
        check_cache(asked, family)
        return asked, ""
    if steps < FROM_STEPS or sampler not in MEASURED_TO_PAY or "ucache" not in caches_of(family):
        return "off", ""
    return "ucache", (
        "Step cache ucache: a step whose result is much like the last one's is skipped, "
        "which saves "
        f"a quarter to half of {steps} steps; --cache off draws all of them."
    )


def check_cache(name: str, family: str) -> None:
    """Make sure that the engine has this cache for the family.

    Raises:
        InvalidRequestError: it would ignore it.
    """
    usable = caches_of(family)
    if name not in ("off", *usable):
        raise InvalidRequestError(
            f"The step cache {name} does nothing for {FAMILIES[family].title}.",
            hint=f"Choose one of: {', '.join(usable)}.",
        )
