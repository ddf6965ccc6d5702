"""The output of steps in PostgreSQL: written by the worker of a deployment, followed on any node."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
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
from store.postgres.connection import Connection, Pool, Prepare, Record
from store.postgres.listener import Listener
from store.postgres.locks import LOCK_OUTPUT
from store.retention import CHUNK_BATCH, StoredOutput, removal_note

CONNECTIONS = 4
"""Maximum number of connections."""

PAUSE = 0.02
"""Minimum interval at which followers are woken, in seconds."""

RETRY_INTERVAL = 0.2
"""Interval of the attempts to read for a follower while the database can't be reached, in seconds."""

MOST_ROWS = 2000
"""Maximum number of rows that are read at once."""

OF_ATTEMPT = "deployment = $1 AND service = $2 AND phase = $3 AND attempt = $4"
COLUMNS = f"upto, lines, bytes, is_cut, {', '.join(COUNTED)}"
SAVE = f"""
    INSERT INTO output_attempts (deployment, service, phase, attempt, {COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (deployment, service, phase, attempt) DO UPDATE
    SET upto = excluded.upto, lines = excluded.lines, bytes = excluded.bytes, is_cut = excluded.is_cut,
    {", ".join(f"{column} = excluded.{column}" for column in COUNTED)}
"""
INSERT = """
    INSERT INTO output_chunks (deployment, service, phase, attempt, kind, at, first, last, texts)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
SET_UNFINISHED = """
    INSERT INTO output_unfinished (deployment, service, phase, attempt, text) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (deployment, service, phase, attempt) DO UPDATE SET text = excluded.text
"""
SELECTED = """
    deployment = $1 AND ($2::uuid IS NULL OR service = $2) AND ($3::text IS NULL OR phase = $3)
    AND ($4::int IS NULL OR attempt = $4)
"""

PARTS = """
    unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[]) WITH ORDINALITY
    AS part (deployment, service, phase, attempt, number)
"""
OF_PART = """
    o.deployment = part.deployment AND (part.service IS NULL OR o.service = part.service)
    AND (part.phase IS NULL OR o.phase = part.phase) AND (part.attempt IS NULL OR o.attempt = part.attempt)
"""
ATTEMPTS = f"""
    CASE WHEN part.service IS NULL AND part.phase IS NULL AND part.attempt IS NULL THEN {{other}}::bigint
    ELSE (SELECT {{bound}} FROM output_attempts o WHERE {OF_PART}) END
"""
"""A bound of the chunks of a part, which leaves out those of earlier and later attempts."""

UNFINISHED_EACH = f"""
    SELECT part.number, o.service, o.phase, o.attempt, o.text FROM {PARTS} JOIN output_unfinished o ON {OF_PART}
    ORDER BY part.number, o.service, o.phase, o.attempt
"""
SUMMARIES = f"""
    SELECT coalesce(sum(o.lines + o.notes), 0)::bigint, min(nullif(o.failure, 0)) FROM {PARTS}
    LEFT JOIN output_attempts o ON {OF_PART} GROUP BY part.number ORDER BY part.number
