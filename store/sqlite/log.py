"""
The log in an SQLite file.

One thread writes: all appends that wait are carried out in one transaction, and acknowledged when it is on the disk.
Reads have threads and read-only connections of their own, so that the event loop never waits for the disk.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from eventsourcing.persistence import PersistenceError
from eventsourcing.sqlite import SQLiteCursor

from store import codec
from store.batch import AppendBatch, Clock, PendingAppend, StreamHead, now
from store.feed import Feed, Kinds, Observer
from store.log import Author, Change, Event, ExportPage, Key, LogUnavailable, Receipt, Recorded
from store.sqlite import disk
from store.sqlite import tables as recorder
from store.sqlite.tables import Datastore, SqliteRecorder

READERS = 4
KNOWN_HEADS = 10_000

OF_STREAM = "originator_id = ? AND originator_version > ? AND originator_version <= ? ORDER BY originator_version"
NEWEST = 2**63 - 1  # above every version and every position

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
"""A stream's last version up to a position, as the one `low` that isn't below its `high`: both go up together."""
VERSION = "(SELECT low FROM halving WHERE low >= high)"

FAULTS = (sqlite3.Error, PersistenceError)
"""Of the database, and so of the whole batch."""

T = TypeVar("T")


class SqliteLog:
    """See `EventLog`. One process at a time has it open."""

    is_shared = False

    def __init__(self, path: Path, epoch: str, recorder: SqliteRecorder, lock: int, clock: Clock) -> None:
        self.epoch = epoch
        self._path = path
        self._recorder = recorder
        self._lock = lock
        self._clock = clock
        self._heads: dict[UUID, StreamHead] = {}  # of the streams that were last written to
        self._datastore = Datastore(path, size=READERS, mode="ro")
        self._writer = ThreadPoolExecutor(1, "log-writer")
        self._readers = ThreadPoolExecutor(READERS, "log-reader")
        self._feed = Feed(self._fetch, recorder.max_notification_id() or 0)
        self._waiting: list[PendingAppend] = []
        self._writing: asyncio.Task[None] | None = None
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path, clock: Clock = now) -> "SqliteLog":
        """The log in the file *path*; the file and its folder are made if they are missing.

        Raises `LogUnavailable` if another process has it open, or if a newer version of Stageline wrote it.
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

    async def append(self, changes: Sequence[Change], by: Author, key: Key | None = None) -> Receipt:
        self._check_open()
        waiting = PendingAppend(changes, by, key, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())  # a task of its own: who waits may be cancelled
        return await waiting.receipt

    async def find(self, key: str, request: str) -> Receipt | None:
        for answer in await self._select(recorder.key_record_from_row, "SELECT * FROM keys WHERE key = ?", key):
            return answer.again(request)
        return None

    async def read(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Recorded]:
        if self.ends_at(stream, after):
            return ()
        statement = f"SELECT * FROM stored_events WHERE {OF_STREAM}"
        return await self._of_stream(recorder.event_from_row, statement, stream, after, until)

    async def events(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Event]:
        if self.ends_at(stream, after):
            return ()
        statement = f"SELECT topic, state FROM stored_events WHERE {OF_STREAM}"
        return await self._of_stream(codec.decode, statement, stream, after, until)

    def ends_at(self, stream: UUID, version: int) -> bool:
        self._check_open()
        head, end = self._heads.get(stream), self._feed.ends.of(stream)
        known = end if head is None else max(end, head.version)  # a reader may be the first to see what was written
        return 0 <= known <= version

    async def read_all(self, after: int = 0, limit: int = 1000) -> Sequence[Recorded]:
        return await self._fetch(after, limit, None)

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        statement = "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"
        rows = await self._select(recorder.export_line_from_row, statement, after, limit)
        return ExportPage(position=rows[-1][0] if rows else 0, lines=b"".join(line for _, line in rows))

    async def position(self) -> int:
        self._check_open()
        return self._feed.position

    async def version(self, stream: UUID, position: int | None = None) -> int:
        wanted = NEWEST if position is None else position
        [version] = await self._select(int, f"{HALVING} SELECT {VERSION}", stream.hex, wanted)
        return version

    def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[Recorded], None]:
        return self._feed.follow(after, stream)

    def recent(self, after: int) -> AsyncGenerator[Sequence[Recorded], None]:
        return self._feed.recent(after)

    def watch(self, told: Observer, kinds: Kinds | None = None) -> int:
        return self._feed.watch(told, kinds)

    async def close(self) -> None:
        """Ends the followers, carries out what was to be appended, and lets go of the files."""
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
        self._recorder.datastore.close()  # the last connection that may write: it tidies the files up
        os.close(self._lock)

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable("The log is closed.")

    async def _of_stream(
        self, make: Callable[..., T], statement: str, stream: UUID, after: int, until: int | None
    ) -> list[T]:
        if until is not None:
            return await self._select(make, statement, stream.hex, after, until)
        end = self._feed.ends.reading(stream)
        rows = await self._select(make, statement, stream.hex, after, NEWEST)
        end.seen(after + len(rows))
        return rows

    async def _write(self) -> None:
        """Carries out what waits, then what has come to wait meanwhile, until nothing does."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                events: Sequence[Recorded] = ()
                outcomes: Sequence[Receipt | Exception]
                try:
                    events, outcomes = await loop.run_in_executor(self._writer, self._carry_out, waiting)
                except Exception as failure:  # nothing of the batch was written, as far as is known
                    self._feed.ends.forget()
                    outcomes = [failure] * len(waiting)
                self._feed.publish(events)
                for one, outcome in zip(waiting, outcomes, strict=True):
                    one.settle(outcome)
        finally:
            self._writing = None

    def _carry_out(self, waiting: Sequence[PendingAppend]) -> tuple[Sequence[Recorded], Sequence[Receipt | Exception]]:
        recorder = self._recorder
        try:
            with disk.translate_errors(self._path), recorder.datastore.transaction(commit=True) as cursor:
                answer = partial(recorder.key_record, cursor)
                batch = AppendBatch(recorder.tip(cursor), self._clock, partial(self._head, cursor), answer)
                outcomes = [one.attempt(batch, FAULTS) for one in waiting]
                recorder.write(cursor, batch)
        except LogUnavailable:
            recorder.datastore.close()  # whatever state its connection was left in, a new one has another
            self._recorder = SqliteRecorder(Datastore(self._path, size=1))
            self._heads.clear()
            raise
        for stream, head in batch.heads.items():
            self._heads.pop(stream, None)  # so that the dict is in the order of the last writing
            self._heads[stream] = head
        while len(self._heads) > KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]
        return batch.recorded, outcomes

    def _head(self, cursor: SQLiteCursor, stream: UUID) -> StreamHead:
        return self._heads.get(stream) or self._recorder.head(cursor, stream)

    async def _fetch(self, after: int, limit: int, stream: UUID | None) -> Sequence[Recorded]:
        if stream is None:
            statement = "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"
            return await self._select(recorder.event_from_row, statement, after, limit)
        of_stream = f"originator_id = ?1 AND originator_version > {VERSION} ORDER BY originator_version LIMIT ?3"
        statement = f"{HALVING} SELECT * FROM stored_events WHERE {of_stream}"
        return await self._select(recorder.event_from_row, statement, stream.hex, after, limit)

    async def _select(self, make: Callable[..., T], statement: str, *parameters: object) -> list[T]:
        """*make* of every row, in a thread of the readers."""
        self._check_open()

        def select() -> list[T]:
            with disk.translate_errors(self._path), self._datastore.transaction(commit=False) as cursor:
                cursor.sqlite_cursor.row_factory = None
                cursor.execute(statement, parameters)
                return list(starmap(make, cursor.fetchall()))

        return await asyncio.get_running_loop().run_in_executor(self._readers, select)
