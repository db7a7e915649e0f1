"""What a batch tells while it is drawn: small frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdcpu.batch.lines import BatchLine
from sdcpu.errors import SdcpuError
from sdcpu.generator import Event


@dataclass(frozen=True, kw_only=True, slots=True)
class LineProgress:
    """Something that a generator told while it drew a line."""

    line: BatchLine
    event: Event
    worker: int = 0
    """Which of the workers, counted from 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineDone:
    """A line whose pictures are on the disk."""

    line: BatchLine
    files: tuple[Path, ...]
    seeds: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LineFailed:
    """A line that could not be drawn; the others go on."""

    line: BatchLine
    error: SdcpuError


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSummary:
    """What came of a batch; the last event."""

    drawn: int
    """Lines."""
    skipped: int
    """Lines that were drawn by an earlier run."""
    failed: int
    pictures: int
    """That were drawn."""
    seconds: float
    workers: int


BatchEvent = LineProgress | LineDone | LineFailed | BatchSummary
"""What `Batch.draw` yields."""
