"""
What steps print.

Lines are no events: there are many, and nothing is decided by them. Within a deployment they are numbered 1, 2, 3 …
in the order in which they were kept, whichever step they come from; the number is the cursor to go on after.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.step import Phase
from store import disk
from store.batch import Clock, now
from store.feed import News
from store.log import LogUnavailable

MOST_LINES = 1_000_000
MOST_BYTES = 50_000_000
"""What is kept of one attempt's lines (the bytes are those of their UTF-8, with a line end each); notes go beyond."""

CHUNK = 1000
"""Lines at most that are stored together."""

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


class Kind(StrEnum):
    """LINE was printed by the step; NOTE is Stageline's own."""

    LINE = "LINE"
    NOTE = "NOTE"


class Line(Struct, frozen=True, kw_only=True):
    number: int
    at: datetime
    service: UUID
    phase: Phase
    attempt: int
    kind: Kind
    text: str


class OutputStore(Protocol):
    """Keeps the lines of the attempts at the steps of deployments. Methods raise `LogUnavailable` as the log's do."""

    async def append(
        self,
        deployment: UUID,
        service: UUID,
        phase: Phase,
        attempt: int,
        lines: Sequence[str],
        kind: Kind = Kind.LINE,
        upto: int | None = None,
    ) -> None:
        """Keeps *lines*, which have no line ends, together with *upto*: how far the attempt's output is kept with them.

        *upto* counts bytes of where the lines come from, and only grows: lines that end where some did before are
        taken as sent twice, and passed over. Notes come from nowhere, and have none. Beyond `MOST_LINES` or
        `MOST_BYTES` an attempt's lines are dropped, and a note says so.
        """
        ...

    async def kept(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        """The last *upto*; 0 if there is none."""
        ...

    async def read(
        self,
        deployment: UUID,
        service: UUID | None = None,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> Sequence[Line]:
        """At most *limit* lines with numbers above *after* and below *before*, in order, of *service* or of all.

        They are the first ones of these, or the last ones if *newest*.
        """
        ...

    def follow(
        self, deployment: UUID, service: UUID | None = None, after: int = 0
    ) -> AsyncGenerator[Sequence[Line], None]:
        """The lines after number *after*, in non-empty batches; then those to come, until the store is closed."""
        ...

    async def close(self) -> None: ...


class Attempt(Struct, frozen=True):
    """How much of an attempt's output is kept."""

    upto: int = 0
    lines: int = 0
    bytes: int = 0
    is_cut: bool = False


class SqliteOutput:
    """See `OutputStore`. One thread reads and writes, so that numbers are given in one order."""

    def __init__(self, database: sqlite3.Connection, path: Path, clock: Clock = now) -> None:
        self._database = database
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "output")
        self._news = News()
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path, clock: Clock = now) -> "SqliteOutput":
        """The store in the file *path*, which is made if it is missing; raises `LogUnavailable`."""
        return cls(await asyncio.to_thread(opened, path), path, clock)

    async def append(
        self,
        deployment: UUID,
        service: UUID,
        phase: Phase,
        attempt: int,
        lines: Sequence[str],
        kind: Kind = Kind.LINE,
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
    ) -> Sequence[Line]:
        end = NEWEST if before is None else before
        return await self._do(lambda: self._read(deployment, service, after, end, limit, newest))

    async def follow(
        self, deployment: UUID, service: UUID | None = None, after: int = 0
    ) -> AsyncGenerator[Sequence[Line], None]:
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
            with disk.explained(self._path), self._database:
                self._database.execute("BEGIN")
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    def _append(self, key: tuple[str, str, str, int], lines: Sequence[str], kind: Kind, upto: int | None) -> None:
        if kind is Kind.NOTE:
            self._insert(key, lines, kind)
            return
        was = self._attempt(key)
        if upto is not None and upto <= was.upto:
            return
        kept = [] if was.is_cut else fitting(was, lines)
        is_cut = len(kept) < len(lines)
        self._insert(key, kept, kind)
        if is_cut and not was.is_cut:
            self._insert(key, [cut()], Kind.NOTE)
        row = (
            *key,
            was.upto if upto is None else upto,
            was.lines + len(kept),
            was.bytes + sum(map(size, kept)),
            is_cut or was.is_cut,
        )
        self._database.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _insert(self, key: tuple[str, str, str, int], texts: Sequence[str], kind: Kind) -> None:
        at = self._clock().isoformat(timespec="microseconds")
        (last,) = self._database.execute("SELECT max(last) FROM chunks WHERE deployment = ?", key[:1]).fetchone()
        number = last or 0
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            row = (*key, kind.value, at, number + 1, number + len(chunk), _encode(chunk))
            self._database.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            number += len(chunk)

    def _attempt(self, key: tuple[str, str, str, int]) -> Attempt:
        statement = """SELECT upto, lines, bytes, is_cut FROM attempts
        WHERE deployment = ? AND service = ? AND phase = ? AND attempt = ?"""
        row = self._database.execute(statement, key).fetchone()
        return Attempt(*row) if row else Attempt()

    def _read(
        self, deployment: UUID, service: UUID | None, after: int, before: int, limit: int, newest: bool
    ) -> list[Line]:
        """Chunks are found by their last line: that of line *before* - 1 may end up to a chunk's length behind it."""
        of_service, parameters = ("AND service = ?", [service.hex]) if service else ("", [])
        rows = self._database.execute(
            f"""SELECT service, phase, attempt, kind, at, first, texts FROM chunks
            WHERE deployment = ? {of_service} AND last > ? AND last < ? ORDER BY last {"DESC" if newest else "ASC"}""",
            (deployment.hex, *parameters, after, before + CHUNK),
        )
        found: list[list[Line]] = []
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


def opened(path: Path) -> sqlite3.Connection:
    disk.make(path)
    with disk.explained(path):
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


def cut() -> str:
    """The note behind the last line that is kept."""
    return f"The step prints more than {MOST_LINES:,} lines or {MOST_BYTES:,} bytes: what comes after this is not kept."


def size(text: str) -> int:
    """The bytes that a line counts as."""
    return len(text.encode()) + 1


def fitting(was: Attempt, lines: Sequence[str]) -> Sequence[str]:
    """The first of *lines* that may still be kept of the attempt."""
    room = MOST_BYTES - was.bytes
    for count, line in enumerate(lines):
        room -= size(line)
        if room < 0 or was.lines + count == MOST_LINES:
            return lines[:count]
    return lines


def _lines(service: str, phase: str, attempt: int, kind: str, at: str, first: int, texts: bytes) -> Iterable[Line]:
    """A row of the chunks' table."""
    step = UUID(service), Phase(phase), Kind(kind), datetime.fromisoformat(at)
    for number, text in enumerate(_decode(texts), first):
        yield Line(number=number, at=step[3], service=step[0], phase=step[1], attempt=attempt, kind=step[2], text=text)
