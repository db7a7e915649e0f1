"""Which job is drawn next: a pure decision.

Higher priorities go first. Among equal ones the oldest goes first, except that jobs whose model is
loaded may overtake it, because loading takes seconds to minutes; but only so often.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

MOST_OVERTAKINGS = 5
"""How many younger jobs may go before one because their model is loaded and its own is not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What decides when a job is drawn."""

    id: str
    priority: int
    group: str
    """What has to be loaded for it: jobs of one group are best drawn after one another."""
    overtaken: int = 0
    """Younger jobs of its priority that went before it."""


def next_job(waiting: Sequence[Waiting], loaded: Collection[str]) -> Waiting | None:
    """The job to draw now; `waiting` are all that wait, oldest first, `loaded` are groups.

    >>> old, young = Waiting(id="1", priority=0, group="a"), Waiting(id="2", priority=0, group="b")
    >>> next_job([old, young], loaded={"b"}).id
    '2'
    >>> next_job([replace(old, overtaken=MOST_OVERTAKINGS), young], loaded={"b"}).id
    '1'
    """
    if not waiting:
        return None
    highest = max(job.priority for job in waiting)
    equals = [job for job in waiting if job.priority == highest]
    first = equals[0]
    for job in equals:
        if job.group in loaded:
            return job
        if job.overtaken >= MOST_OVERTAKINGS:
            return job
    return first


def overtaken_by(chosen: Waiting, waiting: Sequence[Waiting]) -> list[Waiting]:
    """The jobs that `chosen` goes before although they are older and not less urgent."""
    older = waiting[: waiting.index(chosen)]
    return [job for job in older if job.priority == chosen.priority]


def drawing_order(waiting: Sequence[Waiting], loaded: Collection[str]) -> list[str]:
    """The ids of all that wait, in the order in which they will be drawn if nothing is added."""
    left, warm, order = list(waiting), set(loaded), []
    while (chosen := next_job(left, warm)) is not None:
        passed = {job.id for job in overtaken_by(chosen, left)}
        left = [
            replace(job, overtaken=job.overtaken + 1) if job.id in passed else job
            for job in left
            if job.id != chosen.id
        ]
        warm.add(chosen.group)
        order.append(chosen.id)
    return order
