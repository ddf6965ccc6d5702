"""The cursors in PostgreSQL, which all nodes share."""

from collections.abc import Sequence
from datetime import timedelta

from store.postgres.connection import Pool, Prepare

PUT = """
    INSERT INTO cursors (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
CLAIM = """
    INSERT INTO cursor_claims (name, holder, expires_at) VALUES ('cursors', $1, clock_timestamp() + $2)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
        WHERE cursor_claims.holder = excluded.holder OR cursor_claims.expires_at < clock_timestamp()
    RETURNING name
"""
"""The clock of the database decides."""


class PostgresCursors:
    """See `Cursors`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, dsn: str, *prepare: Prepare) -> "PostgresCursors":
        """Open the cursors in the database *dsn*, which must have the tables; raises `LogUnavailable`."""
        return cls(await Pool.open(dsn, 1, *prepare))

    async def get(self, names: Sequence[str]) -> dict[str, bytes]:
        rows = await self._pool.fetch("SELECT name, value FROM cursors WHERE name = ANY($1)", names)
        return {name: bytes(value) for name, value in rows}

    async def put(self, name: str, value: bytes) -> None:
        await self._pool.fetch(PUT, name, value)

    async def claim(self, holder: str, seconds: float) -> bool:
        return bool(await self._pool.fetch(CLAIM, holder, timedelta(seconds=seconds)))

    async def close(self) -> None:
        await self._pool.close()
