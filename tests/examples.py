"""The examples in docstrings: which modules have some, and running them."""

import doctest
from importlib import import_module
from pathlib import Path
from types import ModuleType

import sdcpu

PACKAGE = Path(sdcpu.__file__).parent

DRAWING = (
    "sdcpu",
    "sdcpu.generator",
    "sdcpu.process",
    "sdcpu.series",
    "sdcpu.batch.runs",
    "sdcpu.grid.cells",
    "sdcpu.agents.studio",
    "sdcpu.agents.picture_tool",
)
"""Modules whose examples start the engine."""


def modules_with_examples() -> list[str]:
    """The dotted names of all modules with examples."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if any(line.lstrip().startswith(">>> ") and "+SKIP" not in line for line in lines):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            found.append(".".join(part for part in parts if part != "__init__"))
    return found


def check_examples(name: str) -> None:
    """Run a module's examples."""
    module: ModuleType = import_module(name)
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0, "the report is above"
