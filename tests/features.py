"""What is proven: the table of features by family, read off the tests that prove it.

A test that looks at what a feature does in a family's pictures carries the mark
`@pytest.mark.proves("inpainting", "sd1_tiny")`. `python -m tests.features` writes the table into
docs/features.md, and tests/unit/test_features.py holds it to the marks.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from sdcpu.families import FAMILIES
from tests.wiring import WIRINGS, family_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "features.md"
BEGIN, END = "<!-- table of proofs -->", "<!-- end of the table -->"

FEATURES = (
    *("text to picture", "text to video", "picture to video", "several pictures at once"),
    *("negative prompt", "img2img", "inpainting", "outpainting", "any size in"),
    *("ControlNet", "reference pictures", "LoRA", "LCM-LoRA", "textual inversion"),
    *("quality presets", "samplers and schedulers", "own noise levels", "step cache"),
    *("clip skip", "seamless edges", "upscaling", "hires fix", "upscaling by tiles"),
    *("templates and wildcards", "styles", "batch", "grid", "preview"),
)
"""In the order of the table."""

Proofs = Mapping[tuple[str, str], tuple[str, ...]]
"""Tests by feature and family."""


def proofs() -> Proofs:
    """The tests that prove something, by what they prove.

    Raises:
        ValueError: a mark names a feature or a family that there is not.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for feature, family, name in _marks(ast.parse(path.read_text(encoding="utf-8"))):
            if feature not in FEATURES or family not in FAMILIES:
                raise ValueError(f"{path.name} proves {feature!r} for {family!r}")
            found[feature, family].append(f"{path.relative_to(ROOT)}::{name}")
    return {place: tuple(tests) for place, tests in found.items()}


def table() -> str:
    """The table in Markdown: a row for each feature, a column for each family that is proven."""
    known = proofs()
    families = [family for family in FAMILIES if any(family == of for _, of in known)]
    lines = [
        f"| | {' | '.join(FAMILIES[family].title for family in families)} |",
        f"|---|{'---|' * len(families)}",
    ]
    for feature in FEATURES:
        marks = ("✓" if (feature, family) in known else "" for family in families)
        lines.append(f"| {feature} | {' | '.join(marks)} |")
    return "\n".join(lines)


def written_table() -> str:
    """The table as it stands on the page."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def _marks(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Feature, family and test of every mark in a module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
                feature, *families = (ast.literal_eval(argument) for argument in mark.args)
                for family in families or WIRED:
                    yield feature, family, node.name


WIRED = tuple(dict.fromkeys(family_of(wiring) for wiring in WIRINGS.values()))
"""Families of a mark that names none: it stands at a test that goes through all of them."""


def main() -> None:
    """Write the table into its page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
