"""The rows of the read models and the events as they are stored, read in one moment by whoever checks them."""

import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, closing
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import asyncpg

from projections.engine.views import Place
from store.log import LogUnavailable, Recorded
from store.postgres.connection import translate_errors
from store.postgres.rows import COLUMNS, event_from_row
from store.sqlite import tables

if TYPE_CHECKING:
    from store.postgres.connection import Record

CHECKPOINTS = "SELECT kind, version, generation, epoch, position FROM checkpoints"

Checkpoint = tuple[str, int, int, str, int]
"""Kind, version, generation, epoch and position."""

Contents = tuple[Place | None, int, bytes, Sequence[str]]
"""A row's place, position, document and tags."""


class Stored(Protocol):
    """A moment of a database, which others may share by its *name*."""

    @property
    def name(self) -> str | None: ...

    async def checkpoints(self) -> Sequence[Checkpoint]: ...

    async def count(self, generation: int) -> int:
        """How many rows there are."""
        ...

    async def rows(self, generation: int, keys: Collection[UUID]) -> dict[UUID, Contents]:
        """Those of *keys* that are there."""
        ...

    async def events(self, after: int, limit: int) -> Sequence[Recorded]: ...


class Files:
    """The files of a data folder whose server is stopped: as long as it is, nothing there changes."""

    name = None

    def __init__(self, log: sqlite3.Connection, views: sqlite3.Connection) -> None:
        self._log, self._views = log, views

    async def checkpoints(self) -> Sequence[Checkpoint]:
        return self._views.execute(CHECKPOINTS).fetchall()

    async def count(self, generation: int) -> int:
        (count,) = self._views.execute("SELECT count(*) FROM rows WHERE generation = ?", (generation,)).fetchone()
        return int(count)

    async def rows(self, generation: int, keys: Collection[UUID]) -> dict[UUID, Contents]:
        statement = "SELECT key, parent, sort, position, document, tags FROM rows WHERE generation = ? AND key = ?"
        found = (self._views.execute(statement, (generation, key.bytes)).fetchone() for key in keys)
        return {
            UUID(bytes=row[0]): _contents(row[1], row[2], row[3], row[4], (row[5] or "").split())
            for row in found
            if row
        }

    async def events(self, after: int, limit: int) -> Sequence[Recorded]:
        statement = "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"
        return list(starmap(tables.event_from_row, self._log.execute(statement, (after, limit))))


@asynccontextmanager
async def files(data: Path) -> AsyncIterator[Stored]:
    """Raises `LogUnavailable`."""
    uris = [f"{(data / name).absolute().as_uri()}?mode=ro" for name in ("log.db", "views.db")]
    try:
        with closing(sqlite3.connect(uris[0], uri=True)) as log, closing(sqlite3.connect(uris[1], uri=True)) as views:
            yield Files(log, views)
    except sqlite3.Error as error:
        raise LogUnavailable(f"{data}: {error}.") from error


class Snapshot:
    """A transaction in PostgreSQL."""

    def __init__(self, connection: "asyncpg.Connection[Record]", name: str) -> None:
        self._connection = connection
        self.name = name

    async def checkpoints(self) -> Sequence[Checkpoint]:
        return [tuple(row) for row in await self._connection.fetch(CHECKPOINTS)]

    async def count(self, generation: int) -> int:
        statement = "SELECT count(*) FROM documents WHERE generation = $1"
        return int(await self._connection.fetchval(statement, generation))

    async def rows(self, generation: int, keys: Collection[UUID]) -> dict[UUID, Contents]:
        statement = """SELECT key, parent, sort, position, document, tsvector_to_array(tagged) FROM documents
            WHERE generation = $1 AND key = ANY ($2)"""
        found = await self._connection.fetch(statement, generation, list(keys))
        return {row[0]: _contents(row[1], row[2], row[3], row[4], row[5] or ()) for row in found}

    async def events(self, after: int, limit: int) -> Sequence[Recorded]:
        statement = f"""SELECT {COLUMNS} FROM stored_events WHERE notification_id > $1
            ORDER BY notification_id LIMIT $2"""
        return [event_from_row(row) for row in await self._connection.fetch(statement, after, limit)]


@asynccontextmanager
async def snapshot(dsn: str, name: str | None = None) -> AsyncIterator[Snapshot]:
    """Of now, or the one of that *name*; raises `LogUnavailable`."""
    with translate_errors(dsn):
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                if name is not None:
                    await connection.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
                yield Snapshot(connection, name or await connection.fetchval("SELECT pg_export_snapshot()"))
        finally:
            await connection.close(timeout=1)


def _contents(parent: str | None, sort: str | None, position: int, document: bytes, tags: Sequence[str]) -> Contents:
    return (None if parent is None or sort is None else Place(parent, sort)), position, document, sorted(tags)
