"""
The encryption keys in PostgreSQL.

A deleted row stays on the disk until a vacuum, so a deletion vacuums the table. The key stays in the write-ahead log
and in backups until these are deleted.
"""

import secrets
from collections.abc import Collection, Mapping

from store.keys import KEY_LENGTH
from store.postgres.connection import Pool, Prepare


class PostgresKeys:
    """See `Keys`; all nodes share them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, dsn: str, *prepare: Prepare) -> "PostgresKeys":
        """Open the keys in the database *dsn*, which must have the tables; raises `LogUnavailable`."""
        return cls(await Pool.open(dsn, 1, *prepare))

    async def make(self, id: str) -> bytes:
        await self._pool.fetch(
            "INSERT INTO actor_keys VALUES ($1, $2) ON CONFLICT (actor) DO NOTHING",
            id,
            secrets.token_bytes(KEY_LENGTH),
        )
        return (await self.get([id]))[id]

    async def get(self, ids: Collection[str]) -> Mapping[str, bytes]:
        rows = await self._pool.fetch("SELECT actor, key FROM actor_keys WHERE actor = ANY ($1)", list(ids))
        return {row["actor"]: row["key"] for row in rows}

    async def find(self, prefix: str) -> Collection[str]:
        rows = await self._pool.fetch("SELECT actor FROM actor_keys WHERE starts_with(actor, $1)", prefix)
        return [row["actor"] for row in rows]

    async def destroy(self, ids: Collection[str]) -> None:
        deleted = await self._pool.fetch("DELETE FROM actor_keys WHERE actor = ANY ($1) RETURNING actor", list(ids))
        if deleted:
            await self._pool.fetch("VACUUM actor_keys")

    async def close(self) -> None:
        await self._pool.close()
