"""One run of a row: a fresh process, one picture, seconds by stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contest.job import SEED

from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Drawn,
    Finished,
    Generate,
    GenerateSettings,
    Load,
    LoadSettings,
    LoraFile,
    Pixels,
    Previewed,
)
from survey.profiles import Operation, read_profiles
from survey.rows import Row

PROMPT = (
    "a photo of a tabby cat asleep on a red velvet chair beside a tall window, soft morning light,"
    " a stack of old books and a cup of tea on the floor, shallow depth of field, film grain"
)
"""As long as people write them; language models read no more tokens than there are."""
_LOG_LINES = 100_000
"""A profile has a line for each kind and shape of operation."""
_BY_SHAPE = "2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a row is drawn with."""

    kernels: str
    """A name of `sdcpu.kernels.CHOICES`."""
    library: Path
    threads: int

    def environment(self, *, profiled: bool) -> dict[str, str]:
        """The environment of the engine's process."""
        profile = {"SDCPU_ACCEL_PROFILE": _BY_SHAPE} if profiled else {}
        return {**os.environ, "SDCPU_ACCEL": self.kernels, **profile}


@dataclass(kw_only=True, slots=True)
class Run:
    """What came of it."""

    seconds: dict[str, float]
    """By stage."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    """Channels of the picture, and of a look at the latent that the step made, by stage."""
    profiles: dict[str, list[Operation]] = field(default_factory=dict)


def draw(row: Row, files: Mapping[str, str], machine: Machine, *, profiled: bool = False) -> Run:
    """Do what the row says, in a fresh process.

    Raises:
        SdcpuError: the engine could not.
    """
    if "upscaler" in files:
        return _upscale(row, files["upscaler"], machine, profiled=profiled)
    if row.frames > 1:
        return _film(row, files, machine, profiled=profiled)
    engine = EngineProcess(
        environment=machine.environment(profiled=profiled),
        library=machine.library,
        silence_timeout=3600,
        log_lines=_LOG_LINES,
    )
    run = Run(seconds={})
    with engine:
        for message in (
            Load(settings=_load(files, machine)),
            Generate(settings=_picture(row, files)),
        ):
            for answer in engine.run(message):
                match answer:
                    case Previewed(pixels=pixels):
                        run.pictures["sample"] = pixels.data
                    case Drawn(pixels=pixels):
                        run.pictures["decode"] = pixels.data
                    case Finished(stage_seconds=seconds):
                        run.seconds |= seconds
                    case _:
                        pass
    run.profiles = read_profiles(engine.recent_log)
    return run


def _load(files: Mapping[str, str], machine: Machine) -> LoadSettings:
    """With the flags that the plan gives each way (`sdcpu.fitting`)."""
    ours = machine.kernels != "off"
    return LoadSettings(
        files={role: file for role, file in files.items() if role != "lora"},
        threads=machine.threads,
        flash_attention=ours,
        diffusion_conv_direct=ours,
        vae_conv_direct=True,
    )


def _picture(row: Row, files: Mapping[str, str]) -> GenerateSettings:
    grey = Pixels(
        width=row.width,
        height=row.height,
        channels=3,
        data=b"\x80" * (3 * row.width * row.height),
    )
    return GenerateSettings(
        prompt=PROMPT,
        width=row.width,
        height=row.height,
        steps=1,
        cfg_scale=row.cfg_scale,
        guidance=3.5,
        sampler="euler",
        scheduler="discrete",
        seed=SEED,
        count=row.count,
        control_image=grey if "control_net" in files else None,
        loras=(LoraFile(path=files["lora"], weight=1.0),) if "lora" in files else (),
        preview="proj",
    )


def _upscale(row: Row, file: str, machine: Machine, *, profiled: bool) -> Run:
    job = {"file": file, "width": row.width, "height": row.height}
    return _run_script("survey.upscale_run", job, machine, profiled=profiled)


def _film(row: Row, files: Mapping[str, str], machine: Machine, *, profiled: bool) -> Run:
    job = {
        "load": asdict(_load(files, machine)),
        "prompt": PROMPT,
        "width": row.width,
        "height": row.height,
        "frames": row.frames,
        "cfg_scale": row.cfg_scale,
    }
    return _run_script("survey.video_run", job, machine, profiled=profiled)


def _run_script(module: str, job: Mapping[str, Any], machine: Machine, *, profiled: bool) -> Run:
    """What sdcpu does not do itself: a script prints seconds by stage, and below them channels."""
    more = {"library": str(machine.library), "threads": machine.threads}
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps({**job, **more})],
        env=machine.environment(profiled=profiled) | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )
    seconds, _, picture = done.stdout.partition(b"\n")
    stages: dict[str, float] = json.loads(seconds)
    return Run(
        seconds=stages,
        pictures={list(stages)[-1]: picture},
        profiles=read_profiles(done.stderr.decode(errors="replace").splitlines()),
    )
