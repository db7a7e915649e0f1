"""Checkpoints of true shape with random weights: what loading, memory and speed are tested with.

    python -m tests.checkpoints                         lists them
    python -m tests.checkpoints sd15 q8_0 sd15.gguf     writes one

Nothing is downloaded, and only one tensor at a time is in memory. The tensors have the names that
the engine's own converter gives them, so a file has the size of the published one.
"""

from tests.checkpoints.catalog import CHECKPOINTS, Checkpoint
from tests.checkpoints.writer import (
    write_checkpoint,
    write_hollow_checkpoint,
    write_small_checkpoint,
)

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "write_checkpoint",
    "write_hollow_checkpoint",
    "write_small_checkpoint",
]
