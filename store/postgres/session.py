"""
Whether a connection to PostgreSQL has one session for itself, as what listens, is set and is prepared needs.

A pooler between, such as PgBouncer in transaction mode, may give it any free one for each transaction.
"""

from typing import TYPE_CHECKING
from uuid import uuid4

from store.log import LogUnavailable
from store.postgres.connection import CONNECT_TIMEOUT, POOLER, connect, describe_database

if TYPE_CHECKING:
    from store.postgres.connection import Connection

ROUNDS = 8
"""In one of them others may have come between, and taken what would have told."""


async def check(connection: "Connection", dsn: str) -> None:
    """Raises `LogUnavailable` if *connection*, which is to *dsn*, has none for itself."""
    if await _holds(connection, f"pg_backend_pid() = {connection.get_server_pid()}"):
        return  # nothing is between: poolers tell a number of their own
    other = await connect(dsn)
    try:
        for _ in range(ROUNDS):
            mark = uuid4().hex
            async with other.transaction():  # it has another session meanwhile
                await connection.execute(f"SET stageline.mark = '{mark}'", timeout=CONNECT_TIMEOUT)
            # The other's session is free now. A pooler gives that out next, or all that are free in turn.
            for _ in range(2):
                if not await _holds(connection, f"current_setting('stageline.mark', true) = '{mark}'"):
                    raise LogUnavailable(f"{describe_database(dsn).capitalize()}: {POOLER}.")
    finally:
        await other.close(timeout=1)


async def _holds(connection: "Connection", condition: str) -> bool:
    """By one message and nothing prepared: two messages might go to two sessions."""
    return await connection.execute(f"SELECT WHERE {condition}", timeout=CONNECT_TIMEOUT) == "SELECT 1"
