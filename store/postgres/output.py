"""The output of steps in PostgreSQL: written by the worker of a deployment, followed on any node."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from domain.deployment.step import Phase
from store.batch import Clock, now
from store.feed import Notifier
from store.log import LogUnavailable
from store.output import CHUNK, NEWEST, AttemptOutput, LineKind, OutputLine, fit, line_size, truncation_note
from store.postgres.connection import Connection, Pool, Prepare, Record
from store.postgres.listener import Listener
from store.postgres.locks import LOCK_OUTPUT

CONNECTIONS = 4
"""Maximum number of connections."""

PAUSE = 0.02
"""Minimum interval at which followers are woken, in seconds."""

RETRY_INTERVAL = 0.2
"""Interval of the attempts to read for a follower while the database can't be reached, in seconds."""

OF_ATTEMPT = "deployment = $1 AND service = $2 AND phase = $3 AND attempt = $4"
SAVE = """
    INSERT INTO output_attempts (deployment, service, phase, attempt, upto, lines, bytes, is_cut)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (deployment, service, phase, attempt) DO UPDATE
    SET upto = excluded.upto, lines = excluded.lines, bytes = excluded.bytes, is_cut = excluded.is_cut
"""
INSERT = """
    INSERT INTO output_chunks (deployment, service, phase, attempt, kind, at, first, last, texts)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
READ = """
    SELECT service, phase, attempt, kind, at, first, texts FROM output_chunks
    WHERE deployment = $1 AND last > $2 AND last < $3::bigint + $5::int AND first < $3
"""

AttemptKey = tuple[UUID, UUID, str, int]
"""Deployment, service, phase and attempt."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class PostgresOutput:
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
            if kind is LineKind.NOTE:
                await self._insert(connection, key, lines, kind)
            else:
                await self._append(connection, key, lines, offset)
            await connection.execute("SELECT pg_notify('step_output', $1)", str(deployment))

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

    async def read(
        self,
        deployment: UUID,
        service: UUID | None = None,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> Sequence[OutputLine]:
        """See `OutputStore`. The chunk of line *before* - 1 may end up to `CHUNK` lines after it."""
        self._check_open()
        end = NEWEST if before is None else before
        statement = f"{READ} {'AND service = $6' if service else ''} ORDER BY last {'DESC' if newest else ''} LIMIT $4"
        parameters: list[Any] = [deployment, after, end, limit, CHUNK]  # each row has at least one matching line
        found: list[list[OutputLine]] = []
        missing = limit
        for row in await self._pool.fetch(statement, *parameters, *([service] if service else [])):
            if missing <= 0:
                break
            lines = [line for line in _lines(row) if after < line.number < end]
            found.append(lines[-missing:] if newest else lines[:missing])
            missing -= len(found[-1])
        return list(chain.from_iterable(reversed(found) if newest else found))

    async def follow(
        self, deployment: UUID, service: UUID | None = None, after: int = 0
    ) -> AsyncGenerator[Sequence[OutputLine], None]:
        self._check_open()
        async with self._notifications():
            while not self._is_closed:
                notified = self._notifier.event(deployment)
                try:
                    lines = await self.read(deployment, service, after)
                except LogUnavailable:  # followers wait for the database
                    await asyncio.sleep(RETRY_INTERVAL)
                    continue
                if lines:
                    after = lines[-1].number
                    yield lines
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

    async def _append(self, connection: Connection, key: AttemptKey, lines: Sequence[str], offset: int | None) -> None:
        before = await _attempt(connection, key)
        if offset is not None and offset <= before.offset:
            return
        stored = [] if before.is_cut else fit(before, lines)
        is_cut = len(stored) < len(lines)
        await self._insert(connection, key, stored, LineKind.LINE)
        if is_cut and not before.is_cut:
            await self._insert(connection, key, [truncation_note()], LineKind.NOTE)
        size = before.bytes + sum(map(line_size, stored))
        end = before.offset if offset is None else offset
        await connection.execute(SAVE, *key, end, before.lines + len(stored), size, is_cut or before.is_cut)

    async def _insert(self, connection: Connection, key: AttemptKey, texts: Sequence[str], kind: LineKind) -> None:
        if not texts:
            return
        newest = "SELECT last FROM output_chunks WHERE deployment = $1 ORDER BY last DESC LIMIT 1"
        number = await connection.fetchval(newest, key[0]) or 0
        rows = []
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            rows.append((*key, kind.value, self._clock(), number + 1, number + len(chunk), _encode(chunk)))
            number += len(chunk)
        await connection.executemany(INSERT, rows)


async def _attempt(connection: Connection, key: AttemptKey) -> AttemptOutput:
    row = await connection.fetchrow(f"SELECT upto, lines, bytes, is_cut FROM output_attempts WHERE {OF_ATTEMPT}", *key)
    return AttemptOutput(*row) if row else AttemptOutput()


def _lines(row: Record) -> Iterator[OutputLine]:
    service, phase, attempt, kind, at, first, texts = row
    for number, text in enumerate(_decode(texts), first):
        yield OutputLine(
            number=number,
            at=at,
            service=service,
            phase=Phase(phase),
            attempt=attempt,
            kind=LineKind(kind),
            text=text,
        )
