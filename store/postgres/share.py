"""
A share of the log's streams, for one of several processes that rebuild read models.

It serves the rebuild of a log of more than 50,000 events; see docs/decisions/0025-rebuild.md for its rate.
"""

from collections.abc import Sequence
from typing import Self

from store.log import Recorded
from store.postgres.connection import Pool
from store.postgres.rows import COLUMNS, event_from_row

EVENTS = f"""
    SELECT {COLUMNS} FROM stored_events WHERE notification_id > $1 AND notification_id <= $2
        AND get_byte(uuid_send(originator_id), 15) % $3 = $4 ORDER BY notification_id
"""


class PostgresShare:
    """The *number*-th of *count* shares, from 0. The last byte of a stream's id determines its share."""

    def __init__(self, pool: Pool, number: int, count: int) -> None:
        self._pool = pool
        self._number, self._count = number, count

    @classmethod
    async def open(cls, dsn: str, number: int, count: int) -> Self:
        """Open a share of the log in the database *dsn*, which must have the tables; raises `LogUnavailable`."""
        return cls(await Pool.open(dsn, 1), number, count)

    async def read(self, after: int, until: int) -> Sequence[Recorded]:
        """Return the share's events with positions above *after*, up to and including *until*."""
        return [event_from_row(row) for row in await self._pool.fetch(EVENTS, after, until, self._count, self._number)]

    async def close(self) -> None:
        await self._pool.close()
