"""
The tables on PostgreSQL: numbered files of SQL, each applied once and in order.

Who starts applies those that are missing; two who start at once do it one after the other.
"""

import asyncio
import logging
from importlib.resources import files

import asyncpg

from store.log import LogUnavailable
from store.postgres import session
from store.postgres.connection import (
    CONNECTION_ERRORS,
    check_address,
    connect,
    describe_database,
    describe_error,
    translate_errors,
)

RETRY_INTERVAL = 0.5
"""Seconds between two attempts to reach a database that isn't there yet."""

META = """
    CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
    INSERT INTO meta VALUES ('epoch', left(replace(gen_random_uuid()::text, '-', ''), 16)), ('schema', '0');
"""

logger = logging.getLogger(__name__)


def migrations() -> list[str]:
    """The SQL of all of them; the first is number 1."""
    folder = files("store.postgres") / "migrations"
    return [each.read_text() for each in sorted(folder.iterdir(), key=lambda each: each.name) if each.name[0].isdigit()]


async def migrate(dsn: str, patience: float = 0.0) -> str:
    """Brings the database's tables up to date; the log's epoch.

    A database that can't be reached is waited for, *patience* seconds at most. Raises `LogUnavailable` then, or if a
    newer version of Stageline made the tables.
    """
    check_address(dsn)
    deadline = asyncio.get_running_loop().time() + patience
    with translate_errors(dsn):
        connection = await _reached(dsn, deadline)
        try:
            await session.check(connection, dsn)
            async with connection.transaction():
                return await _migrate(connection, dsn)
        finally:
            await connection.close(timeout=1)


async def _reached(dsn: str, deadline: float) -> "asyncpg.Connection[asyncpg.Record]":
    has_said = False
    while True:
        try:
            return await connect(dsn, answering=None)  # a migration takes as long as it takes
        except asyncpg.ClientConfigurationError:  # the address itself makes no sense
            raise
        except CONNECTION_ERRORS as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            if not has_said:
                logger.warning("Waiting for %s: %s", describe_database(dsn), describe_error(error))
            has_said = True
            await asyncio.sleep(RETRY_INTERVAL)


async def _migrate(connection: "asyncpg.Connection[asyncpg.Record]", dsn: str) -> str:
    known = migrations()
    await connection.execute("SET LOCAL lock_timeout = 0")  # whoever migrates just now is waited for
    await connection.execute("SELECT pg_advisory_xact_lock(7263, 0)")
    if not await connection.fetchval("SELECT to_regclass('meta') IS NOT NULL"):
        encoding = await connection.fetchval("SHOW server_encoding")
        if encoding != "UTF8":
            raise LogUnavailable(
                f"{describe_database(dsn).capitalize()} keeps text as {encoding}, which has no room for all that there is: "
                "create it with createdb --encoding UTF8 --template template0."
            )
        await connection.execute(META)
    meta = {row["name"]: row["value"] for row in await connection.fetch("SELECT name, value FROM meta")}
    if int(meta["schema"]) > len(known):
        raise LogUnavailable(newer_version_message(dsn, "its schema", int(meta["schema"]), len(known)))
    for migration in known[int(meta["schema"]) :]:
        await connection.execute(migration)
    await connection.execute("UPDATE meta SET value = $1 WHERE name = 'schema' AND value <> $1", str(len(known)))
    return str(meta["epoch"])


def newer_version_message(dsn: str, what: str, found: int, known: int) -> str:
    return (
        f"{describe_database(dsn).capitalize()} was written by a newer version of Stageline ({what} is {found}, "
        f"this version knows {known}): install that version, or a newer one."
    )
