"""The move of a server's data from SQLite to PostgreSQL, where several servers can share it."""

import asyncio
import sys
from pathlib import Path

from projections.postgres.lease import IS_HELD
from runner import jobs
from runner.machine import machine
from server import progress
from server.stores import prepare
from store.log import LogUnavailable
from store.move import DataFolder, copy
from store.postgres.connection import connect
from store.postgres.errors import check_address, describe_database, describe_error, translate_errors
from store.postgres.writer import DATA_ERRORS


def move(folder: Path, dsn: str) -> None:
    """Move the data in *folder* to the database *dsn*. Exit with 1 and the reason if that fails, without a change."""
    try:
        events = asyncio.run(_move(folder, dsn))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    except KeyboardInterrupt:
        sys.exit("Interrupted. Run the command again: it moves everything, or completes the move.")
    print(f"Moved {events:,} events, and all other data of the server, to {describe_database(dsn)}.")
    print(f"Start servers and workers with --database from now on, and one of each with --data {folder}:")
    print("that folder has the signing key and the state of running services.")


async def _move(folder: Path, dsn: str) -> int:
    """Move everything or nothing; return the number of events."""
    check_address(dsn)
    where = describe_database(dsn)
    with DataFolder(folder) as source:
        await prepare(dsn)
        with translate_errors(dsn):
            connection = await connect(dsn, timeout=None)  # a copy may take long
            try:
                async with connection.transaction():
                    if not await source.is_copied_to(connection, where):
                        if await connection.fetchval(IS_HELD):  # a running server caches this log's epoch
                            raise LogUnavailable(f"{where.capitalize()} is in use. Stop all servers and workers first.")
                        async with jobs.take_over(connection, machine(folder)):
                            await copy(source, connection, progress.show)
            except DATA_ERRORS as fault:
                raise LogUnavailable(
                    f"PostgreSQL can't store the data in {folder}: {describe_error(fault)}."
                ) from fault
            finally:
                await connection.close(timeout=1)
        source.retire(where)
        progress.show(1)
        return source.tip()[0]
