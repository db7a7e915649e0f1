"""Plans that nobody made: for tests of what happens with a plan."""

from dataclasses import replace
from pathlib import Path

from sdcpu.builds import Build
from sdcpu.images import ImageRequest
from sdcpu.measurements import Conditions
from sdcpu.memory import MemoryEstimate
from sdcpu.models import Model
from sdcpu.plan import EnginePlan

BUILD = Build(name="cpu", title="The processor", library=Path("lib.so"), version="1", usable=True)


def plan_for(request: ImageRequest, *, model: str = "demo") -> EnginePlan:
    """A plan with four reasons and plain figures."""
    filled = replace(
        request,
        width=request.width or 128,
        height=request.height or 128,
        steps=request.steps or 4,
        cfg_scale=1.0 if request.cfg_scale is None else request.cfg_scale,
        sampler=request.sampler or "lcm",
        scheduler=request.scheduler or "lcm",
        seed=7 if request.seed is None else request.seed,
    )
    return EnginePlan(
        model=Model(name=model, summary="For tests", family="sd1_tiny", license="MIT", files=()),
        build=BUILD,
        request=filled,
        threads=2,
        kernels="off",
        flash_attention=False,
        diffusion_conv_direct=False,
        vae_conv_direct=True,
        decoder="tiny",
        tile_size=0,
        upscale_to=None,
        files=(),
        download_size=0,
        memory=MemoryEstimate(
            process=100_000_000, weights=600_000_000, text=1, sample=50_000_000, decode=90_000_000
        ),
        memory_needed=790_000_000,
        memory_available=8_000_000_000,
        seconds_expected=130.0,
        conditions=Conditions(
            machine="test",
            threads=2,
            family="sd1_tiny",
            tensor_type="q8_0",
            weights=600_000_000,
            width=128,
            height=128,
            passes=4,
        ),
        surprises=("This is reason number 1.",),
        reasons=tuple(f"This is reason number {number}." for number in range(1, 5)),
    )
