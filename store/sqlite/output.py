"""The output of steps in SQLite: a file of its own, or in memory."""

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
from store.output import CHUNK, AttemptOutput, LineKind, OutputLine, fit, line_size, truncation_note
from store.sqlite import disk

SCHEMA = 1
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
NEWEST = 2**62  # above every line's number

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class SqliteOutput:
    """See `OutputStore`. One thread reads and writes, so that numbers are given in one order."""

    def __init__(self, database: sqlite3.Connection, path: Path, clock: Clock = now) -> None:
        self._database = database
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "output")
        self._news = Notifier()
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path, clock: Clock = now) -> "SqliteOutput":
        """The store in the file *path*, which is made if it is missing; raises `LogUnavailable`."""
        return cls(await asyncio.to_thread(connect, path), path, clock)

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
        key = (deployment.hex, service.hex, phase.value, attempt)
        await self._do(lambda: self._append(key, lines, kind, upto))
        self._news.spread([deployment])

    async def kept(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        key = (deployment.hex, service.hex, phase.value, attempt)
        return (await self._do(lambda: self._attempt(key))).upto

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
            news = self._news.of(deployment)
            if lines := await self.read(deployment, service, after):
                after = lines[-1].number
                yield lines
            else:
                await news.wait()

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._news.spread_all()
            await asyncio.to_thread(self._thread.shutdown)
            self._database.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable("The output store is closed.")

    async def _do(self, work: Callable[[], T]) -> T:
        """*work*, in the store's thread and in a transaction."""
        self._check_open()

        def do() -> T:
            with disk.translate_errors(self._path), self._database:
                self._database.execute("BEGIN")
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    def _append(self, key: tuple[str, str, str, int], lines: Sequence[str], kind: LineKind, upto: int | None) -> None:
        if kind is LineKind.NOTE:
            self._insert(key, lines, kind)
            return
        was = self._attempt(key)
        if upto is not None and upto <= was.upto:
            return
        kept = [] if was.is_cut else fit(was, lines)
        is_cut = len(kept) < len(lines)
        self._insert(key, kept, kind)
        if is_cut and not was.is_cut:
            self._insert(key, [truncation_note()], LineKind.NOTE)
        row = (
            *key,
            was.upto if upto is None else upto,
            was.lines + len(kept),
            was.bytes + sum(map(line_size, kept)),
            is_cut or was.is_cut,
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
        """Chunks are found by their last line: that of line *before* - 1 may end up to a chunk's length behind it."""
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
    """In memory, for tests and trials."""

    def __init__(self, clock: Clock = now) -> None:
        super().__init__(_connect(":memory:"), Path(":memory:"), clock)


def connect(path: Path) -> sqlite3.Connection:
    disk.make_file(path)
    with disk.translate_errors(path):
        database = _connect(str(path))
        (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA:
        database.close()
        raise LogUnavailable(
            f"{path} was written by a newer version of Stageline: install that version, or a newer one."
        )
    return database


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")  # what a power failure takes is read again, by *upto*
    with database:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in TABLES:
                database.execute(statement)
    return database


def _lines(
    service: str, phase: str, attempt: int, kind: str, at: str, first: int, texts: bytes
) -> Iterable[OutputLine]:
    """A row of the chunks' table."""
    step = UUID(service), Phase(phase), LineKind(kind), datetime.fromisoformat(at)
    for number, text in enumerate(_decode(texts), first):
        yield OutputLine(
            number=number, at=step[3], service=step[0], phase=step[1], attempt=attempt, kind=step[2], text=text
        )
