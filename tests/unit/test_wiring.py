"""What the wiring of the families is proved with: every family, every part, and the table of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdcpu.families import FAMILIES, FileRole
from sdcpu.identification import identify
from sdcpu.registry import load_registry
from sdcpu.weights import read_header
from tests.checkpoints import CHECKPOINTS, write_hollow_checkpoint
from tests.pages import ROOT
from tests.wiring import WIRINGS, Wiring, family_of

REGISTRY = load_registry(None)


def test_every_family_that_has_a_model_is_drawn_with() -> None:
    too_large = {"wan22_i2v"}  # the engine insists on two models of 14 thousand million values
    with_model = {m.family for m in REGISTRY.models.values() if m.kind in ("image", "video")}
    assert {family_of(wiring) for wiring in WIRINGS.values()} == with_model - too_large


@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
def test_the_parts_are_all_there_and_what_they_are_taken_for(
    tmp_path: Path, wiring: Wiring
) -> None:
    found = {}
    for role, (name, kind) in wiring.parts.items():
        path = tmp_path / f"{name}.gguf"
        if not path.exists():
            write_hollow_checkpoint(path, CHECKPOINTS[name].shapes(), kind)
        found[FileRole(role)] = identify(read_header(path))
    family = FAMILIES[family_of(wiring)]
    for role, identified in found.items():
        wanted = FileRole.DIFFUSION_MODEL if "diffusion_model" in role else role
        assert identified.role is wanted
    main = found.get(FileRole.MODEL) or found[FileRole.DIFFUSION_MODEL]
    assert main.family in (family.name, wiring.taken_for)
    needed = set(main.missing) | set(family.parts if main.missing else ())
    if FileRole.TINY_DECODER in found:  # it stands in for the full one
        needed -= {FileRole.VAE}
    assert needed <= found.keys()


def test_the_table_tells_the_results() -> None:
    page = ROOT / "docs" / "families.md"
    rows = re.findall(r"^\| [^|]+ \| `([^`|]+)` \|.*\| [0-9]+ \|", page.read_text("utf-8"), re.M)
    assert rows == list(WIRINGS)
