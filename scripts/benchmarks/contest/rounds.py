"""The contest itself: every measurement in a fresh process, the contestants by turns."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from contest.contestants import Contestant, Surroundings
from contest.job import Job, Kind, job_text
from contest.report import Result
from contest.weights import engine_files, write_noise

QUANTITIES: dict[str, tuple[Kind, str]] = {
    "step": ("warm", "step"),
    "taesd": ("warm", "decode"),
    "vae": ("full", "decode"),
    "lcm": ("warm", "picture"),
    "cold": ("cold", "cold"),
    "memory": ("cold", "peak"),
    "memory-whole": ("cold", "whole"),
    "memory-vae": ("full", "peak"),
}
"""What is measured: the kind of run that tells it, and under which name."""


class RunFailedError(Exception):
    """A contestant's program did not end well; the text is its last line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """What is compared, and how."""

    contestants: list[Contestant]
    quantities: list[str]
    around: Surroundings
    folder: Path
    width: int
    height: int
    weights: str
    rounds: int

    def run(self, result: Result, tell: Callable[[str], None]) -> Iterator[int]:
        """Measure into the result; yield after each round its number."""
        with TemporaryDirectory() as scratch:
            noise = Path(scratch) / "noise.npy"
            write_noise(noise, self.width, self.height)
            for number in range(self.rounds):
                for kind in self._kinds():
                    for contestant in self._in_turn(number):
                        if contestant.name not in result.skipped:
                            tell(f"round {number + 1}, {kind}: {contestant.name}")
                            self._measure(result, contestant, kind, number, Path(scratch))
                yield number

    def _kinds(self) -> list[Kind]:
        wanted = {QUANTITIES[quantity][0] for quantity in self.quantities}
        kinds: tuple[Kind, ...] = ("full", "warm", "cold")
        return [kind for kind in kinds if kind in wanted]

    def _in_turn(self, number: int) -> list[Contestant]:
        """Another one begins each round: a machine that warms up shall not favour the first."""
        contestants = [each for each in self.contestants if number == 0 or not each.once]
        start = number * 3 % max(1, len(contestants))
        return contestants[start:] + contestants[:start]

    def _measure(
        self, result: Result, contestant: Contestant, kind: Kind, number: int, scratch: Path
    ) -> None:
        job = self._job(contestant, kind, scratch)
        try:
            figures = run_program(contestant, job, self.around)
        except RunFailedError as error:
            result.skipped[contestant.name] = f"failed: {error}"
            return
        for quantity in self.quantities:
            its_kind, name = QUANTITIES[quantity]
            if its_kind == kind and name in figures:
                result.add(contestant.name, quantity, number, figures[name])
        if kind == "full":
            result.pictures[contestant.name] = _pixels(Path(job.picture))

    def _job(self, contestant: Contestant, kind: Kind, scratch: Path) -> Job:
        common = {
            "kind": kind,
            "width": self.width,
            "height": self.height,
            "threads": self.around.threads,
            "picture": str(scratch / f"{contestant.name}-{kind}.png"),
        }
        if contestant.kind == "engine":
            weights = contestant.weights or self.weights
            return Job(
                **common,  # type: ignore[arg-type]
                files=engine_files(self.folder, weights, tiny=kind != "full"),
                library=str(self.around.libraries[contestant.library]),
                kernels=contestant.kernels,
                direct=contestant.kernels != "off",
            )
        return Job(
            **common,  # type: ignore[arg-type]
            folder=str(self.folder),
            noise=str(scratch / "noise.npy"),
            precision=contestant.precision,
            avx2=contestant.avx2,
        )


def run_program(contestant: Contestant, job: Job, around: Surroundings) -> dict[str, float]:
    """Do one job in a fresh process; the figures, with `cold` from its start to the picture.

    Raises:
        RunFailedError: the program ended badly.
    """
    module = f"contest.{contestant.kind}_run"
    started = time.monotonic()
    done = subprocess.run(
        [around.python(contestant), "-W", "ignore", "-m", module, job_text(job)],
        env=around.environment(contestant),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise RunFailedError((done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1])
    figures: dict[str, float] = json.loads(lines[-1])
    return figures | {"cold": figures["ended"] - started}


def _pixels(file: Path) -> bytes:
    from PIL import Image

    with Image.open(file) as image:
        return image.convert("RGB").tobytes()
