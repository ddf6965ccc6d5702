"""
A node that makes all rows anew, by two processes, until it is killed.

    python -m tests.projections.sharing DSN
"""

import asyncio
import sys

from projections.postgres.views import PostgresViews
from store.postgres.log import PostgresLog
from tests.projections.test_share import RAISED, sharing


async def main(dsn: str) -> None:
    async with sharing(await PostgresLog.open(dsn), await PostgresViews.open(dsn), RAISED):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
