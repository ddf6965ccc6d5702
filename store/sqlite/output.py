"""The output of steps in an SQLite file, or in memory."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from msgspec.structs import astuple

from domain.deployment.step import Phase
from store.attempt import CHUNK, COUNTED, AttemptOutput, addition
from store.batch import Clock, now
from store.feed import Notifier
from store.log import LogUnavailable
from store.output import (
    BATCH_LINES,
    EVERYTHING,
    NEWEST,
    LineKind,
    OutputBatch,
    OutputChunk,
    OutputPart,
    OutputSelection,
    OutputStore,
    OutputSummary,
    UnfinishedLine,
)
from store.retention import CHUNK_BATCH, StoredOutput, removal_note
from store.round_trip import in_thread
from store.sqlite import disk

SCHEMA = 2
"""Version of the tables."""

TABLES = (
    """CREATE TABLE chunks (deployment TEXT NOT NULL, service TEXT NOT NULL, phase TEXT NOT NULL,
    attempt INTEGER NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    texts BLOB NOT NULL, PRIMARY KEY (deployment, last))""",
    "CREATE INDEX chunks_of_service ON chunks (deployment, service, last)",
    """CREATE TABLE attempts (deployment TEXT, service TEXT, phase TEXT, attempt INTEGER, upto INTEGER NOT NULL,
    lines INTEGER NOT NULL, bytes INTEGER NOT NULL, is_cut INTEGER NOT NULL,
    PRIMARY KEY (deployment, service, phase, attempt)) WITHOUT ROWID""",
)

COUNTS = (
    *(f"ALTER TABLE attempts ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0" for column in COUNTED),
    """INSERT INTO attempts
    (deployment, service, phase, attempt, upto, lines, bytes, is_cut, notes, first, last, failure)
    SELECT deployment, service, phase, attempt, 0, 0, 0, 0, sum((kind = 'NOTE') * (last - first + 1)), min(first),
    max(last), coalesce(min(first) FILTER (WHERE kind = 'NOTE' AND (CAST(texts AS TEXT) LIKE '["failed: %'
    OR CAST(texts AS TEXT) LIKE '["attempt % failed: %')), 0)
    FROM chunks WHERE true GROUP BY deployment, service, phase, attempt
    ON CONFLICT DO UPDATE SET notes = excluded.notes, first = excluded.first, last = excluded.last,
    failure = excluded.failure""",
    """CREATE TABLE unfinished (deployment TEXT, service TEXT, phase TEXT, attempt INTEGER, text TEXT NOT NULL,
    PRIMARY KEY (deployment, service, phase, attempt)) WITHOUT ROWID""",
    f"PRAGMA user_version = {SCHEMA}",
)
"""The step to version 2: what `summary` needs, and unfinished lines."""

OF_ATTEMPT = "deployment = ? AND service = ? AND phase = ? AND attempt = ?"

PART = """
    {table}.deployment = p.value ->> 0 AND coalesce(p.value ->> 1, {table}.service) = {table}.service
    AND coalesce(p.value ->> 2, {table}.phase) = {table}.phase
    AND coalesce(p.value ->> 3, {table}.attempt) = {table}.attempt
"""
"""The condition for the rows of a part in the JSON that `_encoded` returns."""

ATTEMPTS = f"""
    CASE WHEN coalesce(p.value ->> 1, p.value ->> 2, p.value ->> 3) IS NULL THEN {{other}}
    ELSE (SELECT {{bound}} FROM attempts WHERE {PART.format(table="attempts")}) END
"""
"""A bound of the chunks of a part, which leaves out those of earlier and later attempts."""

UNFINISHED_EACH = f"""
    SELECT p.key, service, phase, attempt, text FROM json_each(?) p JOIN unfinished ON {PART.format(table="unfinished")}
    ORDER BY p.key, service, phase, attempt
"""
SUMMARIES = f"""
    SELECT sum(lines + notes), min(nullif(failure, 0)) FROM json_each(?) p
    LEFT JOIN attempts ON {PART.format(table="attempts")} GROUP BY p.key ORDER BY p.key
