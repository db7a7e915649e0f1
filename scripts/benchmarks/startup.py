"""How long importing sdcpu and asking for help take, each in a fresh process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 20
PROGRAM = str(Path(sys.executable).with_name("sdcpu"))
CASES = (
    ("python, nothing imported", [sys.executable, "-c", "pass"], None),
    ("import sdcpu", [sys.executable, "-c", "import sdcpu"], 50),
    ("sdcpu --help", [PROGRAM, "--help"], 150),
    ("sdcpu generate --help", [PROGRAM, "generate", "--help"], None),
    ("sdcpu models", [PROGRAM, "models"], None),
)
"""What is timed, and the milliseconds it may take; import sdcpu includes the start of Python."""


def milliseconds(command: list[str]) -> float:
    """The wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000


def main() -> int:
    """Print the table; 1 when a limit is broken."""
    broken = False
    print(f"{'':<26} {'median':>8} {'fastest':>8} {'slowest':>8} {'limit':>8}   ms, {RUNS} runs")
    for name, command, limit in CASES:
        milliseconds(command)  # the first one reads the disk
        times = [milliseconds(command) for _ in range(RUNS)]
        median = statistics.median(times)
        broken |= limit is not None and median > limit
        figures = "".join(f" {value:8.0f}" for value in (median, min(times), max(times)))
        print(f"{name:<26}{figures} {limit or '-':>8}")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
