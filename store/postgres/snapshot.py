"""The snapshot of a database in PostgreSQL, which several processes can share by its name."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from store.log import RecordedEvent
from store.postgres.connection import Connection
from store.postgres.errors import translate_errors
from store.postgres.reader import ALL
from store.postgres.rows import event_from_row


class PostgresSnapshot:
    """See `LogSnapshot`; the transaction of *connection* reads the snapshot *name*."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name

    async def events(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        return [event_from_row(row) for row in await self.connection.fetch(ALL, after, limit)]


@asynccontextmanager
async def snapshot(dsn: str, name: str | None = None) -> AsyncIterator[PostgresSnapshot]:
    """Open the snapshot *name* of the database *dsn*, or a new one; raises `LogUnavailable`."""
    with translate_errors(dsn):
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                if name is not None:
                    await connection.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
                yield PostgresSnapshot(connection, name or await connection.fetchval("SELECT pg_export_snapshot()"))
        finally:
            await connection.close(timeout=1)
