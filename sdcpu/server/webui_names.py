"""AUTOMATIC1111's names of samplers and schedulers, and ours."""

from __future__ import annotations

from collections.abc import Mapping

from sdcpu.sampling import SAMPLERS, SCHEDULERS
from sdcpu.server.answers import Problem

SAMPLER_NAMES: Mapping[str, str] = {
    "euler": "Euler",
    "euler_a": "Euler a",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm++2s_a": "DPM++ 2S a",
    "dpm++2m": "DPM++ 2M",
    "dpm++2mv2": "DPM++ 2M v2",
    "ipndm": "IPNDM",
    "ipndm_v": "IPNDM_V",
    "lcm": "LCM",
    "ddim_trailing": "DDIM",
    "tcd": "TCD",
    "res_multistep": "Res Multistep",
    "res_2s": "Res 2S",
    "er_sde": "ER SDE",
}
"""Our names, and what clients of AUTOMATIC1111 know or would write for them."""
SCHEDULER_NAMES: Mapping[str, str] = {
    "discrete": "Uniform",
    "karras": "Karras",
    "exponential": "Exponential",
    "ays": "Align Your Steps",
    "gits": "GITS",
    "sgm_uniform": "SGM Uniform",
    "simple": "Simple",
    "smoothstep": "Smoothstep",
    "kl_optimal": "KL Optimal",
    "lcm": "LCM",
    "bong_tangent": "Bong Tangent",
}
_FURTHER_SCHEDULERS = {"normal": "discrete", "align_your_steps": "ays"}
_USUAL = {"", "automatic", "use same sampler", "use same scheduler"}


def sampler_of(name: str) -> tuple[str | None, str | None]:
    """Our sampler for a name of theirs, and the scheduler that old names end in; None: the usual.

    Raises:
        Problem: there is no such sampler.

    >>> sampler_of("DPM++ 2M Karras")
    ('dpm++2m', 'karras')
    >>> sampler_of("Automatic")
    (None, None)
    """
    written = name.strip().lower()
    if written in _USUAL:
        return None, None
    scheduler = next((each for each in SCHEDULERS if written.endswith(f" {each}")), None)
    bare = written.removesuffix(f" {scheduler}") if scheduler else written
    for ours, theirs in SAMPLER_NAMES.items():
        if bare in (ours, theirs.lower()):
            return ours, scheduler
    raise _unknown("sampler", name, [SAMPLER_NAMES[each] for each in SAMPLERS])


def scheduler_of(name: str) -> str | None:
    """Our scheduler for a name of theirs; None: the usual one.

    Raises:
        Problem: there is no such scheduler.

    >>> scheduler_of("SGM Uniform"), scheduler_of("automatic")
    ('sgm_uniform', None)
    """
    written = name.strip().lower()
    if written in _USUAL:
        return None
    if written in _FURTHER_SCHEDULERS:
        return _FURTHER_SCHEDULERS[written]
    for ours, theirs in SCHEDULER_NAMES.items():
        if written in (ours, theirs.lower(), theirs.lower().replace(" ", "_")):
            return ours
    raise _unknown("scheduler", name, [SCHEDULER_NAMES[each] for each in SCHEDULERS])


def _unknown(what: str, name: str, known: list[str]) -> Problem:
    return Problem(
        422, "invalid_request", f"There is no {what} {name[:80]!r}.", f"Known: {', '.join(known)}."
    )
