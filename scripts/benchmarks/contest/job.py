"""What a contestant's program is asked to measure, and how it answers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal

Kind = Literal["cold", "warm", "full"]
"""One run of a program: start it and draw a picture into a file with TAESD; draw with TAESD when
everything is loaded and warm; one step and the full decoder, warm."""

PROMPT = "a photo of a cat"
TOKENS = (49406, 320, 1125, 539, 320, 2368, *(49407,) * 71)
"""The prompt in CLIP's vocabulary, filled up with its end mark as Stable Diffusion 1 wants it."""
SEED = 42
STEPS = 4
"""Steps of a picture of a latent-consistency model, without guidance."""
STEPS_BY_KIND: dict[Kind, int] = {"cold": STEPS, "warm": STEPS, "full": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run of a contestant's program."""

    kind: Kind
    width: int
    height: int
    threads: int
    picture: str
    """The PNG file to write."""
    folder: str = ""
    """Where a peer finds its networks."""
    noise: str = ""
    """A file with the normal values of every step, the same for every peer and the engine."""
    precision: str = "f32"
    avx2: bool = False
    """Whether the peer must prove that it computes with AVX2 only."""
    files: dict[str, str] = field(default_factory=dict)
    """The engine's files by role."""
    library: str = ""
    """The engine's library; empty: the installed one."""
    kernels: str = "off"
    """Our kernels inside the engine."""
    direct: bool = False
    """Direct convolutions and flash attention in the engine."""

    @property
    def steps(self) -> int:
        """How many steps the picture has."""
        return STEPS_BY_KIND[self.kind]


def read_job() -> Job:
    """Read the job off the command line."""
    return Job(**json.loads(sys.argv[1]))


def job_text(job: Job) -> str:
    """Write the job for the command line."""
    return json.dumps(asdict(job))


def answer(**values: float) -> None:
    """Tell the measurements, in seconds and bytes, as the last line of the output."""
    print(json.dumps(values), flush=True)


def peak_memory(process: int | str = "self") -> int:
    """The most resident memory in bytes that a process ever had; 0 where it cannot be read."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


class StepClock:
    """Notes when each step of a picture ended; the first, which also prepares, does not count."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._ends: list[float] = []

    def step_ended(self) -> None:
        """Note the time."""
        self._ends.append(self._clock())

    def step_seconds(self) -> dict[str, float]:
        """The median of the later steps as the measurement `step`; empty with one step only."""
        spans = [end - start for start, end in pairwise(self._ends)]
        return {"step": median(spans)} if spans else {}
