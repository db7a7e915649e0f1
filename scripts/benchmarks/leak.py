"""Draw many small pictures in one engine process and tell how its memory grows."""

import argparse
import os
import sys
import time

import psutil

from sdcpu.demo import demo_files
from sdcpu.process import EngineProcess
from sdcpu.protocol import Generate, GenerateSettings, Load, LoadSettings, Reached
from sdcpu.settings import load_settings

WARM_UP = 20
"""Pictures that fill the pools of the allocator, and are not counted."""
MOST_GROWTH = 5_000_000
"""Bytes that may be added while 1,000 pictures are drawn."""


def main() -> int:
    """Print a table and whether the growth for 1,000 pictures is in bounds."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("pictures", type=int, nargs="?", default=1000)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--size", type=int, default=64)
    arguments.add_argument("--cancel-every", type=int, default=0, help="cancel every Nth picture")
    wanted = arguments.parse_args()
    files = demo_files(load_settings().cache_folder)
    load = Load(
        settings=LoadSettings(
            files={str(role): str(path) for role, path in files.items()},
            threads=wanted.threads,
            flash_attention=True,
            diffusion_conv_direct=True,
            vae_conv_direct=True,
        )
    )
    sizes = []
    begin = time.monotonic()
    with EngineProcess(environment=os.environ) as engine:
        list(engine.run(load))
        process = psutil.Process(engine.pid)
        for number in range(WARM_UP + wanted.pictures):
            draw(engine, number, wanted.size, cancel_every=wanted.cancel_every)
            if engine.pid != process.pid:
                sys.exit("A cancel took too long and ended the process: nothing to measure.")
            sizes.append(process.memory_info().rss)
            if number % 100 == 0 or number == WARM_UP:
                print(f"{number:5} pictures {sizes[-1] / 1e6:8.2f} MB", flush=True)
    counted = sizes[WARM_UP:]
    middle = len(counted) // 2
    growth = median(counted[middle:]) - median(counted[:middle])
    per_picture = growth / middle
    print(
        f"{wanted.pictures} pictures of {wanted.size}x{wanted.size} in "
        f"{time.monotonic() - begin:.0f} s: from {counted[0] / 1e6:.2f} to "
        f"{counted[-1] / 1e6:.2f} MB; {per_picture:.0f} bytes a picture between the halves"
    )
    bound = MOST_GROWTH / 1000 * wanted.pictures
    return 0 if counted[-1] - counted[0] < bound else 1


def draw(engine: EngineProcess, number: int, size: int, *, cancel_every: int) -> None:
    """One picture with another seed; some are left in the middle."""
    settings = GenerateSettings(
        prompt="a red circle on a blue background",
        width=size,
        height=size,
        steps=1,
        cfg_scale=1.0,
        guidance=3.5,
        sampler="lcm",
        scheduler="lcm",
        seed=number,
        preview=("none", "proj", "tae")[number % 3],
    )
    events = engine.run(Generate(settings=settings))
    leave = cancel_every > 0 and number % cancel_every == 0
    for event in events:
        if leave and isinstance(event, Reached) and event.stage == "sample":
            events.close()
            return


def median(values: list[int]) -> float:
    """The middle value."""
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    sys.exit(main())
