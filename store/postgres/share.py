"""A share of the log on PostgreSQL: all events of some of the streams, for a process that makes read models of them."""

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
    """The *number*-th of *count* shares, counted from 0: a stream is of the share that its id's last byte says."""

    def __init__(self, pool: Pool, number: int, count: int) -> None:
        self._pool = pool
        self._number, self._count = number, count

    @classmethod
    async def open(cls, dsn: str, number: int, count: int) -> Self:
        """Of the log in the database *dsn*, whose tables are there; raises `LogUnavailable`."""
        return cls(await Pool.open(dsn, 1), number, count)

    async def read(self, after: int, until: int) -> Sequence[Recorded]:
        """Its events from behind position *after* up to *until*."""
        return [event_from_row(row) for row in await self._pool.fetch(EVENTS, after, until, self._count, self._number)]

    async def close(self) -> None:
        await self._pool.close()
