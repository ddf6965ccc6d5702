"""
The tables of the log in SQLite.

The table of events is that of the `eventsourcing` library's application recorder, with more columns for the envelope.
So a program that uses the library can read and follow the log.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
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

from store import archive, audit, codec
from store.archive import Archive, ArchivedEvents, Segment
from store.batch import AppendBatch, EventRow, KeyRecord, StreamHead, Tip
from store.log import Author, IdempotencyKey, LogUnavailable, Origin, RecordedEvent

SCHEMA = 1
"""Version of the tables."""

COLUMNS = (
    "rowid INTEGER PRIMARY KEY",  # the position; the library reads it by this name, and a primary key survives VACUUM
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
    # INSERT OR REPLACE deletes without firing the trigger above
    """CREATE TRIGGER stored_events_insert BEFORE INSERT ON stored_events
    WHEN NEW.rowid IS NOT (SELECT coalesce(max(rowid), 0) + 1 FROM stored_events)
    OR EXISTS (SELECT 1 FROM stored_events
               WHERE originator_id = NEW.originator_id AND originator_version = NEW.originator_version)
    BEGIN SELECT RAISE(ABORT, 'an event must have the next position and an unused version'); END""",
    """CREATE TABLE keys (key TEXT PRIMARY KEY, request TEXT NOT NULL, subject TEXT NOT NULL,
    version INTEGER NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
]

PRAGMAS = ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON", "cache_size = -500")
"""Settings of a connection: durable commits, on macOS too, and at most 500 KiB of pages."""

SEGMENTS = """CREATE TABLE segments (number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, first INTEGER NOT NULL,
    last INTEGER NOT NULL, events INTEGER NOT NULL, size INTEGER NOT NULL)"""
ARCHIVING = [
    SEGMENTS,
    """CREATE TRIGGER segments_update BEFORE UPDATE ON segments
    BEGIN SELECT RAISE(ABORT, 'segments are never updated'); END""",
    """CREATE TRIGGER segments_delete BEFORE DELETE ON segments
    BEGIN SELECT RAISE(ABORT, 'segments are never deleted'); END""",
    "DROP TRIGGER stored_events_update",
    """CREATE TRIGGER stored_events_update BEFORE UPDATE ON stored_events
    WHEN (NEW.rowid, NEW.originator_id, NEW.originator_version, NEW.topic, NEW.recorded_at, NEW.hash)
        IS NOT (OLD.rowid, OLD.originator_id, OLD.originator_version, OLD.topic, OLD.recorded_at, OLD.hash)
    OR substr(OLD.state, 1, 1) IS NOT x'7b'
    OR NOT EXISTS (SELECT 1 FROM segments
                   WHERE number = CAST(NEW.state AS INTEGER) AND NEW.state = CAST(CAST(number AS TEXT) AS BLOB)
                   AND OLD.rowid BETWEEN first AND last)
    BEGIN SELECT RAISE(ABORT, 'events are never updated'); END""",
]
"""Statements of the first archiving. Earlier versions read the file until then, and later the events that stay."""

HAS_SEGMENTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'segments'"
SEGMENT = "SELECT number, digest, first, last, events, size FROM segments"

BEFORE = """
    WITH RECURSIVE halving (low, high) AS (
        SELECT 0, coalesce(max(rowid), 0) FROM stored_events
        UNION ALL
        SELECT CASE WHEN recorded_at < ?1 THEN rowid ELSE low END,
            CASE WHEN recorded_at < ?1 THEN high ELSE rowid - 1 END
        FROM halving JOIN stored_events ON rowid = (low + high + 1) / 2 WHERE low < high
    )
"""
"""Binary search for the last position of an event before a time: the one row where `low` is not below `high`."""
LAST_BEFORE = "(SELECT low FROM halving WHERE low >= high)"

EXPIRED_KEYS = f"""
    {BEFORE} SELECT key FROM keys WHERE position <= {LAST_BEFORE}
        OR position <= (SELECT position FROM keys ORDER BY position DESC LIMIT 1 OFFSET ?2)
"""
"""The keys of events before a time, and those beyond a number of keys; see `expiry`."""

STATE = 4
"""Index of the body in a row of the table of events."""

Execute = Callable[..., list[tuple[Any, ...]]]
"""Executes a statement with its parameters, if any, and returns the rows."""

_uuid = lru_cache(10_000)(UUID)  # streams and tokens repeat


class DurablePool(SQLiteConnectionPool):
    """The library's pool, with durable commits."""

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        for pragma in PRAGMAS:
            connection.cursor().execute(f"PRAGMA {pragma}")
        return connection


class Datastore(SQLiteDatastore):
    """The library's datastore, with at most *size* connections to the file *path*."""

    def __init__(self, path: Path, size: int, mode: str = "rw") -> None:
        super().__init__(str(path))
        self.pool = DurablePool(db_name=f"{path.absolute().as_uri()}?mode={mode}", pool_size=size, max_overflow=0)


