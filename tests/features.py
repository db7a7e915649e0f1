"""What is proven: the table of features by family, read off the tests that prove it.

A test that looks at what a feature does to a family's pictures carries the mark
`@pytest.mark.proves("inpainting", "sd1_tiny")`; the wiring of a family (`tests.wiring`) proves that
it draws. `python -m tests.features` writes the table into docs/features.md, and
tests/unit/test_features.py holds it to the tests.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from sdcpu.families import FAMILIES
from tests.wiring import WIRINGS, Wiring, family_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "features.md"
BEGIN, END = "<!-- table of proofs -->", "<!-- end of the table -->"

FEATURES = (
    *("text to picture", "negative prompt", "several pictures at once", "preview"),
    *("img2img", "inpainting", "outpainting", "pictures of any size and shape"),
    *("ControlNet", "reference pictures", "LoRA", "LCM-LoRA", "textual inversion"),
    *("samplers and noise levels", "step cache", "seamless edges"),
    *("upscaling (ESRGAN)", "hires fix", "upscaling by tiles"),
    *("alternatives in prompts", "styles", "batch", "grid"),
    *("text to video", "picture to video"),
)
"""In the order of the table."""
ALWAYS, BY_HAND = "●", "○"
"""Marks: in continuous integration, the picture's meaning or its exact pixels; outside it, with
checkpoints of true shape and random weights."""

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
    for feature, wiring in ((_wired_feature(wiring), wiring) for wiring in WIRINGS.values()):
        found[feature, family_of(wiring)].append(f"tests/slow/test_wiring.py[{wiring.model}]")
    return {place: tuple(tests) for place, tests in found.items()}


def table() -> str:
    """The table in Markdown: a row for each feature, a column for each family that is proven."""
    known = proofs()
    families = [f for f in FAMILIES.values() if any(f.name == family for _, family in known)]
    titles = (family.title.removeprefix("Stable Diffusion ") for family in families)
    lines = [f"| | {' | '.join(titles)} |", f"|---|{':-:|' * len(families)}"]
    for feature in FEATURES:
        marks = (_mark(known.get((feature, family.name), ())) for family in families)
        lines.append(f"| {feature} | {' | '.join(marks)} |")
    return "\n".join(lines)


def written_table() -> str:
    """The table as it stands on the page."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def _mark(tests: tuple[str, ...]) -> str:
    if not tests:
        return ""
    return BY_HAND if all(test.startswith("tests/slow/") for test in tests) else ALWAYS


def _marks(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Feature, family and test of every mark in a module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
                feature, *families = (ast.literal_eval(argument) for argument in mark.args)
                for family in families:
                    yield feature, family, node.name


def _wired_feature(wiring: Wiring) -> str:
    """What a wiring proves besides that its files fit together."""
    if FAMILIES[family_of(wiring)].video:
        return "picture to video" if wiring.needs else "text to video"
    if "mask_image" in wiring.needs:
        return "inpainting"
    return "reference pictures" if wiring.needs else "text to picture"


def main() -> None:
    """Write the table into its page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