"""
LAST = ATTEMPTS.format(bound="max(o.last)", other=NEWEST)
BEFORE = f"greatest(($5::bigint[])[part.number], {ATTEMPTS.format(bound='min(o.first) - 1', other=0)})"
WITHIN = {
    "ASC": f"o.last > {BEFORE} AND o.last + 0 <= {LAST}",
    "DESC": f"o.last <= {LAST} AND o.last + 0 > {BEFORE}",
}
"""The bounds of a part. With both in the index, the planner expects so few chunks that it reads all and sorts them."""

CHUNKS_EACH = f"""
    WITH near AS MATERIALIZED (
        SELECT part.number, one.deployment, one.last, sum(one.last - one.first + 1) OVER (
            PARTITION BY part.number ORDER BY one.last {{order}} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS lines
        FROM {PARTS} CROSS JOIN LATERAL (
            SELECT o.deployment, o.first, o.last FROM output_chunks o
            WHERE {OF_PART} AND {{within}} ORDER BY o.last {{order}} LIMIT $6::int
        ) AS one
    )
    SELECT near.number, o.service, o.phase, o.attempt, o.kind, o.at, o.first, o.last, o.texts
    FROM near JOIN output_chunks o ON o.deployment = near.deployment AND o.last = near.last
    WHERE near.lines IS NULL OR near.lines < $6::int + {CHUNK} ORDER BY near.number, o.last
"""
"""The chunks of several parts. It finds the last one of each without reading texts; the first may begin before it."""

STORED = """
    SELECT a.deployment, newest.at, sum(a.lines)::bigint AS lines, sum(a.bytes)::bigint AS bytes
    FROM output_attempts a CROSS JOIN LATERAL (
        SELECT at FROM output_chunks c WHERE c.deployment = a.deployment AND kind = 'LINE' ORDER BY last DESC LIMIT 1
    ) AS newest
    WHERE a.lines > 0 GROUP BY a.deployment, newest.at
"""
LAST_CHUNK = f"SELECT max(last) FROM output_chunks WHERE {OF_ATTEMPT} AND kind = 'LINE'"
REMOVE = f"""
    WITH removed AS (
        DELETE FROM output_chunks WHERE deployment = $1 AND last IN (
            SELECT last FROM output_chunks WHERE {OF_ATTEMPT} AND kind = 'LINE' AND last < $5
            ORDER BY last LIMIT {CHUNK_BATCH}
        ) RETURNING 1
    )
    SELECT count(*) FROM removed
"""

AttemptKey = tuple[UUID, UUID, str, int]
"""Deployment, service, phase and attempt."""


class PostgresOutput(OutputStore):
    """See `OutputStore`. A lock for each deployment orders the numbers of its lines over all nodes."""

    def __init__(self, dsn: str, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._notifier = Notifier()
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._waking: asyncio.TimerHandle | None = None
        self._notified: set[str] = set()  # deployments to wake the followers of; "" for all
        self._dsn = dsn
        self._followers = 0
        self._listener: Listener | None = None  # only while there are followers: every append to the log wakes it, too
        self._is_closed = False

    @classmethod
    async def open(cls, dsn: str, *prepare: Prepare, clock: Clock = now) -> "PostgresOutput":
        """Open the output in the database *dsn*, which must have the tables; raises `LogUnavailable`."""
        return cls(dsn, await Pool.open(dsn, CONNECTIONS, *prepare), clock)

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
        self._check_open()
        key = (deployment, service, phase.value, attempt)
        lock = self._locks.setdefault(deployment, asyncio.Lock())  # its waiters hold no connection
        async with lock, self._pool.transaction() as connection:
            await connection.execute(LOCK_OUTPUT, str(deployment))
            await self._append(connection, key, lines, kind, offset)
            await connection.execute("SELECT pg_notify('step_output', $1)", str(deployment))

    async def stored(self) -> Sequence[StoredOutput]:
        self._check_open()
        return [StoredOutput(**row) for row in await self._pool.fetch(STORED)]

    async def prune(self, deployment: UUID) -> bool:
        self._check_open()
        statement = "SELECT deployment, service, phase, attempt, lines FROM output_attempts WHERE deployment = $1"
        async with self._pool.transaction() as connection:
            await connection.execute(LOCK_OUTPUT, str(deployment))
            found = await connection.fetchrow(f"{statement} AND lines > 0 LIMIT 1", deployment)
            if found is None:
                return False
            *key, lines = found
            last = await connection.fetchval(LAST_CHUNK, *key)
            if await connection.fetchval(REMOVE, *key, last) < CHUNK_BATCH:
                note = msgspec.json.encode([removal_note(lines)])
                replacement = "UPDATE output_chunks SET kind = 'NOTE', first = last, texts = $1"
                await connection.execute(f"{replacement} WHERE deployment = $2 AND last = $3", note, deployment, last)
                counts = "lines = 0, bytes = 0, notes = notes + 1"
                await connection.execute(f"UPDATE output_attempts SET {counts} WHERE {OF_ATTEMPT}", *key)
        return True

    async def set_unfinished(self, deployment: UUID, service: UUID, phase: Phase, attempt: int, text: str) -> None:
        self._check_open()
        key = (deployment, service, phase.value, attempt)
        async with self._pool.transaction() as connection:
            if text:
                stored = text.replace("\0", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL refuses NUL in a text
                await connection.execute(SET_UNFINISHED, *key, stored)
            else:
                await connection.execute(f"DELETE FROM output_unfinished WHERE {OF_ATTEMPT}", *key)
            await connection.execute("SELECT pg_notify('step_output', $1)", str(deployment))

    async def unfinished_each(self, parts: Sequence[OutputPart]) -> Sequence[Sequence[UnfinishedLine]]:
        self._check_open()
        found: list[tuple[UnfinishedLine, ...]] = [()] * len(parts)
        for number, service, phase, attempt, text in await self._pool.fetch(UNFINISHED_EACH, *_columns(parts)):
            line = UnfinishedLine(service=service, phase=Phase(phase), attempt=attempt, text=text)
            found[number - 1] = (*found[number - 1], line)
        return found

    async def offset(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        self._check_open()
        async with self._pool.connection() as connection:
            return (await _attempt(connection, (deployment, service, phase.value, attempt))).offset

    async def reset_offset(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> None:
        """Set the offset of an attempt that starts again to 0; its stored lines stay."""
        self._check_open()
        await self._pool.fetch(
            f"UPDATE output_attempts SET upto = 0 WHERE {OF_ATTEMPT}", deployment, service, phase.value, attempt
        )

    async def summaries(self, parts: Sequence[OutputPart]) -> Sequence[OutputSummary]:
        self._check_open()
        return [OutputSummary(*row) for row in await self._pool.fetch(SUMMARIES, *_columns(parts))]

    async def chunks_each(
        self, parts: Sequence[OutputPart], limit: int, newest: bool = False
    ) -> Sequence[Sequence[OutputChunk]]:
        self._check_open()
        found: list[list[OutputChunk]] = [[] for _ in parts]
        order = "DESC" if newest else "ASC"
        statement = CHUNKS_EACH.format(order=order, within=WITHIN[order])
        for number, *row in await self._pool.fetch(statement, *_columns(parts), [each.after for each in parts], limit):
            found[number - 1].append(_chunk(row).between(parts[number - 1].after, NEWEST))
        return found

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
        """See `OutputStore`. The chunk of line *before* - 1 may end up to `CHUNK` lines after it.

        The first statement part reads no texts, to find the last chunk within the limits.
        """
        self._check_open()
        if limit <= 0:
            return []
        end = NEWEST if before is None else before
        statement = chunks_statement(selection, newest)
        parameters = (*_parameters(deployment, selection), after, end, CHUNK, min(limit, MOST_ROWS), limit, size)
        rows = await self._pool.fetch(statement, *parameters)
        found = [_chunk(row).between(after, end) for row in rows]
        return found[::-1] if newest else found

    async def follow(
        self, deployment: UUID, selection: OutputSelection = EVERYTHING, after: int = 0
    ) -> AsyncGenerator[OutputBatch, None]:
        self._check_open()
        batch: OutputBatch | None = None
        async with self._notifications():
            while not self._is_closed:
                notified = self._notifier.event(deployment)
                try:
                    following = await self.batch(deployment, selection, after, batch)
                except LogUnavailable:  # followers wait for the database
                    await asyncio.sleep(RETRY_INTERVAL)
                    continue
                if following is not None:
                    batch = following
                    after = batch.chunks[-1].last if batch.chunks else after
                    yield batch
                else:
                    await notified.wait()

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._notifier.notify_all()
            if self._waking is not None:
                self._waking.cancel()
            await self._close_listener()
            await self._pool.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable("The output store is closed.")

    @asynccontextmanager
    async def _notifications(self) -> AsyncIterator[None]:
        self._followers += 1
        if self._listener is None:
            self._listener = Listener(self._dsn, ["step_output"], self._notify)
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                await self._close_listener()

    async def _close_listener(self) -> None:
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.close()

    def _notify(self, deployment: str) -> None:
        self._notified.add(deployment)
        if self._waking is None:
            self._waking = asyncio.get_running_loop().call_later(PAUSE, self._wake)

    def _wake(self) -> None:
        self._waking = None
        deployments, self._notified = self._notified, set()
        if "" in deployments:
            self._notifier.notify_all()
        else:
            self._notifier.notify(map(UUID, deployments))

    async def _append(
        self, connection: Connection, key: AttemptKey, lines: Sequence[str], kind: LineKind, offset: int | None
    ) -> None:
        before = await _attempt(connection, key)
        newest = "SELECT last FROM output_chunks WHERE deployment = $1 ORDER BY last DESC LIMIT 1"
        number = await connection.fetchval(newest, key[0]) or 0
        after, chunks = addition(before, number, lines, kind, offset)
        if chunks:
            at = self._clock()
            await connection.executemany(
                INSERT, [(*key, each.kind.value, at, each.first, each.last, each.encoded) for each in chunks]
            )
        if after != before:
            await connection.execute(SAVE, *key, *astuple(after))
            await connection.execute(f"DELETE FROM output_unfinished WHERE {OF_ATTEMPT}", *key)


async def _attempt(connection: Connection, key: AttemptKey) -> AttemptOutput:
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM output_attempts WHERE {OF_ATTEMPT}", *key)
    return AttemptOutput(*row) if row else AttemptOutput()


def _parameters(deployment: UUID, selection: OutputSelection) -> tuple[Any, ...]:
    """Return the parameters of `SELECTED`."""
    return deployment, selection.service, selection.phase and selection.phase.value, selection.attempt


def _columns(parts: Sequence[OutputPart]) -> tuple[list[Any], ...]:
    """Return the parameters of `PARTS`."""
    return tuple(map(list, zip(*(_parameters(each.deployment, each.selection) for each in parts), strict=True)))


def chunks_statement(selection: OutputSelection, newest: bool) -> str:
    """Return the statement that reads chunks: within the limits, which it finds without reading their texts."""
    selected, order = SELECTED, "DESC" if newest else "ASC"
    if selection.service is not None:  # so that the plan may use its index
        selected = selected.replace("($2::uuid IS NULL OR service = $2)", "service = $2")
    own = f"FROM output_attempts WHERE {selected}"
    if selection.phase is not None or selection.attempt is not None:  # they follow each other in a service
        selected += f" AND last >= (SELECT min(first) {own}) AND first <= (SELECT max(last) {own})"
    within = f"{selected} AND last > $5 AND last < $6::bigint + $7::int AND first < $6"
    end = ">= (SELECT min(last)" if newest else "<= (SELECT max(last)"
    return f"""
        WITH near AS MATERIALIZED (
            SELECT last, last - first + 1 AS lines, octet_length(texts) AS size FROM output_chunks
            WHERE {within} ORDER BY last {order} LIMIT $8
        ), sums AS (
            SELECT last, sum(lines) OVER earlier AS lines, sum(size) OVER earlier AS size FROM near
            WINDOW earlier AS (ORDER BY last {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        )
        SELECT service, phase, attempt, kind, at, first, last, texts FROM output_chunks
        WHERE {within} AND last {end} FROM sums
            WHERE lines IS NULL OR (lines < $9::bigint + $7::int AND size < $10::bigint))
        ORDER BY last {order}
    """


def _chunk(row: Record | Sequence[Any]) -> OutputChunk:
    service, phase, attempt, kind, at, first, last, texts = row
    return OutputChunk(
        first=first,
        at=at,
        service=service,
        phase=Phase(phase),
        attempt=attempt,
        kind=LineKind(kind),
        encoded=texts,
        start=0,
        stop=last - first + 1,
    )
