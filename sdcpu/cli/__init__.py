"""The command line: each command parses, calls the library and prints; nothing else prints.

Results go to standard output, everything else to standard error.
"""

from sdcpu.cli.commands import main

__all__ = ["main"]
