"""
A log that outgrows SQLite: taken whole from the files of a data folder into a PostgreSQL that holds none yet.

Every event keeps its position, its id and its hash, and the log its epoch: cursors, exports and signed heads stay
good. Idempotency keys, the keys to actors' names, and what steps printed come along; read models are made anew there.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import Struct

from store.log import LogUnavailable
from store.postgres.log import LAST
from store.postgres.rows import COLUMNS
from store.sqlite import disk, keys, output
from store.sqlite.tables import Datastore, SqliteRecorder

if TYPE_CHECKING:
    from store.postgres.connection import Connection

LOCKS = "SELECT pg_advisory_xact_lock(7263, 0), pg_advisory_xact_lock(7263, 1)"
"""Nobody else makes tables meanwhile, or appends."""

ROWS_PER_REPORT = 1000
"""Rows between two words about how far it has come."""

Row = tuple[Any, ...]
ReportProgress = Callable[[float], None]
"""Is told how much is done, from 0 to 1."""


class TableCopy(Struct, frozen=True):
    """How what a *query* finds in a *file* is made a *row* of the table *name* on PostgreSQL, with these *columns*."""

    file: str
    query: str
    name: str
    columns: str
    row: Callable[..., Row]


def _event(
    position: int, stream: str, version: int, topic: str, state: bytes, id_: str, at: str, *envelope: Any
) -> Row:
    actor, origin, *links, reason, previous, hash_ = envelope
    ids = (None if link is None else UUID(link) for link in links)
    recorded = UUID(id_), datetime.fromisoformat(at), actor, origin, *ids, reason, previous, hash_
    return position, UUID(stream), version, topic, state, *recorded


def _key(key: str, request: str, subject: str, version: int, position: int) -> Row:
    return key, request, UUID(subject), version, position


def _chunk(deployment: str, service: str, phase: str, attempt: int, kind: str, at: str, *lines: Any) -> Row:
    return UUID(deployment), UUID(service), phase, attempt, kind, datetime.fromisoformat(at), *lines


def _attempt(deployment: str, service: str, phase: str, *kept: Any) -> Row:
    *counts, is_cut = kept
    return UUID(deployment), UUID(service), phase, *counts, bool(is_cut)


TABLES = (
    TableCopy(
        "log.db", "SELECT * FROM stored_events ORDER BY rowid", "stored_events", COLUMNS.replace(",", " "), _event
    ),
    TableCopy("log.db", "SELECT * FROM keys", "keys", "key request subject version position", _key),
    TableCopy("keys.db", "SELECT actor, key FROM keys", "actor_keys", "actor key", lambda *row: row),
    TableCopy(
        "output.db",
        "SELECT * FROM chunks",
        "output_chunks",
        "deployment service phase attempt kind at first last texts",
        _chunk,
    ),
    TableCopy(
        "output.db",
        "SELECT * FROM attempts",
        "output_attempts",
        "deployment service phase attempt upto lines bytes is_cut",
        _attempt,
    ),
)


class DataFolder:
    """The files of the data folder *folder*, which no server has as long as this is entered.

    Entering raises `LogUnavailable` if there is no log, another process has it, or it has moved already.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, sqlite3.Connection] = {}
        self._held = ExitStack()
        self.epoch = ""

    def __enter__(self) -> "DataFolder":
        log = self._folder / "log.db"
        if not log.exists():
            raise LogUnavailable(f"{log} isn't there: name the data folder of a server that was run on SQLite.")
        with ExitStack() as undo, disk.translate_errors(log):
            undo.callback(os.close, disk.lock(self._folder / "log.db-lock"))
            recorder = SqliteRecorder(Datastore(log, size=1))
            undo.callback(recorder.datastore.close)
            self.epoch = recorder.begin(log)
            self._files = {
                "log.db": sqlite3.connect(log, isolation_level=None),
                "keys.db": keys.connect(self._folder / "keys.db"),
                "output.db": output.connect(self._folder / "output.db"),
            }
            for database in self._files.values():
                undo.enter_context(closing(database))
            self._held = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def tip(self) -> tuple[int, bytes]:
        """The last event's position and hash."""
        return self._one("log.db", "SELECT rowid, hash FROM stored_events ORDER BY rowid DESC LIMIT 1") or (0, b"")

    def count(self) -> int:
        """How many rows there are in all tables."""
        return sum(self._one(table.file, f"SELECT count(*) FROM ({table.query})")[0] for table in TABLES)

    def rows(self, table: TableCopy) -> Iterator[Row]:
        with disk.translate_errors(self._folder / table.file):
            for row in self._files[table.file].execute(table.query):
                yield table.row(*row)

    def leave(self, where: str) -> None:
        """Has nobody use the log any more, since all that is in it has moved to *where*.

        The keys to actors' names go: while they were here, nobody there could be forgotten.
        """
        with disk.translate_errors(self._folder):
            self._files["keys.db"].execute("DELETE FROM keys")
            self._files["keys.db"].commit()
            self._files["log.db"].execute("INSERT INTO meta VALUES ('moved', ?)", (where,))

    async def is_in(self, connection: "Connection", where: str) -> bool:
        """Whether all of it is there already; nobody else writes there until the *connection*'s transaction ends.

        Raises `LogUnavailable` if there is anything else, *where* it is.
        """
        await connection.execute(LOCKS)
        last = await connection.fetchrow(LAST)
        if last is None:
            return False
        epoch = await connection.fetchval("SELECT value FROM meta WHERE name = 'epoch'")
        if epoch == self.epoch and tuple(last) == self.tip():
            return True
        raise LogUnavailable(
            f"{where.capitalize()} holds a log already (its last event is number {last[0]:,}): name an empty one."
        )

    def _one(self, file: str, query: str) -> Any:
        with disk.translate_errors(self._folder / file):
            return self._files[file].execute(query).fetchone()


async def copy(source: DataFolder, connection: "Connection", tell: ReportProgress) -> None:
    """Copies all of *source* into tables with nothing in them, in the *connection*'s transaction."""
    rows, done = source.count(), 0

    def told(table: TableCopy) -> Iterator[Row]:
        nonlocal done
        for row in source.rows(table):
            yield row
            done += 1
            if done % ROWS_PER_REPORT == 0:
                tell(done / rows)

    for table in TABLES:
        await connection.copy_records_to_table(table.name, columns=table.columns.split(), records=told(table))
    await connection.execute("UPDATE meta SET value = $1 WHERE name = 'epoch'", source.epoch)