"""
CHUNKS_EACH = f"""
    WITH near AS MATERIALIZED (
        SELECT p.key AS number, c.rowid AS id, sum(c.last - c.first + 1) OVER (
            PARTITION BY p.key ORDER BY c.last {{order}} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS lines
        FROM json_each(:parts) p JOIN chunks c ON c.rowid IN (
            SELECT rowid FROM chunks WHERE {PART.format(table="chunks")}
            AND last > max(p.value ->> 4, {ATTEMPTS.format(bound="min(first) - 1", other=0)})
            AND last <= {ATTEMPTS.format(bound="max(last)", other=NEWEST)}
            ORDER BY last {{order}} LIMIT :limit
        )
    )
    SELECT number, service, phase, attempt, kind, at, first, last, texts
    FROM near CROSS JOIN chunks ON chunks.rowid = near.id
    WHERE lines IS NULL OR lines < :limit + {CHUNK} ORDER BY number, last
"""
"""The chunks of several parts. It finds the last one of each without reading texts; the first may begin before it."""

STORED = """
    SELECT deployment, (SELECT at FROM chunks WHERE chunks.deployment = a.deployment AND kind = 'LINE'
        ORDER BY last DESC LIMIT 1) AS newest, sum(lines), sum(bytes)
    FROM attempts a WHERE lines > 0 GROUP BY deployment HAVING newest IS NOT NULL
"""
LAST_CHUNK = f"SELECT max(last) FROM chunks WHERE {OF_ATTEMPT} AND kind = 'LINE'"
REMOVE = f"""
    DELETE FROM chunks WHERE rowid IN (
        SELECT rowid FROM chunks WHERE {OF_ATTEMPT} AND kind = 'LINE' AND last < ? ORDER BY last LIMIT {CHUNK_BATCH}
    )
"""

AttemptKey = tuple[str, str, str, int]
"""Deployment, service, phase and attempt."""

T = TypeVar("T")


class SqliteOutput(OutputStore):
    """See `OutputStore`. One thread reads and writes, which numbers the lines in order."""

    def __init__(self, database: sqlite3.Connection, path: Path, clock: Clock = now) -> None:
        self._database = database
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "output")
        self._notifier = Notifier()
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path, clock: Clock = now) -> "SqliteOutput":
        """Open the file *path*, or create it; raises `LogUnavailable`."""
        return cls(await asyncio.to_thread(connect, path), path, clock)

    async def append(
        self,
        deployment: UUID,
        service: UUID,
        phase: Phase,
        attempt: int,
        lines: Sequence[str],
        kind: LineKind = LineKind.LINE,
        offset: int | None = None,
    ) -> None:
        key = (deployment.hex, service.hex, phase.value, attempt)
        await self._do(lambda: self._append(key, lines, kind, offset))
        self._notifier.notify([deployment])

    async def set_unfinished(self, deployment: UUID, service: UUID, phase: Phase, attempt: int, text: str) -> None:
        key = (deployment.hex, service.hex, phase.value, attempt)
        await self._do(lambda: self._set_unfinished(key, text))
        self._notifier.notify([deployment])

    async def unfinished_each(self, parts: Sequence[OutputPart]) -> Sequence[Sequence[UnfinishedLine]]:
        return await self._do(lambda: self._unfinished(parts))

    async def offset(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        key = (deployment.hex, service.hex, phase.value, attempt)
        return (await self._do(lambda: self._attempt(key))).offset

    async def summaries(self, parts: Sequence[OutputPart]) -> Sequence[OutputSummary]:
        return await self._do(lambda: self._summaries(parts))

    async def chunks_each(
        self, parts: Sequence[OutputPart], limit: int, newest: bool = False
    ) -> Sequence[Sequence[OutputChunk]]:
        return await self._do(lambda: self._chunks_each(parts, limit, newest))

    async def chunks(
        self,
        deployment: UUID,
        selection: OutputSelection = EVERYTHING,
        after: int = 0,
        before: int | None = None,
        limit: int = BATCH_LINES,
        newest: bool = False,
        size: int = NEWEST,
    ) -> Sequence[OutputChunk]:
        end = NEWEST if before is None else before
        return await self._do(lambda: self._chunks(deployment, selection, after, end, limit, newest, size))

    async def follow(
        self, deployment: UUID, selection: OutputSelection = EVERYTHING, after: int = 0
    ) -> AsyncGenerator[OutputBatch, None]:
        self._check_open()
        batch: OutputBatch | None = None
        while not self._is_closed:
            notified = self._notifier.event(deployment)
            try:
                following = await self.batch(deployment, selection, after, batch)
            except LogUnavailable:
                if self._was_closed():
                    return
                raise
            if following is not None:
                batch = following
                after = batch.chunks[-1].last if batch.chunks else after
                yield batch
            else:
                await notified.wait()

    async def stored(self) -> Sequence[StoredOutput]:
        return await self._do(lambda: [_stored(*row) for row in self._database.execute(STORED)])

    async def prune(self, deployment: UUID) -> bool:
        return await self._do(lambda: self._prune(deployment.hex))

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._notifier.notify_all()
            await asyncio.to_thread(self._thread.shutdown)
            self._database.close()

    def _was_closed(self) -> bool:
        """Whether the store was closed during an await."""
        return self._is_closed

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable("The output store is closed.")

    async def _do(self, work: Callable[[], T]) -> T:
        """Run *work* in the store's thread and in a transaction."""
        self._check_open()

        def do() -> T:
            with disk.translate_errors(self._path), self._database:
                self._database.execute("BEGIN")
                return work()

        return await in_thread(self._thread, do)

    def _append(self, key: AttemptKey, lines: Sequence[str], kind: LineKind, offset: int | None) -> None:
        before = self._attempt(key)
        (newest,) = self._database.execute("SELECT max(last) FROM chunks WHERE deployment = ?", key[:1]).fetchone()
        after, chunks = addition(before, newest or 0, lines, kind, offset)
        at = self._clock().isoformat(timespec="microseconds")
        for chunk in chunks:
            row = (*key, chunk.kind.value, at, chunk.first, chunk.last, chunk.encoded)
            self._database.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        if after != before:
            places = ", ".join("?" * (len(key) + len(astuple(after))))
            self._database.execute(f"INSERT OR REPLACE INTO attempts VALUES ({places})", (*key, *astuple(after)))
            self._database.execute(f"DELETE FROM unfinished WHERE {OF_ATTEMPT}", key)

    def _set_unfinished(self, key: AttemptKey, text: str) -> None:
        if text:
            self._database.execute("INSERT OR REPLACE INTO unfinished VALUES (?, ?, ?, ?, ?)", (*key, text))
        else:
            self._database.execute(f"DELETE FROM unfinished WHERE {OF_ATTEMPT}", key)

    def _prune(self, deployment: str) -> bool:
        statement = "SELECT deployment, service, phase, attempt, lines FROM attempts WHERE deployment = ? AND lines > 0"
        found = self._database.execute(f"{statement} LIMIT 1", (deployment,)).fetchone()
        if found is None:
            return False
        *key, lines = found
        (last,) = self._database.execute(LAST_CHUNK, key).fetchone()
        if self._database.execute(REMOVE, (*key, last)).rowcount < CHUNK_BATCH:
            note = json.dumps([removal_note(lines)]).encode()
            replacement = "UPDATE chunks SET kind = 'NOTE', first = last, texts = ? WHERE deployment = ? AND last = ?"
            self._database.execute(replacement, (note, deployment, last))
            counts = "lines = 0, bytes = 0, notes = notes + 1"
            self._database.execute(f"UPDATE attempts SET {counts} WHERE {OF_ATTEMPT}", key)
        return True

    def _attempt(self, key: AttemptKey) -> AttemptOutput:
        statement = f"SELECT upto, lines, bytes, is_cut, {', '.join(COUNTED)} FROM attempts WHERE {OF_ATTEMPT}"
        row = self._database.execute(statement, key).fetchone()
        return AttemptOutput(*row) if row else AttemptOutput()

    def _unfinished(self, parts: Sequence[OutputPart]) -> Sequence[Sequence[UnfinishedLine]]:
        found: list[tuple[UnfinishedLine, ...]] = [()] * len(parts)
        for number, service, phase, attempt, text in self._database.execute(UNFINISHED_EACH, (_encoded(parts),)):
            line = UnfinishedLine(service=UUID(service), phase=Phase(phase), attempt=attempt, text=text)
            found[number] = (*found[number], line)
        return found

    def _summaries(self, parts: Sequence[OutputPart]) -> Sequence[OutputSummary]:
        rows = self._database.execute(SUMMARIES, (_encoded(parts),))
        return [OutputSummary(lines or 0, failure) for lines, failure in rows]

    def _chunks_each(self, parts: Sequence[OutputPart], limit: int, newest: bool) -> Sequence[Sequence[OutputChunk]]:
        found: list[list[OutputChunk]] = [[] for _ in parts]
        given = {"parts": _encoded(parts), "limit": limit}
        for number, *row in self._database.execute(CHUNKS_EACH.format(order="DESC" if newest else "ASC"), given):
            found[number].append(_chunk(*row).between(parts[number].after, NEWEST))
        return found

    def _chunks(
        self,
        deployment: UUID,
        selection: OutputSelection,
        after: int,
        before: int,
        limit: int,
        newest: bool,
        size: int,
    ) -> list[OutputChunk]:
        """Read chunks by their last line; the chunk of line *before* - 1 may end up to `CHUNK` lines after it."""
        where, parameters = _where(deployment, selection)
        if selection.phase is not None or selection.attempt is not None:  # they follow each other in a service
            own = f"FROM attempts WHERE {where}"
            limits = f"AND last >= (SELECT min(first) {own}) AND first <= (SELECT max(last) {own})"
            where, parameters = f"{where} {limits}", parameters * 3
        rows = self._database.execute(
            f"""SELECT service, phase, attempt, kind, at, first, last, texts FROM chunks
            WHERE {where} AND last > ? AND last < ? AND first < ? ORDER BY last {"DESC" if newest else "ASC"}""",
            (*parameters, after, before + CHUNK, before),
        )
        found: list[OutputChunk] = []
        if limit > 0:
            for row in rows:
                found.append(_chunk(*row).between(after, before))
                limit -= found[-1].stop - found[-1].start
                size -= len(found[-1].encoded)
                if limit <= 0 or size <= 0:
                    break
        return found[::-1] if newest else found


class MemoryOutput(SqliteOutput):
    """The output in memory, for tests and trials."""

    def __init__(self, clock: Clock = now) -> None:
        super().__init__(_connect(":memory:"), Path(":memory:"), clock)


def connect(path: Path) -> sqlite3.Connection:
    """Connect to the file *path*; create the file and its tables if they are missing. Raises `LogUnavailable`."""
    disk.make_file(path)
    with disk.translate_errors(path):
        database = _connect(str(path))
        (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA:
        database.close()
        raise LogUnavailable(
            f"{path} was written by a newer version of Stageline: install that version or a later one."
        )
    return database


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")  # lines lost by a power failure are read again from the offset
    with database:
        database.execute("BEGIN IMMEDIATE")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        for statement in [(*TABLES, *COUNTS), COUNTS][version] if version < SCHEMA else ():
            database.execute(statement)
    return database


def _stored(deployment: str, newest: str, lines: int, size: int) -> StoredOutput:
    return StoredOutput(deployment=UUID(deployment), at=datetime.fromisoformat(newest), lines=lines, bytes=size)


def _where(deployment: UUID, selection: OutputSelection) -> tuple[str, tuple[str | int, ...]]:
    """Return the condition for the selected rows of a table, and its parameters."""
    given: dict[str, str | int | None] = {
        "deployment": deployment.hex,
        "service": selection.service.hex if selection.service else None,
        "phase": selection.phase and selection.phase.value,
        "attempt": selection.attempt,
    }
    wanted = [(column, value) for column, value in given.items() if value is not None]
    return " AND ".join(f"{column} = ?" for column, _ in wanted), tuple(value for _, value in wanted)


def _encoded(parts: Sequence[OutputPart]) -> str:
    """Return the parts as JSON: deployment, service, phase and attempt, null for any, and the number of a line."""
    return json.dumps(
        [
            (each.deployment.hex, service and service.hex, phase and phase.value, attempt, each.after)
            for each in parts
            for service, phase, attempt in [astuple(each.selection)]
        ]
    )


def _chunk(
    service: str, phase: str, attempt: int, kind: str, at: str, first: int, last: int, texts: bytes
) -> OutputChunk:
    """Return a row of the table of chunks."""
    return OutputChunk(
        first=first,
        at=datetime.fromisoformat(at),
        service=UUID(service),
        phase=Phase(phase),
        attempt=attempt,
        kind=LineKind(kind),
        encoded=texts,
        start=0,
        stop=last - first + 1,
    )
