"""The command line: each command parses, calls the library and prints; nothing else prints.

Results go to standard output, everything else to standard error.
"""

import sys
from typing import NoReturn

__all__ = ["main"]

CANCELLED = 130
"""The exit code of what Ctrl-C ended: 128 + SIGINT, as shells count."""


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    try:
        from sdcpu.cli.commands import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before or after what `run` guards
        code = CANCELLED
    sys.exit(code)
