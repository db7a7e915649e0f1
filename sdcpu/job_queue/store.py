"""Jobs on the disk: one SQLite file, written before anything is told or drawn."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from sdcpu.errors import JobConflictError
from sdcpu.job_queue.database import Database
from sdcpu.job_queue.job import Job, JobError, JobKind, JobResult, JobState, value_to_json
from sdcpu.job_queue.schedule import Waiting

_COLUMNS = (
    *("id", "kind", "model", "request", "priority", "client", "key", "state", "created"),
    *("started", "finished", "attempts", "plan", "error", "notes", "from_cache", "retry_of"),
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM jobs"  # noqa: S608 - our own words


class JobStore:
    """The jobs of one queue. One thread at a time may use it; the caller sees to that.

    Raises:
        DamagedDatabaseError: the file is no database, or damaged.
        QueueFolderError: it cannot be opened, or was written by a later version.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, job: Job, *, group: str, seed: int, results: Sequence[JobResult] = ()) -> None:
        """Keep a new job, and what is finished of it.

        Raises:
            JobConflictError: its key is taken.
        """
        values = {
            **{name: getattr(job, name) for name in _COLUMNS},
            "kind": job.kind.value,
            "state": job.state.value,
            "request": _written(job.request),
            "plan": None if job.plan is None else _written(job.plan),
            "error": None,
            "notes": _written(job.notes),
            "group_name": group,
            "seed": seed,
        }
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        try:
            with self._database.changing() as database:
                database.execute(
                    f"INSERT INTO jobs ({names}) VALUES ({places})",  # noqa: S608 - our own words
                    values,
                )
                for result in results:
                    _insert_result(database, job.id, result, stored=True)
        except sqlite3.IntegrityError as error:
            raise JobConflictError("The key is another job's.") from error

    def find(self, job_id: str) -> Job | None:
        """The job of this id."""
        return self._one(f"{_SELECT} WHERE id = ?", job_id)

    def find_key(self, key: str) -> Job | None:
        """The job that came with this key."""
        return self._one(f"{_SELECT} WHERE key = ?", key)

    def jobs(
        self,
        states: Collection[JobState] | None = None,
        *,
        limit: int = -1,
        before: str | None = None,
    ) -> list[Job]:
        """Jobs in these states, newest first; -1: all of them."""
        wanted = list(JobState) if states is None else list(states)
        marks = ", ".join("?" * len(wanted))
        older = "" if before is None else "AND number < (SELECT number FROM jobs WHERE id = ?)"
        query = f"{_SELECT} WHERE state IN ({marks}) {older} ORDER BY number DESC LIMIT ?"
        values = [*map(str, wanted), *([] if before is None else [before]), limit]
        return [self._job(row) for row in self._database.rows(query, values)]

    def waiting(self) -> list[Waiting]:
        """What waits, oldest first."""
        query = (
            "SELECT id, priority, group_name, overtaken FROM jobs WHERE state = ? ORDER BY number"
        )
        return [
            Waiting(id=row[0], priority=row[1], group=row[2], overtaken=row[3])
            for row in self._database.rows(query, [JobState.QUEUED.value])
        ]

    def counts(self) -> dict[JobState, int]:
        """How many jobs there are in each state."""
        found = dict(self._database.rows("SELECT state, count(*) FROM jobs GROUP BY state"))
        return {state: found.get(state.value, 0) for state in JobState}

    def ids(self) -> set[str]:
        """The ids of all jobs."""
        return {row[0] for row in self._database.rows("SELECT id FROM jobs")}

    def seed_and_group(self, job_id: str) -> tuple[int, str]:
        """The seed of a job's first picture, and what has to be loaded for it."""
        query = "SELECT seed, group_name FROM jobs WHERE id = ?"
        ((seed, group),) = self._database.rows(query, [job_id])
        return int(seed), str(group)

    def begin(self, job_id: str, *, now: float, overtaken: Collection[str]) -> None:
        """Note that a job is being drawn, and which jobs it overtook."""
        with self._database.changing() as database:
            database.execute(
                "UPDATE jobs SET state = ?, started = ?, attempts = attempts + 1"
                " WHERE id = ? AND state = ?",
                [JobState.RUNNING.value, now, job_id, JobState.QUEUED.value],
            )
            database.executemany(
                "UPDATE jobs SET overtaken = overtaken + 1 WHERE id = ?",
                [[other] for other in overtaken],
            )

    def put_back(self, job_id: str, *, note: str, counted: bool) -> None:
        """Let a running job wait again; `counted`: whether the attempt counts as one."""
        with self._database.changing() as database:
            database.execute(
                "UPDATE jobs SET state = ?, attempts = attempts - ? WHERE id = ? AND state = ?",
                [JobState.QUEUED.value, 0 if counted else 1, job_id, JobState.RUNNING.value],
            )
            _add_note(database, job_id, note)

    def finish(
        self,
        job_id: str,
        state: JobState,
        *,
        now: float,
        error: JobError | None = None,
    ) -> bool:
        """Note how a job ended; False where it has ended before."""
        with self._database.changing() as database:
            changed = database.execute(
                "UPDATE jobs SET state = ?, finished = ?, error = ? WHERE id = ?"
                " AND state IN (?, ?)",
                [
                    state.value,
                    now,
                    None if error is None else _written(value_to_json(error)),
                    job_id,
                    JobState.QUEUED.value,
                    JobState.RUNNING.value,
                ],
            )
        return changed.rowcount == 1

    def note_plan(self, job_id: str, plan: object) -> None:
        """Keep how a job is drawn."""
        with self._database.changing() as database:
            database.execute("UPDATE jobs SET plan = ? WHERE id = ?", [_written(plan), job_id])

    def add_note(self, job_id: str, note: str) -> None:
        """Keep a sentence that a person should hear; one that is there already is not repeated."""
        with self._database.changing() as database:
            _add_note(database, job_id, note)

    def note_cached(self, job_id: str) -> None:
        """Keep that a job's results were there before."""
        with self._database.changing() as database:
            database.execute("UPDATE jobs SET from_cache = 1 WHERE id = ?", [job_id])

    def announce_result(self, job_id: str, result: JobResult) -> None:
        """Say which file comes next, before it is written: a file is never there unknown."""
        with self._database.changing() as database:
            _insert_result(database, job_id, result, stored=False)

    def keep_result(self, job_id: str, index: int) -> None:
        """Note that the file of a result is whole on the disk."""
        with self._database.changing() as database:
            database.execute(
                "UPDATE results SET stored = 1 WHERE job = ? AND position = ?", [job_id, index]
            )

    def drop_result(self, job_id: str, index: int) -> None:
        """Forget a result whose file could not be written."""
        with self._database.changing() as database:
            database.execute("DELETE FROM results WHERE job = ? AND position = ?", [job_id, index])

    def unsure_results(self, job_id: str) -> list[JobResult]:
        """Results that were announced and not kept: a program that died leaves such."""
        return self._results(job_id, stored=False)

    def set_priority(self, job_id: str, priority: int) -> None:
        """Let a job be drawn earlier or later."""
        with self._database.changing() as database:
            database.execute("UPDATE jobs SET priority = ? WHERE id = ?", [priority, job_id])

    def delete(self, job_id: str) -> None:
        """Forget a job, its results, and that they answer identical requests."""
        with self._database.changing() as database:
            database.execute("DELETE FROM jobs WHERE id = ?", [job_id])

    def finished_beyond(self, kept: int) -> list[Job]:
        """The jobs that ended first, beyond so many that are kept."""
        query = (
            f"{_SELECT} WHERE state NOT IN (?, ?) ORDER BY finished DESC, number DESC"
            " LIMIT -1 OFFSET ?"
        )
        values = [JobState.QUEUED.value, JobState.RUNNING.value, kept]
        return [self._job(row) for row in self._database.rows(query, values)]

    def cached(self, key: str, *, now: float) -> str | None:
        """The job whose results answer requests of this key."""
        with self._database.changing() as database:
            row = database.execute("SELECT job FROM cached WHERE key = ?", [key]).fetchone()
            if row is not None:
                database.execute("UPDATE cached SET used = ? WHERE key = ?", [now, key])
        return None if row is None else str(row[0])

    def remember(self, key: str, job_id: str, *, now: float, most: int) -> None:
        """Let a job's results answer requests of this key; of more than `most`, the oldest go."""
        with self._database.changing() as database:
            database.execute(
                "INSERT INTO cached VALUES (?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET job = excluded.job, used = excluded.used",
                [key, job_id, now],
            )
            database.execute(
                "DELETE FROM cached WHERE key IN"
                " (SELECT key FROM cached ORDER BY used DESC LIMIT -1 OFFSET ?)",
                [most],
            )

    def recent_seconds(self, number: int) -> list[float]:
        """Seconds that the last jobs took, latest first; those answered at once are not counted."""
        query = (
            "SELECT finished - started FROM jobs WHERE state = ? AND started IS NOT NULL"
            " AND NOT from_cache ORDER BY finished DESC LIMIT ?"
        )
        rows = self._database.rows(query, [JobState.DONE.value, number])
        return [max(0.0, float(row[0])) for row in rows]

    def _one(self, query: str, value: str) -> Job | None:
        rows = self._database.rows(query, [value])
        return self._job(rows[0]) if rows else None

    def _job(self, row: Sequence[Any]) -> Job:
        values = dict(zip(_COLUMNS, row, strict=True))
        for name in ("request", "plan", "error", "notes"):
            values[name] = None if values[name] is None else json.loads(values[name])
        values |= {
            "kind": JobKind(values["kind"]),
            "state": JobState(values["state"]),
            "error": None if values["error"] is None else JobError(**values["error"]),
            "notes": tuple(values["notes"]),
            "from_cache": bool(values["from_cache"]),
            "results": tuple(self._results(values["id"], stored=True)),
        }
        return Job(**values, position=None, progress=None)

    def _results(self, job_id: str, *, stored: bool) -> list[JobResult]:
        query = "SELECT value FROM results WHERE job = ? AND stored = ? ORDER BY position"
        rows = self._database.rows(query, [job_id, stored])
        return [JobResult(**json.loads(row[0])) for row in rows]


def _insert_result(
    database: sqlite3.Connection, job_id: str, result: JobResult, *, stored: bool
) -> None:
    database.execute(
        "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)",
        [job_id, result.index, stored, _written(value_to_json(result))],
    )


def _add_note(database: sqlite3.Connection, job_id: str, note: str) -> None:
    (written,) = database.execute("SELECT notes FROM jobs WHERE id = ?", [job_id]).fetchone()
    notes = json.loads(written)
    if note and note not in notes:
        changed = _written([*notes, note])
        database.execute("UPDATE jobs SET notes = ? WHERE id = ?", [changed, job_id])


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=list)
