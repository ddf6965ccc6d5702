"""The output of steps in an SQLite file, or in memory."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from domain.deployment.step import Phase
from store.batch import Clock, now
from store.feed import Notifier
from store.log import LogUnavailable
from store.output import CHUNK, NEWEST, AttemptOutput, LineKind, OutputLine, fit, line_size, truncation_note
from store.sqlite import disk

SCHEMA = 1
"""Version of the tables."""

TABLES = (
    """CREATE TABLE chunks (deployment TEXT NOT NULL, service TEXT NOT NULL, phase TEXT NOT NULL,
    attempt INTEGER NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    texts BLOB NOT NULL, PRIMARY KEY (deployment, last))""",
    "CREATE INDEX chunks_of_service ON chunks (deployment, service, last)",
    """CREATE TABLE attempts (deployment TEXT, service TEXT, phase TEXT, attempt INTEGER, upto INTEGER NOT NULL,
    lines INTEGER NOT NULL, bytes INTEGER NOT NULL, is_cut INTEGER NOT NULL,
    PRIMARY KEY (deployment, service, phase, attempt)) WITHOUT ROWID""",
    f"PRAGMA user_version = {SCHEMA}",
)

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class SqliteOutput:
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

    async def offset(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        key = (deployment.hex, service.hex, phase.value, attempt)
        return (await self._do(lambda: self._attempt(key))).offset

    async def read(
        self,
        deployment: UUID,
        service: UUID | None = None,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> Sequence[OutputLine]:
        end = NEWEST if before is None else before
        return await self._do(lambda: self._read(deployment, service, after, end, limit, newest))

    async def follow(
        self, deployment: UUID, service: UUID | None = None, after: int = 0
    ) -> AsyncGenerator[Sequence[OutputLine], None]:
        self._check_open()
        while not self._is_closed:
            notified = self._notifier.event(deployment)
            if lines := await self.read(deployment, service, after):
                after = lines[-1].number
                yield lines
            else:
                await notified.wait()

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._notifier.notify_all()
            await asyncio.to_thread(self._thread.shutdown)
            self._database.close()

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

        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    def _append(self, key: tuple[str, str, str, int], lines: Sequence[str], kind: LineKind, offset: int | None) -> None:
        if kind is LineKind.NOTE:
            self._insert(key, lines, kind)
            return
        before = self._attempt(key)
        if offset is not None and offset <= before.offset:
            return
        stored = [] if before.is_cut else fit(before, lines)
        is_cut = len(stored) < len(lines)
        self._insert(key, stored, kind)
        if is_cut and not before.is_cut:
            self._insert(key, [truncation_note()], LineKind.NOTE)
        row = (
            *key,
            before.offset if offset is None else offset,
            before.lines + len(stored),
            before.bytes + sum(map(line_size, stored)),
            is_cut or before.is_cut,
        )
        self._database.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _insert(self, key: tuple[str, str, str, int], texts: Sequence[str], kind: LineKind) -> None:
        at = self._clock().isoformat(timespec="microseconds")
        (last,) = self._database.execute("SELECT max(last) FROM chunks WHERE deployment = ?", key[:1]).fetchone()
        number = last or 0
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            row = (*key, kind.value, at, number + 1, number + len(chunk), _encode(chunk))
            self._database.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            number += len(chunk)

    def _attempt(self, key: tuple[str, str, str, int]) -> AttemptOutput:
        statement = """SELECT upto, lines, bytes, is_cut FROM attempts
        WHERE deployment = ? AND service = ? AND phase = ? AND attempt = ?"""
        row = self._database.execute(statement, key).fetchone()
        return AttemptOutput(*row) if row else AttemptOutput()

    def _read(
        self, deployment: UUID, service: UUID | None, after: int, before: int, limit: int, newest: bool
    ) -> list[OutputLine]:
        """Read chunks by their last line; the chunk of line *before* - 1 may end up to `CHUNK` lines after it."""
        of_service, parameters = ("AND service = ?", [service.hex]) if service else ("", [])
        rows = self._database.execute(
            f"""SELECT service, phase, attempt, kind, at, first, texts FROM chunks
            WHERE deployment = ? {of_service} AND last > ? AND last < ? ORDER BY last {"DESC" if newest else "ASC"}""",
            (deployment.hex, *parameters, after, before + CHUNK),
        )
        found: list[list[OutputLine]] = []
        missing = limit
        for row in rows:
            if missing <= 0:
                break
            lines = [line for line in _lines(*row) if after < line.number < before]
            found.append(lines[-missing:] if newest else lines[:missing])
            missing -= len(found[-1])
        return list(chain.from_iterable(reversed(found) if newest else found))


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
        if database.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in TABLES:
                database.execute(statement)
    return database


def _lines(
    service: str, phase: str, attempt: int, kind: str, at: str, first: int, texts: bytes
) -> Iterable[OutputLine]:
    """Return the lines of a row of the table of chunks."""
    moment, service_id, phase_, kind_ = datetime.fromisoformat(at), UUID(service), Phase(phase), LineKind(kind)
    for number, text in enumerate(_decode(texts), first):
        yield OutputLine(
            number=number, at=moment, service=service_id, phase=phase_, attempt=attempt, kind=kind_, text=text
        )
