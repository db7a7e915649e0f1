"""README.md and the pages of docs/: their examples, taken apart."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(
    r"(?:<!-- (?P<note>.*?) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
_OURS = ("sdcpu", "scripts/run")


class Example(NamedTuple):
    """A fenced block."""

    kind: str
    """"python", "console", …"""
    text: str
    page: Path
    line: int
    executed: bool
    """Whether it can be run here: False where a comment above it says that it needs a hub, runs
    until it is stopped, or asks a server."""

    @property
    def commands(self) -> list[str]:
        """The lines of a console block that a person types."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]

    @property
    def own_commands(self) -> list[list[str]]:
        """The arguments of each call of sdcpu."""
        return [arguments for name, *arguments in map(shlex.split, self.commands) if name in _OURS]

    @property
    def place(self) -> str:
        """Page and line, for the names of tests."""
        return f"{self.page.stem} {self.line}"


def examples(kind: str, *pages: Path) -> list[Example]:
    """All blocks of a kind on these pages, or on all, in their order."""
    return [
        Example(
            kind=block["kind"],
            text=block["text"],
            page=page,
            line=text[: block.start("text")].count("\n") + 1,
            executed=not re.search("needs a hub|runs until|asks a running", block["note"] or ""),
        )
        for page in pages or PAGES
        for text in [page.read_text(encoding="utf-8")]
        for block in _BLOCK.finditer(text)
        if block["kind"] == kind
    ]
