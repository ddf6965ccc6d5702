"""The snapshot of a database in PostgreSQL, which several processes can share by its name."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from store.archive import Archive
from store.log import RecordedEvent
from store.postgres.connection import Connection
from store.postgres.errors import translate_errors
from store.postgres.reader import ALL
from store.postgres.rows import events_from_rows, with_archived


class PostgresSnapshot:
    """See `LogSnapshot`; the transaction of *connection* to the database *dsn* reads the snapshot *name*."""

    def __init__(self, dsn: str, connection: Connection, name: str, archive: Path | None) -> None:
        self._dsn, self.connection, self.name = dsn, connection, name
        self._archive = Archive(archive)

    async def events(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        with translate_errors(self._dsn):
            async with self.connection.transaction():  # a savepoint: the snapshot outlives an error
                rows = await self.connection.fetch(ALL, after, limit)
                return await with_archived(self.connection.fetch, self._archive, rows, events_from_rows)


@asynccontextmanager
async def snapshot(dsn: str, name: str | None = None, archive: Path | None = None) -> AsyncIterator[PostgresSnapshot]:
    """Open the snapshot *name* of the database *dsn*, or a new one; raises `LogUnavailable`.

    *archive* is the folder of archived events.
    """
    with translate_errors(dsn):
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                if name is not None:
                    await connection.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
                name = name or await connection.fetchval("SELECT pg_export_snapshot()")
                yield PostgresSnapshot(dsn, connection, name, archive)
        finally:
            await connection.close(timeout=1)
