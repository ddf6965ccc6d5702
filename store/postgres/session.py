"""
Check that a connection to PostgreSQL has one session, as LISTEN, SET and prepared statements require.

A connection pooler, such as PgBouncer in transaction mode, may use another session for each transaction.
"""

from uuid import uuid4

from store.log import LogUnavailable
from store.postgres.connection import CONNECT_TIMEOUT, Connection, connect
from store.postgres.errors import POOLER, describe_database

ROUNDS = 8
"""Number of attempts to detect a pooler; other clients of it may interfere with one."""


async def check(connection: Connection, dsn: str) -> None:
    """Raise `LogUnavailable` if *connection* to the database *dsn* has no session of its own."""
    if await _holds(connection, f"pg_backend_pid() = {connection.get_server_pid()}"):
        return  # no pooler: poolers report a process id of their own
    other = await connect(dsn)
    try:
        for _ in range(ROUNDS):
            mark = uuid4().hex
            async with other.transaction():  # keeps its session meanwhile
                await connection.execute(f"SET stageline.mark = '{mark}'", timeout=CONNECT_TIMEOUT)
            # The session of *other* is free now. A pooler uses it next, or all free sessions in turn.
            for _ in range(2):
                if not await _holds(connection, f"current_setting('stageline.mark', true) = '{mark}'"):
                    raise LogUnavailable(f"{describe_database(dsn).capitalize()}: {POOLER}.")
    finally:
        await other.close(timeout=1)


async def _holds(connection: Connection, condition: str) -> bool:
    """Return whether *condition* holds, with one message: a second one might go to another session."""
    return await connection.execute(f"SELECT WHERE {condition}", timeout=CONNECT_TIMEOUT) == "SELECT 1"
