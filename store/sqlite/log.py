"""
The event log in an SQLite file.

One thread writes. It writes all pending appends in one transaction and acknowledges them once that is on the disk.
Readers have their own threads and read-only connections, so the event loop never waits for the disk.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.persistence import PersistenceError
from eventsourcing.sqlite import SQLiteCursor

from store import archive, codec, writes
from store.archive import Archive, ArchivedEvents
from store.batch import AppendBatch, Clock, PendingAppend, StreamHead, now
from store.feed import Feed, Kinds, Observer
from store.log import Author, Event, ExportPage, IdempotencyKey, LogUnavailable, Receipt, RecordedEvent, StreamChange
from store.round_trip import in_thread
from store.sqlite import disk, tables
from store.sqlite.tables import Datastore, SqliteRecorder

READERS = 4
"""Number of threads and connections for reading."""

CACHED_HEADS = 10_000
"""Maximum number of cached stream heads; the least recently written stream goes first."""

OF_STREAM = "originator_id = ? AND originator_version > ? AND originator_version <= ? ORDER BY originator_version"
NEWEST = 2**63 - 1
"""A number above every version and every position."""

HALVING = """
    WITH RECURSIVE halving (low, high) AS (
        SELECT 0, coalesce(max(originator_version), 0) FROM stored_events WHERE originator_id = ?1
        UNION ALL
        SELECT CASE WHEN rowid <= ?2 THEN originator_version ELSE low END,
            CASE WHEN rowid <= ?2 THEN high ELSE originator_version - 1 END
        FROM halving JOIN stored_events ON originator_id = ?1 AND originator_version = (low + high + 1) / 2
        WHERE low < high
    )
"""
"""Binary search for a stream's last version up to a position: the one row where `low` is not below `high`."""
VERSION = "(SELECT low FROM halving WHERE low >= high)"

FAULTS = (sqlite3.Error, PersistenceError)
"""Errors of the database, which concern the whole batch."""

T = TypeVar("T")

ConvertRows = Callable[[Sequence[tuple[Any, ...]], ArchivedEvents], list[T]]
"""Converts rows of events, whose body is at `tables.STATE`."""


def _bodies(rows: Sequence[tuple[Any, ...]], archived: ArchivedEvents) -> list[Event]:
    """Return the events of rows with position, name, hash, version and body."""
    return [
        archived.event(state, position, hash_) if archive.is_archived(state) else codec.decode(name, state)
        for position, name, hash_, _, state in rows
    ]


