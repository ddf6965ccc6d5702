"""What a server kept in SQLite's files, moved into a PostgreSQL, for many to go on with."""

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
    """Says what was moved; ends the program with 1, and says why, when it can't be: then everything is as it was."""
    try:
        events = asyncio.run(_move(folder, dsn))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    except KeyboardInterrupt:
        sys.exit("Interrupted. Start it again: it moves all of it, or ends what it had come to.")
    print(f"{events:,} events, and all that goes with them, have moved to {describe_database(dsn)}.")
    print(f"Start servers and workers with --database from now on, one of each with --data {folder}:")
    print("there are the signing key, and what processes of services need.")


async def _move(folder: Path, dsn: str) -> int:
    """All of it, or nothing; how many events it was."""
    check_address(dsn)
    where = describe_database(dsn)
    with DataFolder(folder) as source:
        await prepare(dsn)
        with translate_errors(dsn):
            connection = await connect(dsn, timeout=None)  # it takes as long as it takes
            try:
                async with connection.transaction():
                    if not await source.is_copied_to(connection, where):
                        if await connection.fetchval(IS_HELD):  # whoever has it knows this log by its epoch
                            raise LogUnavailable(f"{where.capitalize()} is in use: stop all servers and workers first.")
                        async with jobs.take_over(connection, machine(folder)):
                            await copy(source, connection, progress.tell)
            except DATA_ERRORS as fault:
                raise LogUnavailable(
                    f"Something in {folder} can't be kept in a PostgreSQL: {describe_error(fault)}."
                ) from fault
            finally:
                await connection.close(timeout=1)
        source.retire(where)
        progress.tell(1)
        return source.tip()[0]
