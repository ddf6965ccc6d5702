"""The table `meta`: named values of a database, such as the log's epoch and the versions of the tables."""

from enum import StrEnum

from store.postgres.connection import Connection, connect
from store.postgres.errors import translate_errors
from store.postgres.locks import LOCK_TABLES

CREATE = """
    CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
    INSERT INTO meta VALUES ('epoch', left(replace(gen_random_uuid()::text, '-', ''), 16)), ('schema', '0');
"""
SET = "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class Meta(StrEnum):
    """The names of the values."""

    EPOCH = "epoch"
    SCHEMA = "schema"
    JOBS = "jobs"
    SIGNING_KEY = "signing key"


async def get(connection: Connection, name: Meta) -> str | None:
    """Return the value of *name*, if any."""
    value: str | None = await connection.fetchval("SELECT value FROM meta WHERE name = $1", name)
    return value


async def put(connection: Connection, name: Meta, value: str) -> None:
    """Set *name* to *value*."""
    await connection.execute(SET, name, value)


async def replace(dsn: str, name: Meta, value: str) -> str | None:
    """Set *name* to *value* in the database *dsn* and return the value before; raises `LogUnavailable`."""
    with translate_errors(dsn):
        connection = await connect(dsn)
        try:
            async with connection.transaction():
                await connection.execute(LOCK_TABLES)  # nodes that start at the same time do it in turn
                before = await get(connection, name)
                await put(connection, name, value)
                return before
        finally:
            await connection.close(timeout=1)