class SqliteLog:
    """The log in a file; see `EventLog`. Only one process at a time can open it."""

    is_shared = False

    def __init__(self, path: Path, epoch: str, recorder: SqliteRecorder, lock: int, clock: Clock) -> None:
        self.epoch = epoch
        self._path = path
        self._recorder = recorder
        self._lock = lock
        self._clock = clock
        self._heads: dict[UUID, StreamHead] = {}
        self._archive = Archive(path.with_name(archive.FOLDER))
        self._datastore = Datastore(path, size=READERS, mode="ro")
        self._writer = ThreadPoolExecutor(1, "log-writer")
        self._readers = ThreadPoolExecutor(READERS, "log-reader")
        self._feed = Feed(self._fetch, recorder.max_notification_id() or 0)
        self._pending: list[PendingAppend] = []
        self._writing: asyncio.Task[None] | None = None
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path, clock: Clock = now) -> "SqliteLog":
        """Open the log in the file *path*; create the file and its folder if they are missing.

        Raises `LogUnavailable` if another process has opened it, or if a newer version of Stageline wrote it.
        """
        return await asyncio.to_thread(cls._open, path, clock)

    @classmethod
    def _open(cls, path: Path, clock: Clock) -> "SqliteLog":
        with disk.translate_errors(path), ExitStack() as undo:
            lock = disk.lock(path.with_name(f"{path.name}-lock"))
            undo.callback(os.close, lock)
            disk.make_file(path)
            recorder = SqliteRecorder(Datastore(path, size=1))
            undo.callback(recorder.datastore.close)
            log = cls(path, recorder.begin(path), recorder, lock, clock)
            undo.pop_all()
        return log

    async def append(self, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None = None) -> Receipt:
        self._check_open()
        pending = PendingAppend(changes, by, key, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        writes.PENDING.inc()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())  # its own task: the caller may be cancelled
        return await pending.receipt

    async def find(self, key: str, request: str) -> Receipt | None:
        for record in await self._select(tables.key_record_from_row, "SELECT * FROM keys WHERE key = ?", key):
            return record.repeat(request)
        return None

    async def read(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[RecordedEvent]:
        if self.ends_at(stream, after):
            return ()
        statement = f"SELECT * FROM stored_events WHERE {OF_STREAM}"
        return await self._of_stream(tables.events_from_rows, statement, stream, after, until)

    async def events(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Event]:
        if self.ends_at(stream, after):
            return ()
        statement = f"SELECT rowid, topic, hash, originator_version, state FROM stored_events WHERE {OF_STREAM}"
        return await self._of_stream(_bodies, statement, stream, after, until)

    def ends_at(self, stream: UUID, version: int) -> bool:
        self._check_open()
        head, end = self._heads.get(stream), self._feed.ends.version(stream)
        known = end if head is None else max(end, head.version)  # a reader may see an event before it is published
        return 0 <= known <= version

    async def read_all(self, after: int = 0, limit: int = 1000) -> Sequence[RecordedEvent]:
        return await self._fetch(after, limit, None)

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        statement = "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"
        rows = await self._select_events(tables.export_lines_from_rows, statement, after, limit)
        return ExportPage(position=rows[-1][0] if rows else 0, lines=b"".join(line for _, line in rows))

    async def expired_keys(self, before: datetime, count: int) -> Sequence[str]:
        return await self._select(str, tables.EXPIRED_KEYS, *tables.expiry(before, count))

    async def forget_keys(self, keys: Collection[str]) -> None:
        await in_thread(self._writer, partial(self._forget_keys, keys))

    def _forget_keys(self, keys: Collection[str]) -> None:
        with disk.translate_errors(self._path), self._recorder.datastore.transaction(commit=True) as cursor:
            cursor.executemany("DELETE FROM keys WHERE key = ?", [(key,) for key in keys])

    async def position(self) -> int:
        self._check_open()
        return self._feed.position

    async def version(self, stream: UUID, position: int | None = None) -> int:
        wanted = NEWEST if position is None else position
        [version] = await self._select(int, f"{HALVING} SELECT {VERSION}", stream.hex, wanted)
        return version

    def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        return self._feed.follow(after, stream)

    def recent(self, after: int) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        return self._feed.recent(after)

    def watch(self, observer: Observer, kinds: Kinds | None = None) -> int:
        return self._feed.watch(observer, kinds)

    async def close(self) -> None:
        """End the followers, write the pending appends, and close the files."""
        if self._is_closed:
            return
        self._is_closed = True
        self._feed.close()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._datastore.close()
        self._recorder.datastore.close()  # the last connection that may write: it checkpoints the WAL
        os.close(self._lock)

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable("The log is closed.")

    async def _of_stream(
        self, convert: ConvertRows[T], statement: str, stream: UUID, after: int, until: int | None
    ) -> list[T]:
        end = self._feed.ends.track(stream)
        rows = await self._select_events(convert, statement, stream.hex, after, NEWEST if until is None else until)
        if until is None or after + len(rows) < until:  # versions have no gaps, so these are all
            end.advance(after + len(rows))
        return rows

    async def _write(self) -> None:
        """Write the pending appends until there are none."""
        try:
            while self._pending:
                pending, self._pending = self._pending, []
                events: Sequence[RecordedEvent] = ()
                outcomes: Sequence[Receipt | Exception]
                try:
                    events, outcomes = await in_thread(self._writer, partial(self._write_batch, pending))
                except Exception as failure:  # the batch was rolled back
                    self._feed.ends.clear()
                    outcomes = [failure] * len(pending)
                self._feed.publish(events)
                writes.count(outcomes)
                for append, outcome in zip(pending, outcomes, strict=True):
                    append.settle(outcome)
        finally:
            self._writing = None

    def _write_batch(
        self, pending: Sequence[PendingAppend]
    ) -> tuple[Sequence[RecordedEvent], Sequence[Receipt | Exception]]:
        recorder = self._recorder
        try:
            with disk.translate_errors(self._path), recorder.datastore.transaction(commit=True) as cursor:
                key_record = partial(recorder.key_record, cursor)
                batch = AppendBatch(recorder.tip(cursor), self._clock, partial(self._head, cursor), key_record)
                outcomes = [append.attempt(batch, FAULTS) for append in pending]
                recorder.write(cursor, batch)
        except LogUnavailable:
            recorder.datastore.close()  # the state of its connection is unknown
            self._recorder = SqliteRecorder(Datastore(self._path, size=1))
            self._heads.clear()
            raise
        for stream, head in batch.heads.items():
            self._heads.pop(stream, None)  # keeps the dict in the order of the last write
            self._heads[stream] = head
        while len(self._heads) > CACHED_HEADS:
            del self._heads[next(iter(self._heads))]
        return batch.recorded, outcomes

    def _head(self, cursor: SQLiteCursor, stream: UUID) -> StreamHead:
        return self._heads.get(stream) or self._recorder.head(cursor, stream)

    async def _fetch(self, after: int, limit: int, stream: UUID | None) -> Sequence[RecordedEvent]:
        if stream is None:
            statement = "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"
            return await self._select_events(tables.events_from_rows, statement, after, limit)
        of_stream = f"originator_id = ?1 AND originator_version > {VERSION} ORDER BY originator_version LIMIT ?3"
        statement = f"{HALVING} SELECT * FROM stored_events WHERE {of_stream}"
        return await self._select_events(tables.events_from_rows, statement, stream.hex, after, limit)

    async def _select(self, convert: Callable[..., T], statement: str, *parameters: object) -> list[T]:
        """Return *convert* of each row, in a reader's thread."""
        self._check_open()

        def select() -> list[T]:
            with self._reading() as execute:
                return list(starmap(convert, execute(statement, parameters)))

        return await in_thread(self._readers, select)

    async def _select_events(self, convert: ConvertRows[T], statement: str, *parameters: object) -> list[T]:
        """Return *convert* of rows of events and of those that are archived, in a reader's thread."""
        self._check_open()

        def select() -> list[T]:
            with self._reading() as execute:
                rows = execute(statement, parameters)
                return convert(rows, tables.archived_events(execute, self._archive, rows))

        return await in_thread(self._readers, select)

    @contextmanager
    def _reading(self) -> Iterator[tables.Execute]:
        """Return a function that executes a statement of one read transaction, in a reader's thread."""
        with disk.translate_errors(self._path), self._datastore.transaction(commit=False) as cursor:
            cursor.sqlite_cursor.row_factory = None

            def execute(statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
                cursor.execute(statement, parameters)
                return list(cursor.fetchall())

            yield execute
