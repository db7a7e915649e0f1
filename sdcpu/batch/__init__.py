"""Many requests from one file: read and checked, drawn one after the other, resumable.

`read_requests` reads a file, `Batch` draws it.
"""

from sdcpu.batch.contents import BatchContents
from sdcpu.batch.events import BatchEvent, BatchSummary, LineDone, LineFailed, LineProgress
from sdcpu.batch.journal import Journal
from sdcpu.batch.lines import BatchLine, BrokenLine, read_requests
from sdcpu.batch.runs import Batch
from sdcpu.batch.worker_counts import WorkerResult, WorkerTrial, measure_workers

__all__ = [
    "Batch",
    "BatchContents",
    "BatchEvent",
    "BatchLine",
    "BatchSummary",
    "BrokenLine",
    "Journal",
    "LineDone",
    "LineFailed",
    "LineProgress",
    "WorkerResult",
    "WorkerTrial",
    "measure_workers",
    "read_requests",
]
