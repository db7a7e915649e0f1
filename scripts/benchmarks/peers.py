"""The engine, our kernels, PyTorch and OpenVINO on the same weights: time and memory by turns.

Every measurement is made in a fresh process; the contestants take turns over several rounds, and
the table shows medians and, in brackets, the median ratio within a round. The weights have the
shape of Stable Diffusion 1.5 and random values, the same for all (10 GB on disk, made once). The
last column proves that all draw the same picture: how far each is off the reference (with the full
decoder, after one step), relative to the picture's own spread. The files are in the system's cache
when a cold start is timed.

  step   one step of the U-Net       taesd, vae   the tiny and the full decoder
  lcm    a picture in 4 steps with the tiny decoder, everything loaded
  cold   the same from the start of the process to the PNG file
  memory the peak of the process that computes; -whole with its parent; -vae with the full decoder
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from contest.contestants import CONTESTANTS, find_surroundings, why_not  # noqa: E402
from contest.report import Result, aims, table  # noqa: E402
from contest.rounds import QUANTITIES, Contest  # noqa: E402
from contest.weights import engine_files, prepare_peers, read_once  # noqa: E402

TITLES = {contestant.name: contestant.title for contestant in CONTESTANTS}


def main() -> int:
    """Run the contest and print the table; 1 when nobody could take part."""
    options = _options()
    around = find_surroundings(
        threads=options.threads,
        peers_python=options.peers_python,
        stock=options.stock_library,
        llamafile=options.llamafile_library,
    )
    result = Result()
    for contestant in CONTESTANTS:
        if contestant.name in options.contestants and (why := why_not(contestant, around)):
            result.skipped[contestant.name] = why
    contest = Contest(
        contestants=[
            contestant
            for contestant in CONTESTANTS
            if contestant.name in options.contestants and contestant.name not in result.skipped
        ],
        quantities=options.quantities,
        around=around,
        folder=options.folder,
        width=options.size[0],
        height=options.size[1],
        weights=options.weights,
        rounds=options.rounds,
    )
    _prepare(contest)
    machine = _machine(contest)
    print(*(f"{name}: {value}" for name, value in machine.items()), sep="\n", flush=True)
    started = time.monotonic()
    try:
        for number in contest.run(result, _tell):
            _tell(f"round {number + 1} done after {time.monotonic() - started:.0f} s")
            _write_json(options, result, machine)
    except KeyboardInterrupt:
        _tell("broken off; what was measured so far:")
    _write_json(options, result, machine)
    print(
        *table(
            result,
            TITLES,
            options.quantities,
            against=options.against,
            reference=options.reference,
            coarse=options.weights == "q4_0",
        ),
        f"in brackets: the ratio to {options.against}; picture: the difference from"
        f" {options.reference}",
        *aims(result),
        sep="\n",
    )
    return int(not result.values)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdcpu-peers"
    add = parser.add_argument
    add("--size", type=_size, default=(512, 512), help="WxH of the picture: 512x512")
    add("--rounds", type=int, default=3, help="the slowest take part in the first only")
    add("--contestants", type=_names(list(TITLES)), default=list(TITLES), help=", ".join(TITLES))
    add(
        "--accel",
        type=lambda text: [name.strip() for name in text.split(",")],
        help="only these of our kernels, such as bf16,int8",
    )
    quantities = list(QUANTITIES)
    add("--quantities", type=_names(quantities), default=quantities, help=", ".join(quantities))
    add("--weights", choices=("q8_0", "q4_0", "f16"), default="q8_0", help="of the engine: q8_0")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="%(default)s here")
    add("--folder", type=Path, default=cache, help="of the weights: %(default)s")
    add("--against", choices=TITLES, default="openvino-bf16", help="for ratios: %(default)s")
    add("--reference", choices=TITLES, default="torch-f32", help="for pictures: %(default)s")
    add("--peers-python", default=sys.executable, help="the Python that has sdcpu[peers]")
    add("--stock-library", type=Path, help="libstable-diffusion as pip builds it")
    add("--llamafile-library", type=Path, help="the same built with GGML_LLAMAFILE")
    add("--json", type=Path, help="write every figure to this file, after each round")
    options = parser.parse_args()
    if options.accel is not None:
        options.contestants = [
            name
            for name in options.contestants
            if not name.startswith("ours-") or name.split("-")[1] in options.accel
        ]
    options.folder = options.folder.absolute()
    options.folder.mkdir(parents=True, exist_ok=True)
    return options


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    if width % 64 or height % 64 or min(width, height) < 64:
        raise ValueError("multiples of 64")
    return width, height


def _names(known: list[str]):  # type: ignore[no-untyped-def]
    """A list of known names, with commas between."""

    def names(text: str) -> list[str]:
        wanted = [name.strip() for name in text.split(",")]
        for name in wanted:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return [name for name in known if name in wanted]

    return names


def _prepare(contest: Contest) -> None:
    for contestant in contest.contestants:
        if contestant.kind == "engine":
            engine_files(contest.folder, contestant.weights or contest.weights, tiny=True)
        else:
            prepare_peers(contest.folder, contest.around)
    read_once(contest.folder, contest.contestants, contest.weights)


def _machine(contest: Contest) -> dict[str, str]:
    """What the figures belong to."""
    from importlib import metadata

    from sdcpu.hardware import detect_hardware

    hardware = detect_hardware()
    binding = metadata.version("stable-diffusion-cpp-python")
    versions = {"python": platform.python_version(), "binding": binding, **contest.around.versions}
    return {
        "processor": f"{hardware.cpu_name}, {hardware.usable_cpus} usable",
        "memory": f"{hardware.memory_total / 1e9:.1f} GB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "threads": str(contest.around.threads),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "picture": f"{contest.width}x{contest.height}, weights {contest.weights}",
        "rounds": str(contest.rounds),
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write_json(options: argparse.Namespace, result: Result, machine: dict[str, str]) -> None:
    if options.json:
        figures = result.as_json(options.against, options.reference)
        options.json.write_text(json.dumps({"machine": machine} | figures, indent=1))


if __name__ == "__main__":
    sys.exit(main())
