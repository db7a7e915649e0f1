"""Seconds for a picture of the demo model by its size, with the engine's own kernels and with ours.

First, how long the models that ship with the package take to be spelled out on first use.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from demo_engine import DemoEngine, Picture

from sdcpu.demo import demo_files, make_demo_files
from sdcpu.demo.files import DEMO_FILES
from sdcpu.settings import load_settings

MOST_SECONDS = 10.0
"""For the files of one model, on first use."""


def main() -> int:
    """Print both tables; 1 when spelling a model out takes longer than it may."""
    parser = argparse.ArgumentParser(prog="scripts/bench sizes", description=__doc__)
    add = parser.add_argument
    add("--model", default="demo", help="one that ships with the package: %(default)s")
    add("--sizes", default="128,256,512", help="width and height: %(default)s")
    add("--kernels", default="off,auto", help="off: the engine's own; %(default)s")
    add("--steps", type=int, default=4)
    add("--pictures", type=int, default=3, help="of each kind, in turn: %(default)s")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    wanted = parser.parse_args()
    slowest = spell_out()
    draw_sizes(wanted)
    return int(slowest > MOST_SECONDS)


def spell_out() -> float:
    """Print how long each file takes to be made from nothing; return the slowest's seconds."""
    print(f"{'made on first use':<28}{'MB':>8}{'seconds':>10}")
    slowest = 0.0
    for file in DEMO_FILES:
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            make_demo_files(Path(folder), {file.name})
            seconds = time.perf_counter() - begin
        slowest = max(slowest, seconds)
        print(f"{file.name:<28}{file.size / 1e6:8.1f}{seconds:10.2f}", flush=True)
    return slowest


def draw_sizes(wanted: argparse.Namespace) -> None:
    """Draw with each set of kernels by turns; print the medians of each size."""
    sizes = [int(size) for size in wanted.sizes.split(",")]
    located = demo_files(load_settings().cache_folder, wanted.model)
    files = {role.value: path for role, path in located.items()}
    columns = "".join(f"{f'{size}x{size}':>18}" for size in sizes)
    print(f"\n{wanted.model}, {wanted.steps} steps\n{'kernels':<10}{columns}")
    with ExitStack() as stack:
        engines = [
            stack.enter_context(DemoEngine(kernels, threads=wanted.threads, files=files))
            for kernels in wanted.kernels.split(",")
        ]
        seconds = {size: _by_turns(engines, size, wanted) for size in sizes}
    for number, engine in enumerate(engines):
        cells = "".join(f"{_median(seconds[size][number]):>18}" for size in sizes)
        print(f"{engine.kernels:<10}{cells}")
    print(f"seconds of a picture (processor seconds), {wanted.threads} threads, medians")


def _by_turns(
    engines: list[DemoEngine], size: int, wanted: argparse.Namespace
) -> list[list[Picture]]:
    """Pictures of one size by each engine; the first of all makes buffers and is left out."""
    drawn: list[list[Picture]] = [[] for _ in engines]
    for number in range(wanted.pictures + 1):
        for engine, pictures in zip(engines, drawn, strict=True):
            picture = engine.draw(seed=number, width=size, height=size, steps=wanted.steps)
            if number:
                pictures.append(picture)
    return drawn


def _median(pictures: list[Picture]) -> str:
    seconds = statistics.median(picture.seconds for picture in pictures)
    processor = statistics.median(picture.processor_seconds for picture in pictures)
    return f"{seconds:.2f} ({processor:.2f})"


if __name__ == "__main__":
    sys.exit(main())
