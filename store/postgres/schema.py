"""
The tables in PostgreSQL: numbered migrations, each applied once and in order.

A starting node applies the missing ones. Nodes that start at the same time do it in turn.
"""

import asyncio
import logging
from importlib.resources import files

import asyncpg

from store.log import LogUnavailable
from store.postgres import meta, session
from store.postgres.connection import connect
from store.postgres.errors import CONNECTION_ERRORS, check_address, describe_database, describe_error, translate_errors
from store.postgres.locks import LOCK_TABLES
from store.postgres.meta import Meta

RETRY_INTERVAL = 0.5
"""Interval of the attempts to reach the database, in seconds."""

logger = logging.getLogger(__name__)


def migrations() -> list[str]:
    """Return the SQL of all migrations; the first is number 1."""
    folder = files("store.postgres") / "migrations"
    return [each.read_text() for each in sorted(folder.iterdir(), key=lambda each: each.name) if each.name[0].isdigit()]


async def migrate(dsn: str, patience: float = 0.0) -> str:
    """Migrate the tables of the database *dsn* and return the log's epoch.

    Retries for *patience* seconds while the database can't be reached. Raises `LogUnavailable` after that, or if a
    newer version of Stageline has migrated the tables.
    """
    check_address(dsn)
    deadline = asyncio.get_running_loop().time() + patience
    with translate_errors(dsn):
        connection = await _connect(dsn, deadline)
        try:
            await session.check(connection, dsn)
            async with connection.transaction():
                return await _migrate(connection, dsn)
        finally:
            await connection.close(timeout=1)


async def _connect(dsn: str, deadline: float) -> "asyncpg.Connection[asyncpg.Record]":
    is_logged = False
    while True:
        try:
            return await connect(dsn, timeout=None)  # a migration may take long
        except asyncpg.ClientConfigurationError:  # an invalid address
            raise
        except CONNECTION_ERRORS as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            if not is_logged:
                values = {"database": describe_database(dsn), "error": describe_error(error)}
                logger.warning("Waiting for %(database)s: %(error)s", values)
            is_logged = True
            await asyncio.sleep(RETRY_INTERVAL)


async def _migrate(connection: "asyncpg.Connection[asyncpg.Record]", dsn: str) -> str:
    known = migrations()
    await connection.execute("SET LOCAL lock_timeout = 0")  # another node may be migrating
    await connection.execute(LOCK_TABLES)
    if not await connection.fetchval("SELECT to_regclass('meta') IS NOT NULL"):
        encoding = await connection.fetchval("SHOW server_encoding")
        if encoding != "UTF8":
            raise LogUnavailable(
                f"{describe_database(dsn).capitalize()} has the encoding {encoding}; UTF8 is required: "
                "create the database with createdb --encoding UTF8 --template template0."
            )
        await connection.execute(meta.CREATE)
    version = int(await meta.get(connection, Meta.SCHEMA) or 0)
    if version > len(known):
        raise LogUnavailable(newer_version_message(dsn, "its schema", version, len(known)))
    for migration in known[version:]:
        await connection.execute(migration)
    await meta.put(connection, Meta.SCHEMA, str(len(known)))  # always: a read-only database must fail here
    return str(await meta.get(connection, Meta.EPOCH))


def newer_version_message(dsn: str, subject: str, found: int, known: int) -> str:
    """Return the message for a version *found* of *subject* above the one *known* to this version of Stageline."""
    return (
        f"{describe_database(dsn).capitalize()} was written by a newer version of Stageline ({subject} is {found}, "
        f"this version knows {known}): install that version or a later one."
    )
