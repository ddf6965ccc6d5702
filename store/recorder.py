"""
The log's tables in SQLite.

That of the events is the one of the `eventsourcing` library's application recorder, with the envelope beside it: a
program made with that library can read and follow the log.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
)

from store import audit, codec
from store.batch import Answer, Batch, Head, Stored, Tip
from store.log import Author, Key, LogUnavailable, Origin, Recorded

SCHEMA = 1

COLUMNS = (
    "rowid INTEGER PRIMARY KEY",  # the position, under the name that the library reads; a primary key outlives VACUUM
    "originator_id TEXT NOT NULL",
    "originator_version INTEGER NOT NULL",
    "topic TEXT NOT NULL",
    "state BLOB NOT NULL",
    "id TEXT NOT NULL",
    "recorded_at TEXT NOT NULL",
    "actor TEXT NOT NULL",
    "origin TEXT NOT NULL",
    "token TEXT",
    "correlation TEXT",
    "causation TEXT",
    "reason TEXT",
    "previous BLOB NOT NULL",
    "hash BLOB NOT NULL",
)
TABLES = [
    f"CREATE TABLE stored_events ({', '.join(COLUMNS)}, UNIQUE (originator_id, originator_version))",
    """CREATE TRIGGER stored_events_update BEFORE UPDATE ON stored_events
    BEGIN SELECT RAISE(ABORT, 'events are never updated'); END""",
    """CREATE TRIGGER stored_events_delete BEFORE DELETE ON stored_events
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END""",
    # INSERT OR REPLACE would delete without asking the trigger above
    """CREATE TRIGGER stored_events_insert BEFORE INSERT ON stored_events
    WHEN NEW.rowid IS NOT (SELECT coalesce(max(rowid), 0) + 1 FROM stored_events)
    OR EXISTS (SELECT 1 FROM stored_events
               WHERE originator_id = NEW.originator_id AND originator_version = NEW.originator_version)
    BEGIN SELECT RAISE(ABORT, 'an event takes the next position, and a version that is free'); END""",
    """CREATE TABLE keys (key TEXT PRIMARY KEY, request TEXT NOT NULL, subject TEXT NOT NULL,
    version INTEGER NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
]

PRAGMAS = ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON", "cache_size = -8000")
"""Durable at commit, on macOS too, and 8 MB of pages."""

_uuid = lru_cache(10_000)(UUID)  # the same few streams and tokens come again and again


class Pool(SQLiteConnectionPool):
    """The library's, with connections whose commits are durable."""

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        for pragma in PRAGMAS:
            connection.cursor().execute(f"PRAGMA {pragma}")
        return connection


class Datastore(SQLiteDatastore):
    """The library's, with at most *size* connections to the file *path*."""

    def __init__(self, path: Path, size: int, mode: str = "rw") -> None:
        super().__init__(str(path))
        self.pool = Pool(db_name=f"{path.absolute().as_uri()}?mode={mode}", pool_size=size, max_overflow=0)


