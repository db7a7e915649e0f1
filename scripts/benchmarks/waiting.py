"""How the engine's threads best wait for each other: libgomp's spin counts, drawn in turn."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from sdcpu.demo import demo_files
from sdcpu.process import EngineProcess
from sdcpu.protocol import Generate, GenerateSettings, Load, LoadSettings
from sdcpu.settings import load_settings

WAYS = {
    "libgomp's own": {"GOMP_SPINCOUNT": "300000"},
    "10000": {"GOMP_SPINCOUNT": "10000"},
    "1000": {"GOMP_SPINCOUNT": "1000"},
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
}
"""What is compared; EngineProcess sets 1000."""


def main() -> int:
    """Print the seconds of a picture for each way."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pictures", type=int, default=8)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    arguments.add_argument("--size", type=int, default=128)
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
    engines = {way: EngineProcess(environment=os.environ | extra) for way, extra in WAYS.items()}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for engine in engines.values():
        list(engine.run(load))
        seconds_of_a_picture(engine, wanted.size)
    for _ in range(wanted.pictures):
        for way, engine in engines.items():
            times[way].append(seconds_of_a_picture(engine, wanted.size))
    for engine in engines.values():
        engine.stop()
    print(f"{'spin count':<16}{'median':>8}{'fastest':>9}{'slowest':>9}   s a picture")
    for way, seconds in times.items():
        print(f"{way:<16}{statistics.median(seconds):8.3f}{min(seconds):9.3f}{max(seconds):9.3f}")
    return 0


def seconds_of_a_picture(engine: EngineProcess, size: int) -> float:
    """Draw one picture with four steps."""
    settings = GenerateSettings(
        prompt="a red circle on a blue background",
        width=size,
        height=size,
        steps=4,
        cfg_scale=1.0,
        guidance=3.5,
        sampler="lcm",
        scheduler="lcm",
        seed=7,
    )
    begin = time.perf_counter()
    list(engine.run(Generate(settings=settings)))
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
