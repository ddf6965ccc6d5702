"""What steps print, on PostgreSQL: written by the worker that drives a deployment, followed on any node."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from domain.deployment.step import Phase
from store.batch import Clock, now
from store.feed import Notifier
from store.log import LogUnavailable
from store.output import CHUNK, AttemptOutput, LineKind, OutputLine, fit, line_size, truncation_note
from store.postgres.connection import Pool, Prepare
from store.postgres.listener import Listener
from store.sqlite.output import NEWEST

if TYPE_CHECKING:
    from store.postgres.connection import Connection, Record

CONNECTIONS = 4

PAUSE = 0.02
"""Seconds between two wakings of those who follow, however much is written meanwhile."""

RETRY_INTERVAL = 0.2
"""Seconds between two attempts to read for a follower from a database that is away."""

OF_ATTEMPT = "deployment = $1 AND service = $2 AND phase = $3 AND attempt = $4"
KEEP = """
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

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class PostgresOutput:
    """See `OutputStore`. A lock for each deployment has its lines numbered in one order, on whichever nodes."""

    def __init__(self, dsn: str, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._news = Notifier()
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._waking: asyncio.TimerHandle | None = None
        self._printing: set[str] = set()  # deployments that have printed since the last waking; "" for any of them
        self._dsn = dsn
        self._followers = 0
        self._listener: Listener | None = None  # as long as anyone follows: it is woken by every append to the log, too
        self._is_closed = False

    @classmethod
    async def open(cls, dsn: str, *prepare: Prepare, clock: Clock = now) -> "PostgresOutput":
        """The store in the database *dsn*, which has the tables; raises `LogUnavailable`."""
        return cls(dsn, await Pool.open(dsn, CONNECTIONS, *prepare), clock)

    async def append(
        self,
        deployment: UUID,
        service: UUID,
        phase: Phase,
        attempt: int,
        lines: Sequence[str],
        kind: LineKind = LineKind.LINE,
        upto: int | None = None,
    ) -> None:
        self._check_open()
        key = (deployment, service, phase.value, attempt)
        turn = self._turns.setdefault(deployment, asyncio.Lock())  # who waits for a turn holds no connection
        async with turn, self._pool.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(7264, hashtext($1))", str(deployment))
            if kind is LineKind.NOTE:
                await self._insert(connection, key, lines, kind)
            else:
                await self._append(connection, key, lines, upto)
            await connection.execute("SELECT pg_notify('step_output', $1)", str(deployment))

    async def kept(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        self._check_open()
        async with self._pool.connection() as connection:
            return (await _attempt(connection, (deployment, service, phase.value, attempt))).upto

    async def begin_anew(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> None:
        """Forgets how far the attempt's output was kept, because it begins anew. Its lines stay."""
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
        """Chunks are found by their last line: that of line *before* - 1 may end up to a chunk's length behind it."""
        self._check_open()
        end = NEWEST if before is None else before
        statement = f"{READ} {'AND service = $6' if service else ''} ORDER BY last {'DESC' if newest else ''} LIMIT $4"
        parameters: list[Any] = [deployment, after, end, limit, CHUNK]  # each has a line at least that is wanted
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
        async with self._listening():
            while not self._is_closed:
                news = self._news.of(deployment)
                try:
                    lines = await self.read(deployment, service, after)
                except LogUnavailable:  # whoever follows waits, too, until the database is back
                    await asyncio.sleep(RETRY_INTERVAL)
                    continue
                if lines:
                    after = lines[-1].number
                    yield lines
                else:
                    await news.wait()

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._news.spread_all()
            if self._waking is not None:
                self._waking.cancel()
            await self._listen_no_more()
            await self._pool.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable("The output store is closed.")

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        self._followers += 1
        if self._listener is None:
            self._listener = Listener(self._dsn, ["step_output"], self._heard)
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                await self._listen_no_more()

    async def _listen_no_more(self) -> None:
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.close()

    def _heard(self, deployment: str) -> None:
        self._printing.add(deployment)
        if self._waking is None:
            self._waking = asyncio.get_running_loop().call_later(PAUSE, self._wake)

    def _wake(self) -> None:
        self._waking = None
        printing, self._printing = self._printing, set()
        if "" in printing:
            self._news.spread_all()
        else:
            self._news.spread(map(UUID, printing))

    async def _append(self, connection: "Connection", key: AttemptKey, lines: Sequence[str], upto: int | None) -> None:
        was = await _attempt(connection, key)
        if upto is not None and upto <= was.upto:
            return
        kept = [] if was.is_cut else fit(was, lines)
        is_cut = len(kept) < len(lines)
        await self._insert(connection, key, kept, LineKind.LINE)
        if is_cut and not was.is_cut:
            await self._insert(connection, key, [truncation_note()], LineKind.NOTE)
        length = was.bytes + sum(map(line_size, kept))
        await connection.execute(
            KEEP, *key, was.upto if upto is None else upto, was.lines + len(kept), length, is_cut or was.is_cut
        )

    async def _insert(self, connection: "Connection", key: AttemptKey, texts: Sequence[str], kind: LineKind) -> None:
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


async def _attempt(connection: "Connection", key: AttemptKey) -> AttemptOutput:
    row = await connection.fetchrow(f"SELECT upto, lines, bytes, is_cut FROM output_attempts WHERE {OF_ATTEMPT}", *key)
    return AttemptOutput(*row) if row else AttemptOutput()


def _lines(row: "Record") -> Iterator[OutputLine]:
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
