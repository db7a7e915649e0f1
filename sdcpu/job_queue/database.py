"""The SQLite file of a queue: opened and checked, changed whole or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sdcpu.errors import QueueFolderError

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    model TEXT,
    group_name TEXT NOT NULL,
    request TEXT NOT NULL,
    seed INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    client TEXT NOT NULL,
    key TEXT UNIQUE,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    attempts INTEGER NOT NULL,
    overtaken INTEGER NOT NULL DEFAULT 0,
    plan TEXT,
    error TEXT,
    notes TEXT NOT NULL,
    from_cache INTEGER NOT NULL,
    retry_of TEXT
);
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE TABLE results (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job, position)
);
CREATE TABLE cached (
    key TEXT PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    used REAL NOT NULL
);
"""


class DamagedDatabaseError(QueueFolderError):
    """The database cannot be read; another one has to take its place."""

    code = "damaged_database"


class Database:
    """One SQLite file. One thread at a time may use it; the caller sees to that.

    Raises:
        DamagedDatabaseError: the file is no database, or damaged.
        QueueFolderError: it cannot be opened, or was written by a later version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._translated():
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self._translated():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows that a query finds."""
        with self._translated():
            return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """One change, whole or not at all.

        Raises:
            QueueFolderError: the disk is full, or the file cannot be written.
            sqlite3.IntegrityError: a value that must be there once is there already.
        """
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _prepare(self) -> None:
        connection = self._connection
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise QueueFolderError(
                f"{self.path} was written by a later version of sdcpu.",
                hint="Update sdcpu, or choose another folder.",
            )
        connection.execute("PRAGMA journal_mode = WAL")
        # A job that was taken must survive a power cut too.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if version < SCHEMA_VERSION:
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what SQLite raises into errors of ours."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            raise QueueFolderError(
                f"The queue's database {self.path} cannot be used: {error}.",
                hint="Free space on its disk, or choose another folder.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise DamagedDatabaseError(
                f"The queue's database {self.path} is damaged: {error}.",
                hint="Start the queue again: it sets the file aside and begins a new one.",
            ) from error