class Recorder(SQLiteApplicationRecorder):
    """The library's, with what it doesn't know of: envelopes, idempotency keys, and whose log it is.

    What takes a cursor is done in that cursor's transaction.
    """

    def construct_create_table_statements(self) -> list[str]:
        return TABLES

    def begin(self, path: Path) -> str:
        """Makes the tables where there are none yet; the log's epoch. Raises `LogUnavailable` if it isn't for us."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("SELECT name FROM sqlite_master")
            tables = {row["name"] for row in cursor.fetchall()}
            if not tables:
                self._create_table(cursor)
                meta = {"epoch": secrets.token_hex(8), "schema": str(SCHEMA)}
                cursor.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            elif not {"stored_events", "keys", "meta"} <= tables:
                raise LogUnavailable(f"{path} is a database, but holds no log of Stageline's: name another file.")
            cursor.execute("SELECT name, value FROM meta")
            meta = {row["name"]: row["value"] for row in cursor.fetchall()}
        if int(meta["schema"]) > SCHEMA:
            raise LogUnavailable(
                f"{path} was written by a newer version of Stageline (its schema is {meta['schema']}, this version "
                f"knows {SCHEMA}): install that version, or a newer one."
            )
        if "moved" in meta:
            raise LogUnavailable(f"{path} has moved to {meta['moved']}: name that (--database, or DATABASE_URL).")
        return meta["epoch"]

    def tip(self, cursor: SQLiteCursor) -> Tip:
        cursor.execute("SELECT rowid, recorded_at FROM stored_events ORDER BY rowid DESC LIMIT 1")
        row = cursor.fetchone()
        return Tip(row["rowid"], datetime.fromisoformat(row["recorded_at"])) if row else Tip()

    def head(self, cursor: SQLiteCursor, stream: UUID) -> Head:
        cursor.execute(
            "SELECT originator_version, hash FROM stored_events WHERE originator_id = ? "
            "ORDER BY originator_version DESC LIMIT 1",
            (stream.hex,),
        )
        row = cursor.fetchone()
        return Head(row["originator_version"], row["hash"]) if row else Head()

    def answer(self, cursor: SQLiteCursor, key: str) -> Answer | None:
        cursor.execute("SELECT * FROM keys WHERE key = ?", (key,))
        row = cursor.fetchone()
        return answer(*row) if row else None

    def write(self, cursor: SQLiteCursor, batch: Batch) -> None:
        self._insert_events(cursor, cast("list[StoredEvent]", batch.stored))
        answers = [
            (answer.key.key, answer.key.request, answer.key.subject.hex, answer.version, answer.position)
            for answer in batch.answers.values()
        ]
        cursor.executemany("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", answers)

    def _insert_events(self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        rows = [_row(stored) for stored in cast("Sequence[Stored]", stored_events)]
        c.executemany(f"INSERT INTO stored_events VALUES ({', '.join('?' * len(COLUMNS))})", rows)
        return [row[0] for row in rows]


def _row(stored: Stored) -> tuple[Any, ...]:
    recorded, by = stored.recorded, stored.recorded.by
    return (
        recorded.position,
        recorded.stream.hex,
        recorded.version,
        recorded.name,
        stored.state,
        recorded.id.hex,
        recorded.recorded_at.isoformat(timespec="microseconds"),
        by.actor,
        by.origin.value,
        by.token and by.token.hex,
        by.correlation and by.correlation.hex,
        by.causation and by.causation.hex,
        by.reason,
        recorded.previous,
        recorded.hash,
    )


def answer(key: str, request: str, subject: str, version: int, position: int) -> Answer:
    """A row of the keys' table."""
    return Answer(Key(key=key, request=request, subject=UUID(subject)), version, position)


def line(
    position: int,
    stream: str,
    version: int,
    name: str,
    state: bytes,
    id_: str,
    recorded_at: str,
    actor: str,
    origin: str,
    token: str | None,
    correlation: str | None,
    causation: str | None,
    reason: str | None,
    previous: bytes,
    hash_: bytes,
) -> tuple[int, bytes]:
    """A row of the events' table, whoever wrote it, as its position and its line in an export."""
    link = codec.link(
        previous.hex(),
        _dashed(id_),
        _known(stream),
        version,
        name,
        state.decode(errors="replace"),
        _instant(recorded_at),
        actor,
        origin,
        token and _known(token),
        correlation and _known(correlation),
        causation and _known(causation),
        reason,
    )
    return position, audit.line(position, hash_, link)


def _dashed(hex_: str) -> str:
    """A UUID as it is hashed."""
    return f"{hex_[:8]}-{hex_[8:12]}-{hex_[12:16]}-{hex_[16:20]}-{hex_[20:]}"


_known = lru_cache(10_000)(_dashed)


@lru_cache(1000)  # what was written together has the same
def _instant(at: str) -> str:
    """A time as it is hashed: without its microseconds when there are none, and with Z for UTC."""
    return at.replace(".000000", "").replace("+00:00", "Z")


def recorded(
    position: int,
    stream: str,
    version: int,
    name: str,
    state: bytes,
    id_: str,
    recorded_at: str,
    actor: str,
    origin: str,
    token: str | None,
    correlation: str | None,
    causation: str | None,
    reason: str | None,
    previous: bytes,
    hash_: bytes,
) -> Recorded:
    """A row of the events' table."""
    return Recorded(
        position=position,
        stream=_uuid(stream),
        version=version,
        id=UUID(id_),
        name=name,
        event=codec.decode(name, state),
        recorded_at=datetime.fromisoformat(recorded_at),
        by=_author(actor, origin, token, correlation, causation, reason),
        previous=previous,
        hash=hash_,
    )


@lru_cache(1_000)
def _author(
    actor: str, origin: str, token: str | None, correlation: str | None, causation: str | None, reason: str | None
) -> Author:
    return Author(
        actor=actor,
        origin=Origin(origin),
        token=_uuid(token) if token else None,
        correlation=_uuid(correlation) if correlation else None,
        causation=_uuid(causation) if causation else None,
        reason=reason,
    )
