"""Every family from its entry to a picture, with made checkpoints: seconds and peak memory.

Prints the rows of the table in docs/families.md. Two steps at 128x128 with the tiny decoder, then
two with the full one; loading is in the seconds, twice. Checkpoints are deleted as soon as no later
row needs them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from sdcpu.errors import SdcpuError  # noqa: E402
from sdcpu.families import FAMILIES  # noqa: E402
from sdcpu.figures import size_text  # noqa: E402
from tests.wiring import WIRINGS, draw, tidy  # noqa: E402


def main() -> int:
    """Draw with each and print its row; 1 when one could not."""
    parser = argparse.ArgumentParser(prog="scripts/bench wiring", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=WIRINGS, default=list(WIRINGS))
    options = parser.parse_args()
    failed = False
    print("| Family | Model | Made of | Seconds | Peak, predicted | measured |")
    print("|---|---|---|---|---|---|")
    with TemporaryDirectory(prefix="sdcpu-wiring-") as folder:
        for number, name in enumerate(options.only):
            wiring = WIRINGS[name]
            try:
                drawing = draw(wiring, Path(folder))
            except SdcpuError as error:
                failed = True
                print(f"{name}: {error.message}", file=sys.stderr, flush=True)
                continue
            family = FAMILIES[drawing.plans[-1].model.family].title
            made_of = ", ".join(f"{part} {kind}" for part, kind in wiring.parts.values())
            sizes = f"{size_text(drawing.predicted)} | {size_text(drawing.peak)}"
            print(
                f"| {family} | `{name}` | {made_of} | {drawing.seconds:.0f} | {sizes} |", flush=True
            )
            tidy(Path(folder), (WIRINGS[later] for later in options.only[number + 1 :]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
