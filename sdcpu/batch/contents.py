"""What is in a batch file, and what is wrong with it, found before anything is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sdcpu.batch.journal import Journal
from sdcpu.batch.lines import BatchLine, BrokenLine
from sdcpu.catalog import Catalog
from sdcpu.errors import ModelError

MOST_BROKEN_SHOWN = 20
"""Broken lines that are kept, to be named; the others are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchContents:
    """What is in a batch file."""

    lines: int
    """Without broken ones."""
    pictures: int
    """Which its lines become; those that are drawn already are not among them."""
    done: int
    """Lines whose pictures are there from an earlier run."""
    models: dict[str | None, int] = field(hash=False)
    """Lines for each model, in the order in which they are drawn; None: the usual one."""
    broken: tuple[BrokenLine, ...]
    """The first of the lines that cannot be drawn."""
    broken_count: int
    left_out: frozenset[int] = field(default=frozenset(), repr=False)
    """Numbers of lines that would be drawn were it not for another line's output."""


def inspect_lines(
    lines: Iterable[BatchLine | BrokenLine], catalog: Catalog, journal: Journal | None
) -> BatchContents:
    """Look at every line once; the journal knows what is drawn already."""
    inspection = _Inspection(catalog)
    models: Counter[str | None] = Counter()
    pictures = done = 0
    for line in lines:
        if isinstance(line, BrokenLine):
            inspection.note(line)
        elif not inspection.passes(line):
            continue
        else:
            models[line.model] += 1
            if journal is not None and journal.is_done(line):
                done += 1
            else:
                pictures += line.pictures
    return BatchContents(
        lines=models.total(),
        pictures=pictures,
        done=done,
        models=dict(models),
        broken=tuple(inspection.broken),
        broken_count=inspection.broken_count,
        left_out=frozenset(inspection.left_out),
    )


class _Inspection:
    """What was found out so far; of a file's many lines only little is kept."""

    def __init__(self, catalog: Catalog) -> None:
        self.broken: list[BrokenLine] = []
        self.broken_count = 0
        self.left_out: set[int] = set()
        self._catalog = catalog
        self._problems: dict[str | None, ModelError | None] = {None: None}
        self._named: dict[int, int] = {}
        """Numbers of lines by their outputs, which are kept as numbers too."""

    def note(self, line: BrokenLine) -> None:
        """Count a broken line, and keep it if it is one of the first."""
        self.broken_count += 1
        if len(self.broken) < MOST_BROKEN_SHOWN:
            self.broken.append(line)

    def passes(self, line: BatchLine) -> bool:
        """Whether the line's model is known and its output its own; else it is noted as broken."""
        if line.model not in self._problems:
            self._problems[line.model] = self._problem_of(str(line.model))
        if error := self._problems[line.model]:
            self.note(BrokenLine(number=line.number, message=error.message, hint=error.hint))
            return False
        if line.output is not None:
            first = self._named.setdefault(hash(str(Path(line.output))), line.number)
            if first != line.number:
                message = f"Its output {line.output} is that of line {first} too."
                hint = "Give every line an output of its own."
                self.note(BrokenLine(number=line.number, message=message, hint=hint))
                self.left_out.add(line.number)
                return False
        return True

    def _problem_of(self, model: str) -> ModelError | None:
        try:
            self._catalog.find(model)
        except ModelError as error:
            return error
        return None