class SqliteRecorder(SQLiteApplicationRecorder):
    """The library's recorder, with envelopes, idempotency keys and the log's epoch.

    A method that takes a cursor works in the cursor's transaction.
    """

    def construct_create_table_statements(self) -> list[str]:
        return TABLES

    def begin(self, path: Path) -> str:
        """Create missing tables and return the epoch; raises `LogUnavailable` if *path* is not a usable log."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("SELECT name FROM sqlite_master")
            tables = {row["name"] for row in cursor.fetchall()}
            if not tables:
                self._create_table(cursor)
                meta = {"epoch": secrets.token_hex(8), "schema": str(SCHEMA)}
                cursor.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            elif not {"stored_events", "keys", "meta"} <= tables:
                raise LogUnavailable(f"{path} is an SQLite database without a Stageline log: name another file.")
            cursor.execute("SELECT name, value FROM meta")
            meta = {row["name"]: row["value"] for row in cursor.fetchall()}
        if int(meta["schema"]) > SCHEMA:
            raise LogUnavailable(
                f"{path} was written by a newer version of Stageline (its schema is {meta['schema']}, this version "
                f"knows {SCHEMA}): install that version or a later one."
            )
        if "moved" in meta:
            raise LogUnavailable(
                f"The log in {path} was moved to {meta['moved']}: name that database (--database or DATABASE_URL)."
            )
        return meta["epoch"]

    def tip(self, cursor: SQLiteCursor) -> Tip:
        cursor.execute("SELECT rowid, recorded_at FROM stored_events ORDER BY rowid DESC LIMIT 1")
        row = cursor.fetchone()
        return Tip(row["rowid"], datetime.fromisoformat(row["recorded_at"])) if row else Tip()

    def head(self, cursor: SQLiteCursor, stream: UUID) -> StreamHead:
        cursor.execute(
            "SELECT originator_version, hash FROM stored_events WHERE originator_id = ? "
            "ORDER BY originator_version DESC LIMIT 1",
            (stream.hex,),
        )
        row = cursor.fetchone()
        return StreamHead(row["originator_version"], row["hash"]) if row else StreamHead()

    def key_record(self, cursor: SQLiteCursor, key: str) -> KeyRecord | None:
        cursor.execute("SELECT * FROM keys WHERE key = ?", (key,))
        row = cursor.fetchone()
        return key_record_from_row(*row) if row else None

    def write(self, cursor: SQLiteCursor, batch: AppendBatch) -> None:
        self._insert_events(cursor, cast("list[StoredEvent]", batch.rows))
        keys = [
            (record.key.key, record.key.request, record.key.subject.hex, record.version, record.position)
            for record in batch.key_records.values()
        ]
        cursor.executemany("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", keys)

    def _insert_events(self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        rows = [_row(each) for each in cast("Sequence[EventRow]", stored_events)]
        c.executemany(f"INSERT INTO stored_events VALUES ({', '.join('?' * len(COLUMNS))})", rows)
        return [row[0] for row in rows]


def _row(row: EventRow) -> tuple[Any, ...]:
    recorded, by = row.recorded, row.recorded.by
    return (
        recorded.position,
        recorded.stream.hex,
        recorded.version,
        recorded.name,
        row.state,
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


def stored_time(at: datetime) -> str:
    """Return a time as rows have it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def expiry(before: datetime, count: int) -> tuple[str, int]:
    """Return the parameters of `EXPIRED_KEYS`."""
    return stored_time(before), count


def segments(execute: Execute, numbers: Collection[int] | None = None) -> list[Segment]:
    """Return the segments that the log lists, or those with *numbers*."""
    if not execute(HAS_SEGMENTS):
        return []
    where = "" if numbers is None else f" WHERE number IN ({', '.join(map(str, numbers))})"
    columns = "number", "digest", "first", "last", "events", "size"
    return [Segment(**dict(zip(columns, row, strict=True))) for row in execute(SEGMENT + where)]


def archived_events(execute: Execute, files: Archive, rows: Sequence[tuple[Any, ...]]) -> ArchivedEvents:
    """Return the archived events of *rows*; raises `SegmentUnreadable`."""
    numbers = archive.numbers(row[STATE] for row in rows)
    return files.load(segments(execute, numbers)) if numbers else archive.NOTHING


def events_from_rows(rows: Sequence[tuple[Any, ...]], archived: ArchivedEvents) -> list[RecordedEvent]:
    """Return the events of rows of the table of events; *archived* are those that are in the archive."""
    return [
        archived.recorded(row[STATE], row[0], row[-1]) if archive.is_archived(row[STATE]) else event_from_row(*row)
        for row in rows
    ]


def export_lines_from_rows(rows: Sequence[tuple[Any, ...]], archived: ArchivedEvents) -> list[tuple[int, bytes]]:
    """Return the positions and the export lines of rows of the table of events, without verifying them."""
    return [
        (row[0], archived.line(row[STATE], row[0], row[-1]))
        if archive.is_archived(row[STATE])
        else export_line_from_row(*row)
        for row in rows
    ]


def key_record_from_row(key: str, request: str, subject: str, version: int, position: int) -> KeyRecord:
    """Return the record of a row of the table of keys."""
    return KeyRecord(IdempotencyKey(key=key, request=request, subject=UUID(subject)), version, position)


def export_line_from_row(
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
    """Return the position and the export line of a row of the table of events, without verifying it."""
    link = codec.link(
        previous.hex(),
        _dashed(id_),
        _cached_dashed(stream),
        version,
        name,
        state.decode(errors="replace"),
        _instant(recorded_at),
        actor,
        origin,
        token and _cached_dashed(token),
        correlation and _cached_dashed(correlation),
        causation and _cached_dashed(causation),
        reason,
    )
    return position, audit.export_line(position, hash_, link)


def _dashed(hex_: str) -> str:
    """Return a UUID as text, as the link has it."""
    return f"{hex_[:8]}-{hex_[8:12]}-{hex_[12:16]}-{hex_[16:20]}-{hex_[20:]}"


_cached_dashed = lru_cache(10_000)(_dashed)


@lru_cache(1000)  # events of one batch have the same time
def _instant(at: str) -> str:
    """Return a time as the link has it: without zero microseconds, and with Z for UTC."""
    return at.replace(".000000", "").replace("+00:00", "Z")


def event_from_row(
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
) -> RecordedEvent:
    """Return the event of a row of the table of events."""
    return RecordedEvent(
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
