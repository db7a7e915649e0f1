"""How far pictures drawn with our kernels are from those of the engine's own, prompt by prompt.

Every prompt is drawn with the same seed by the engine alone and by each set of kernels. In decibels
(PSNR): 30 looks alike, 40 cannot be told apart. The demo model makes it hard: the copies of a
narrow channel round alike, so errors do not average out as they do in other networks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from demo_engine import DemoEngine
from PIL import Image

from sdcpu.accel import library_path
from sdcpu.demo.words import COLOURS, SCENES, SHAPES
from sdcpu.hardware import detect_hardware
from sdcpu.kernels import usable_kernels

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.pictures import describe, psnr

AIMS = {"avx2": 50.0, "avx512": 50.0, "neon": 50.0, "bf16": 35.0, "int8": 35.0}
"""The least decibels. The first three compute in 32 bits, the others round to bfloat16."""
THREADS = (1, 2, 3, 4, 7)
"""Numbers of threads for which a picture must have the same bytes."""
SEED = 3
_PLACES = ("", " on the left", " on the right", " at the top", " at the bottom")
_SIZES = ("", "large ", "small ")
_DIFFERENT_COLOURS = tuple(colour for colour in COLOURS if colour != "cyan")  # it is turquoise


def main() -> int:
    """Print the table; 1 when a picture is further off than it may be, or depends on threads."""
    parser = argparse.ArgumentParser(prog="scripts/bench pictures", description=__doc__)
    add = parser.add_argument
    add("--prompts", type=int, default=50)
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--size", type=int, default=128, help="width and height: %(default)s")
    add("--kernels", help="only these, such as bf16,int8")
    add("--save", type=Path, help="a folder for the worst pair of pictures of each")
    wanted = parser.parse_args()
    usable = usable_kernels(detect_hardware().cpu_features, built=library_path() is not None)
    names = [name for name in AIMS if name in (wanted.kernels or ",".join(usable)).split(",")]
    prompts = list(islice(all_prompts(), wanted.prompts))
    with DemoEngine("off", threads=wanted.threads) as engine:
        stock = draw_all(engine, prompts, wanted.size)
    print(f"{len(prompts)} prompts, seed {SEED}, {wanted.size}x{wanted.size}, 4 steps")
    print(
        f"{'':<8} {'least':>6} {'median':>7} {'aim':>4} {'met':>6}  {'shows':>6}"
        f"  {'bytes':<6}  least at"
    )
    missed = [name for name in names if not compare(name, prompts, stock, wanted)]
    print(
        "decibels; met: pictures that are as close as the aim; shows: pictures on which background,"
        "\ncolour and shape are those of the engine's; bytes: whether they are the same with"
        f" {', '.join(map(str, THREADS))} threads"
    )
    return int(bool(missed))


def compare(
    kernels: str, prompts: list[str], stock: list[Image.Image], wanted: argparse.Namespace
) -> bool:
    """Draw with these kernels and print a line; whether the aims are met."""
    with DemoEngine(kernels, threads=wanted.threads) as engine:
        pictures = draw_all(engine, prompts, wanted.size)
        same_bytes = True
        for threads in THREADS:
            if threads == wanted.threads:
                continue
            engine.load(threads)
            (again,) = draw_all(engine, prompts[:1], wanted.size)
            same_bytes &= again.tobytes() == pictures[0].tobytes()
    decibels = [psnr(*pair) for pair in zip(pictures, stock, strict=True)]
    least = min(decibels)
    worst = decibels.index(least)
    judged = [
        (describe(picture), describe(reference))
        for prompt, picture, reference in zip(prompts, pictures, stock, strict=True)
        if prompt not in SCENES
    ]
    agreed = sum(ours == theirs for ours, theirs in judged)
    met = sum(each >= AIMS[kernels] for each in decibels)
    print(
        f"{kernels:<8} {least:6.1f} {statistics.median(decibels):7.1f} {AIMS[kernels]:4.0f}"
        f" {met:>3}/{len(pictures)}  {agreed:>3}/{len(judged)}"
        f"  {'same' if same_bytes else 'DIFFER':<6}  {prompts[worst]}",
        flush=True,
    )
    if wanted.save:
        wanted.save.mkdir(parents=True, exist_ok=True)
        pictures[worst].save(wanted.save / f"{kernels}.png")
        stock[worst].save(wanted.save / f"{kernels}-engine.png")
    return least >= AIMS[kernels] and same_bytes


def draw_all(engine: DemoEngine, prompts: list[str], size: int) -> list[Image.Image]:
    """A picture of each prompt."""
    return [engine.draw(each, seed=SEED, width=size, height=size).image for each in prompts]


def all_prompts() -> Iterator[str]:
    """The scenes, then every colour, shape, background, place and size in ever other company."""
    yield from SCENES
    colours = _DIFFERENT_COLOURS
    things = zip(cycle(colours), cycle(SHAPES), cycle(_PLACES), cycle(_SIZES), strict=False)
    for number, (colour, shape, place, size) in enumerate(things):
        # Steps from 1 to 8 through the colours: never the object's own, and another every round.
        background = colours[(number + 1 + number // len(colours) % 8) % len(colours)]
        yield f"a {size}{colour} {shape}{place} on a {background} background"


if __name__ == "__main__":
    sys.exit(main())
