"""What a picture costs beside busy programs, with the engine's own kernels and with ours.

The threads of the engine wait for each other after every operation. While one of them has to share
its core, the others can only wait: at best a picture then takes its fair share longer, at worst the
waiting threads spin and take time from the one they wait for. Spinning shows as processor time
beyond what the picture takes alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from demo_engine import DemoEngine, Picture

MOST_TIMES_FAIR = 1.07
"""How much longer than its fair share a picture with our kernels may take."""
BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    sum(range(200_000))
"""
"""A program of one thread that never rests, until whoever started it is gone."""


def main() -> int:
    """Print the table; 1 when ours take longer beside others than they should."""
    parser = argparse.ArgumentParser(prog="scripts/bench neighbours", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--size", type=int, default=128, help="width and height: %(default)s")
    add("--steps", type=int, default=4)
    add("--kernels", default="off,auto", help="sets of kernels, with commas: %(default)s")
    add("--neighbours", type=int, default=2, help="busy programs at most: %(default)s")
    wanted = parser.parse_args()
    numbers = range(wanted.neighbours + 1)
    drawn: dict[tuple[str, int], list[Picture]] = defaultdict(list)
    with ExitStack() as stack:
        engines = [
            stack.enter_context(DemoEngine(kernels, threads=wanted.threads))
            for kernels in wanted.kernels.split(",")
        ]
        for engine in engines:
            draw(engine, wanted)
        for number in range(wanted.rounds):
            for count in numbers if number % 2 else reversed(numbers):
                with neighbours(count):
                    for engine in engines if number % 2 else reversed(engines):
                        drawn[engine.kernels, count].append(draw(engine, wanted))
    ratios = report([engine.kernels for engine in engines], numbers, drawn, wanted.threads)
    return int(max(ratios) > MOST_TIMES_FAIR)


def draw(engine: DemoEngine, wanted: argparse.Namespace) -> Picture:
    """Draw one picture."""
    return engine.draw(width=wanted.size, height=wanted.size, steps=wanted.steps)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Run so many busy programs."""
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
        for program in programs:
            program.wait()


def report(
    kernels: list[str],
    numbers: range,
    drawn: dict[tuple[str, int], list[Picture]],
    threads: int,
) -> list[float]:
    """Print the medians; return how many times their fair share our kernels took beside others."""
    cores = len(os.sched_getaffinity(0))
    print(
        f"{'':<8} {'busy':>4} {'seconds':>8} {'ratio':>6} {'fair':>6}"
        f" {'processor':>10} {'ratio':>6}"
    )
    times_fair = [1.0]
    for name in kernels:
        alone = _medians(drawn[name, 0])
        for count in numbers:
            seconds, processor = _medians(drawn[name, count])
            fair = max(1.0, (threads + count) / cores)
            print(
                f"{name if count == 0 else '':<8} {count:>4} {seconds:8.3f} "
                f"{seconds / alone[0]:6.2f} {fair:6.2f} "
                f"{processor:10.3f} {processor / alone[1]:6.2f}"
            )
            if name != "off" and count:
                times_fair.append(seconds / alone[0] / fair)
    print(
        f"medians of {len(drawn[kernels[0], 0])}, {threads} threads on {cores} cores; "
        f"aim with ours: {MOST_TIMES_FAIR} times the fair ratio"
    )
    return times_fair


def _medians(pictures: list[Picture]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    return (
        statistics.median(picture.seconds for picture in pictures),
        statistics.median(picture.processor_seconds for picture in pictures),
    )


if __name__ == "__main__":
    sys.exit(main())
