"""A program of its own that asks one driver for its devices: `python probe.py cuda|vulkan|…`.

A broken driver may crash or hang whoever loads it, so nothing else loads one to look. The answer
is one line of JSON on standard output. An answer of CUDA's driver from before may follow the
driver's name: while it holds, only the free memory is asked.

The package itself would take longer to import than all the rest: the program finds the modules
beside it without running what makes them a package, and starts in 20 ms.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import types
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib starts slower


def main() -> None:
    """Ask the driver that the argument names, and print what it says."""
    for name, folder in (("sdcpu", os.path.dirname(_HERE)), ("sdcpu.gpus", _HERE)):  # noqa: PTH120
        package = types.ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package
    answer = _answer(sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else None)
    # Drivers print, too: the answer begins on a line of its own. _exit: their destructors may hang.
    os.write(1, ("\n" + json.dumps(answer) + "\n").encode())
    os._exit(0)


def _answer(api: str, before: dict[str, Any] | None) -> dict[str, Any]:
    """What the driver says; nothing where there is none, or its problem."""
    driver = importlib.import_module(f"sdcpu.gpus.{api}")
    library = importlib.import_module("sdcpu.gpus.library")
    try:
        known = before and driver.still_true(before)
        answer: dict[str, Any] = known or getattr(driver, api)()
    except library.DriverError as error:
        answer = {"problem": str(error)}
    return answer


if __name__ == "__main__":
    main()
