"""How noise becomes a picture: samplers, schedulers and step caches, and what each is good for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

from sdcpu.errors import InvalidRequestError

Cache = Literal["auto", "off", "ucache", "easycache", "spectrum"]
"""What may stand in for some of the steps; "auto" takes what was measured to pay."""
Seamless = Literal["none", "x", "y", "both"]
"""Which edges of a picture fit together when it is laid side by side."""

SAMPLER_USES: Mapping[str, str] = {
    "euler": "the plain one: predictable, good with every family, needed by FLUX-like ones",
    "euler_a": "lively: fresh noise at every step, so more steps change the picture; SD 1.5, SDXL",
    "heun": "two evaluations a step, half as many steps for the same exactness",
    "dpm2": "as heun, a little sharper",
    "dpm++2s_a": "two evaluations a step and fresh noise: rich detail, slow",
    "dpm++2m": "the best of a few steps (10 to 20) without fresh noise; with karras",
    "dpm++2mv2": "dpm++2m with a steadier last part",
    "ipndm": "remembers earlier steps: good with 10 steps or fewer",
    "ipndm_v": "ipndm for unevenly spaced steps",
    "lcm": "for LCM models and LCM LoRAs: 2 to 8 steps at cfg 1",
    "ddim_trailing": "DDIM from the last time step on: for models distilled to few steps",
    "tcd": "for TCD and Hyper models: 2 to 8 steps, --eta sets how much noise is renewed",
    "res_multistep": "remembers the last step: smooth, one evaluation a step",
    "res_2s": "two evaluations a step: exact with very few steps",
    "er_sde": "fresh noise with memory of three steps: detailed from 15 steps up",
}
"""By name, in the engine's order (enum sample_method_t of stable-diffusion.h)."""

SCHEDULER_USES: Mapping[str, str] = {
    "discrete": "as the model was trained: safe everywhere",
    "karras": "more steps at little noise: finer detail with few steps; SD 1.5, SDXL",
    "exponential": "still more steps at little noise: smooth surfaces",
    "ays": "tuned for 10 steps (Align Your Steps): SD 1.5, SDXL",
    "gits": "tuned for 4 to 20 steps; 2 or more",
    "sgm_uniform": "even time steps: for Turbo, Lightning and Hyper models",
    "simple": "even steps through the model's own noise levels: FLUX and SD 3",
    "smoothstep": "more steps at both ends",
    "kl_optimal": "spaced by theory, near karras",
    "lcm": "the time steps that LCM models were trained on",
    "bong_tangent": "slow at both ends, for res_2s and its kin",
}
"""By name, in the engine's order (enum scheduler_t of stable-diffusion.h)."""

SAMPLERS = tuple(SAMPLER_USES)
SCHEDULERS = tuple(SCHEDULER_USES)

PREDICTIONS = ("eps", "v", "edm_v", "flow", "flux_flow", "flux2_flow")
"""What a diffusion model predicts, in the engine's order (enum prediction_t)."""

TWO_PASS_SAMPLERS = frozenset({"heun", "dpm2", "dpm++2s_a", "res_2s"})
"""Samplers that ask the model twice for every step."""
ETA_SAMPLERS = frozenset(
    {"euler_a", "dpm++2s_a", "ddim_trailing", "tcd", "res_multistep", "res_2s", "er_sde"}
)
"""Samplers that can add fresh noise (denoiser.hpp of the engine); the others ignore eta."""


def check_eta(eta: float | None, sampler: str) -> None:
    """Make sure that a sampler heeds what is asked for.

    Raises:
        InvalidRequestError: it adds no fresh noise.

    >>> check_eta(0.5, "euler_a")
    """
    if eta is not None and sampler not in ETA_SAMPLERS:
        raise InvalidRequestError(
            f"The sampler {sampler} adds no fresh noise, so eta changes nothing.",
            hint=f"These do: {', '.join(name for name in SAMPLERS if name in ETA_SAMPLERS)}.",
        )


def check_sigmas(sigmas: Sequence[object]) -> None:
    """Make sure that noise levels go down to 0, the end of every picture.

    Raises:
        InvalidRequestError: they do not, or are no numbers.

    >>> check_sigmas((14.6, 2.5, 0.0))
    """
    numbers = [sigma for sigma in sigmas if isinstance(sigma, int | float)]
    if not sigmas:
        return
    falling = all(before > after for before, after in pairwise(numbers))
    numeric = len(numbers) == len(sigmas) and all(map(math.isfinite, numbers))
    if not numeric or not falling or numbers[-1] != 0 or not 2 <= len(numbers) <= 1001:
        raise InvalidRequestError(
            "The noise levels must be 2 to 1001 numbers that fall, and end with 0.",
            hint="Such as 14.6,7.1,3.2,1.4,0: one step from each to the next.",
        )
