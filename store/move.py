"""
The move of a log from the SQLite files of a data folder to an empty PostgreSQL.

Every event keeps its position, its id and its hash, and the log its epoch: cursors, exports and signed heads stay
valid. Archived events move into the database, too. So do idempotency keys, the encryption keys of actors' profiles and
the output of steps. Read models are rebuilt there.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec import Struct

from store import archive
from store.archive import Archive, is_archived
from store.log import LogUnavailable
from store.postgres import meta
from store.postgres.connection import Connection
from store.postgres.locks import LOCK_APPENDS, LOCK_TABLES
from store.postgres.meta import Meta
from store.postgres.reader import LAST
from store.postgres.rows import COLUMNS
from store.sqlite import cursors, disk, keys, output
from store.sqlite.tables import STATE, Datastore, SqliteRecorder, archived_events

ROWS_PER_REPORT = 1000
"""Number of rows between two reports of the progress."""

Row = tuple[Any, ...]
ReportProgress = Callable[[float], None]
"""Is called with the progress, from 0 to 1."""


class TableCopy(Struct, frozen=True):
    """The copy of a table: the *query* in *file*, and the table *name* in PostgreSQL with its *columns*.

    *row* converts a result of the query.
    """

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


def _attempt(deployment: str, service: str, phase: str, *columns: Any) -> Row:
    attempt, upto, lines, bytes_, is_cut, *counts = columns
    return UUID(deployment), UUID(service), phase, attempt, upto, lines, bytes_, bool(is_cut), *counts


def _unfinished(deployment: str, service: str, phase: str, attempt: int, text: str) -> Row:
    return UUID(deployment), UUID(service), phase, attempt, text.replace("\0", "\N{REPLACEMENT CHARACTER}")


COPIES = (
    TableCopy(
        "log.db",
        "SELECT * FROM stored_events ORDER BY rowid",
        "stored_events",
        COLUMNS.replace(",", " "),
        _event,
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
        "deployment service phase attempt upto lines bytes is_cut notes first last failure",
        _attempt,
    ),
    TableCopy(
        "output.db",
        "SELECT * FROM unfinished",
        "output_unfinished",
        "deployment service phase attempt text",
        _unfinished,
    ),
    TableCopy("cursors.db", "SELECT name, value FROM cursors", "cursors", "name value", lambda *row: row),
)


class DataFolder:
    """The files of a data folder, locked while this context is entered.

    Entering raises `LogUnavailable` if there is no log, if another process uses it, or if it was moved before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, sqlite3.Connection] = {}
        self._archive = Archive(folder / archive.FOLDER)
        self._resources = ExitStack()
        self.epoch = ""

    def __enter__(self) -> "DataFolder":
        log = self._folder / "log.db"
        if not log.exists():
            raise LogUnavailable(f"{log} does not exist: name the data folder of a server that ran on SQLite.")
        with ExitStack() as undo, disk.translate_errors(log):
            undo.callback(os.close, disk.lock(self._folder / "log.db-lock"))
            recorder = SqliteRecorder(Datastore(log, size=1))
            undo.callback(recorder.datastore.close)
            self.epoch = recorder.begin(log)
            self._files = {
                "log.db": sqlite3.connect(log, isolation_level=None),
                "keys.db": keys.connect(self._folder / "keys.db"),
                "output.db": output.connect(self._folder / "output.db"),
                "cursors.db": cursors.connect(self._folder / "cursors.db"),
            }
            for database in self._files.values():
                undo.enter_context(closing(database))
            self._resources = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def tip(self) -> tuple[int, bytes]:
        """Return the position and the hash of the last event."""
        return self._one("log.db", "SELECT rowid, hash FROM stored_events ORDER BY rowid DESC LIMIT 1") or (0, b"")

    def count(self) -> int:
        """Return the number of rows to copy."""
        return sum(self._one(table.file, f"SELECT count(*) FROM ({table.query})")[0] for table in COPIES)

    def rows(self, table: TableCopy) -> Iterator[Row]:
        """Yield the converted rows of *table*."""
        with disk.translate_errors(self._folder / table.file):
            for row in self._files[table.file].execute(table.query):
                yield self._archived(row) if table.row is _event and is_archived(row[STATE]) else table.row(*row)

    def _archived(self, row: Row) -> Row:
        """Return an archived event as a row with all its columns; its body is in the database afterwards."""
        link = archived_events(self._execute, self._archive, [row]).link(row[STATE], row[0], row[-1])
        author = link.actor, link.origin.value, link.token, link.correlation, link.causation, link.reason
        hashes = bytes.fromhex(link.previous), row[-1]
        state = link.state.encode()
        return row[0], link.stream, link.version, link.name, state, link.id, link.recorded_at, *author, *hashes

    def _execute(self, statement: str) -> list[Row]:
        return self._files["log.db"].execute(statement).fetchall()

    def retire(self, where: str) -> None:
        """Mark the log as moved to *where*, so that no server opens it, and delete the keys of actors' profiles.

        A copy of a key that stayed here would outlive the forgetting of its actor there.
        """
        with disk.translate_errors(self._folder):
            self._files["keys.db"].execute("DELETE FROM keys")
            self._files["keys.db"].commit()
            self._files["log.db"].execute("INSERT INTO meta VALUES ('moved', ?)", (where,))

    async def is_copied_to(self, connection: Connection, where: str) -> bool:
        """Return whether an earlier move has copied the log; lock the database until the transaction ends.

        Raises `LogUnavailable` if the database *where* has another log.
        """
        await connection.execute(LOCK_TABLES)
        await connection.execute(LOCK_APPENDS)
        last = await connection.fetchrow(LAST)
        if last is None:
            return False
        if await meta.get(connection, Meta.EPOCH) == self.epoch and tuple(last) == self.tip():
            return True
        raise LogUnavailable(
            f"{where.capitalize()} already has a log (its last event has position {last[0]:,}): name an empty database."
        )

    def _one(self, file: str, query: str) -> Any:
        with disk.translate_errors(self._folder / file):
            return self._files[file].execute(query).fetchone()


async def copy(source: DataFolder, connection: Connection, report: ReportProgress) -> None:
    """Copy all of *source* into empty tables, in the transaction of *connection*."""
    rows, done = source.count(), 0

    def reported(table: TableCopy) -> Iterator[Row]:
        nonlocal done
        for row in source.rows(table):
            yield row
            done += 1
            if done % ROWS_PER_REPORT == 0:
                report(done / rows)

    for table in COPIES:
        await connection.copy_records_to_table(table.name, columns=table.columns.split(), records=reported(table))
    await meta.put(connection, Meta.EPOCH, source.epoch)
