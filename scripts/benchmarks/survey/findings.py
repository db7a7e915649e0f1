"""What was found about a row: medians, ratios, likeness, and what is left to the engine."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from contest.report import Result

from survey.drawing import Run
from survey.profiles import WORTH_NAMING, left_text, left_to_engine
from survey.rows import Row

STAGES = {"text": "text", "sample": "step", "decode": "decode", "upscale": "upscale"}
"""What the stages are called here."""
HEAD = f"{'':<10}{'stock, s':>10}{'ours, s':>10}{'times':>8}{'PSNR, dB':>10}   left to the engine"


@dataclass(slots=True)
class Finding:
    """All runs of a row."""

    row: Row
    result: Result = field(default_factory=Result)
    last: dict[str, Run] = field(default_factory=dict)
    """The last run of each side; "profiled" is one of ours."""

    def add(self, side: str, number: int, run: Run) -> None:
        """Note a run of a round."""
        self.last[side] = run
        for stage, seconds in run.seconds.items():
            self.result.add(side, stage, number, seconds)

    def lines(self) -> list[str]:
        """The row's title, and a line for each stage."""
        return [self.row.title, *(self._line(stage) for stage in self.row.stages)]

    def psnr(self, stage: str) -> float | None:
        """Likeness of what a stage made, in decibels; None where nothing of it can be seen."""
        runs = [self.last[side] for side in ("stock", "ours") if side in self.last]
        pictures = [run.pictures[stage] for run in runs if stage in run.pictures]
        if len(pictures) < 2:
            return None
        first, second = (np.frombuffer(each, np.uint8).astype(np.float64) for each in pictures)
        error = float(np.mean((first - second) ** 2))
        return math.inf if error == 0 else 10 * math.log10(255**2 / error)

    def as_json(self) -> dict[str, Any]:
        """Every figure, and the operations that take time, by stage."""
        stages = {}
        for stage in self.row.stages:
            operations = self.last["profiled"].profiles.get(stage, [])
            stages[STAGES[stage]] = {
                "rounds": {side: each[stage] for side, each in self.result.values.items()},
                "times": self.result.ratio("stock", "ours", stage),
                "psnr": self.psnr(stage),
                "left": left_to_engine(operations),
                "operations": [
                    asdict(each) for each in operations if each.share >= WORTH_NAMING / 4
                ],
            }
        return {"row": self.row.title, "stages": stages}

    def _line(self, stage: str) -> str:
        cells = [
            _cell(self.result.median("stock", stage), 2),
            _cell(self.result.median("ours", stage), 2),
            _cell(self.result.ratio("stock", "ours", stage), 1, width=8),
            _cell(self.psnr(stage), 1),
        ]
        left = left_text(self.last["profiled"].profiles.get(stage, []))
        return f"  {STAGES[stage]:<8}{''.join(cells)}   {left}"


def _cell(value: float | None, places: int, *, width: int = 10) -> str:
    return f"{'-' if value is None else f'{value:.{places}f}':>{width}}"
