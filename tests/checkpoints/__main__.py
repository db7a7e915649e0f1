"""`python -m tests.checkpoints NAME TYPE FILE`."""

import argparse
import math
from pathlib import Path

from tests.checkpoints import CHECKPOINTS, write_checkpoint
from tests.checkpoints.writer import TYPES


def main() -> None:
    """List the checkpoints, or write one."""
    parser = argparse.ArgumentParser(prog="python -m tests.checkpoints", description=__doc__)
    parser.add_argument("name", nargs="?", choices=CHECKPOINTS)
    parser.add_argument("type", nargs="?", choices=TYPES, default="f16")
    parser.add_argument("file", nargs="?", type=Path, help="ends in .gguf or .safetensors")
    arguments = parser.parse_args()
    if arguments.name is None:
        for name, checkpoint in CHECKPOINTS.items():
            values = sum(math.prod(shape) for _, shape in checkpoint.shapes())
            print(f"{name:20} {values / 1e6:8.1f} million values   {checkpoint.title}")
        return
    file: Path = arguments.file or Path(f"{arguments.name}-{arguments.type}.gguf")
    write_checkpoint(file, CHECKPOINTS[arguments.name].shapes(), arguments.type)
    print(f"{file}: {file.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
