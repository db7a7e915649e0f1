"""Every family of models with our kernels and without: seconds by stage, and what they leave over.

Every run is one picture in one step in a fresh process, by turns, on made checkpoints of true shape
with random weights; where blocks repeat and the engine counts them, there are fewer. Without
kernels the engine runs with the flags that sdcpu's plan gives it then. Times are medians, and whole
stages: what a step prepares once is in it. A last run of each row is profiled: the share of a stage
that the engine's own operations take beside our kernels, and each of them that takes 2 % or more.

  text      the text encoders                  step      one step of the diffusion model
  decode    the autoencoder or tiny decoder    upscale   a tile of 128x128
  times     how many times as fast             PSNR      how alike the results are, in decibels
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from survey.drawing import Machine, draw  # noqa: E402
from survey.findings import HEAD, Finding  # noqa: E402
from survey.rows import ROWS, files_of  # noqa: E402

from sdcpu.builds import find_build  # noqa: E402
from sdcpu.errors import SdcpuError  # noqa: E402
from sdcpu.settings import load_settings  # noqa: E402


def main() -> int:
    """Measure the rows and print each when it is done; 1 when one could not be measured."""
    options = _options()
    installed = find_build("auto", load_settings()).library
    machines = {
        "stock": Machine(
            kernels="off", library=options.stock_library or installed, threads=options.threads
        ),
        "ours": Machine(kernels=options.accel, library=installed, threads=options.threads),
    }
    started = time.monotonic()
    findings: list[Finding] = []
    failed = False
    print(HEAD, flush=True)
    for name in options.only:
        finding = Finding(ROWS[name])
        try:
            _measure(finding, machines, options)
        except SdcpuError as error:
            failed = True
            print(f"{ROWS[name].title}: {error.message}", flush=True)
            continue
        findings.append(finding)
        print(*finding.lines(), sep="\n", flush=True)
        if options.json:
            options.json.write_text(json.dumps([each.as_json() for each in findings], indent=1))
    print(f"{len(findings)} rows in {time.monotonic() - started:.0f} s, {options.threads} threads")
    return int(failed)


def _measure(finding: Finding, machines: dict[str, Machine], options: argparse.Namespace) -> None:
    """All rounds of a row, and the profiled run."""
    files = files_of(finding.row, options.folder)
    for number in range(options.rounds):
        turns = list(machines) if number % 2 == 0 else list(reversed(machines))
        for side in turns:
            print(f"{finding.row.name}: {side}", file=sys.stderr, flush=True)
            finding.add(side, number, draw(finding.row, files, machines[side]))
    finding.last["profiled"] = draw(finding.row, files, machines["ours"], profiled=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench families",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdcpu-families"
    add = parser.add_argument
    add(
        "--only", type=_rows, default=list(ROWS), help=f"rows, or how they begin: {', '.join(ROWS)}"
    )
    add("--rounds", type=int, default=1, help="%(default)s; 0: only what is left over")
    add("--accel", default="auto", help="our kernels: %(default)s")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="%(default)s here")
    add("--folder", type=Path, default=cache, help="of the checkpoints, 6 GB: %(default)s")
    add(
        "--stock-library",
        type=Path,
        help="libstable-diffusion as pip builds it; else the installed",
    )
    add("--json", type=Path, help="write every figure and shape to this file, after each row")
    options = parser.parse_args()
    options.folder = options.folder.absolute()
    options.folder.mkdir(parents=True, exist_ok=True)
    return options


def _rows(text: str) -> list[str]:
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if not any(row.startswith(name) for row in ROWS):
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(ROWS)}")
    return [row for row in ROWS if any(row.startswith(name) for name in wanted)]


if __name__ == "__main__":
    sys.exit(main())
