"""
The lease of the read models: one node at a time writes them, and renews its lease to keep it.

The clock of the database decides. Every holder gets a token that is greater than all before. Every transaction of a
holder checks that its token is still the newest. So a node that lost the lease without noticing writes nothing more.
"""

from datetime import timedelta

from projections.engine.views import ViewsUnavailable
from store.postgres.connection import Connection, Pool

TERM = timedelta(seconds=3)
"""Term of a lease that is not renewed."""

TAKE = """
    INSERT INTO leases (name, token, holder, expires_at) VALUES ('views', 1, $1, clock_timestamp() + $2)
    ON CONFLICT (name) DO UPDATE
        SET token = leases.token + 1, holder = excluded.holder, expires_at = clock_timestamp() + $2
        WHERE leases.expires_at < clock_timestamp()
    RETURNING token
"""
RENEW = """
    UPDATE leases SET expires_at = clock_timestamp() + $2
        WHERE name = 'views' AND token = $1 AND expires_at > '-infinity' RETURNING token
"""
"""A renewal that the server carries out late, after the release, changes nothing."""
RELEASE = "UPDATE leases SET expires_at = '-infinity' WHERE name = 'views' AND token = $1 RETURNING token"
IS_HELD = "SELECT EXISTS (SELECT FROM leases WHERE expires_at >= clock_timestamp())"
CHECK = "SELECT token FROM leases WHERE name = 'views' FOR SHARE"


class LeaseLost(ViewsUnavailable):
    """Another node holds the lease of the read models; nothing was saved."""


class Lease:
    """The lease of this node. A node that never took it writes without a check, because it is the only node."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._token: int | None = None

    async def take(self, holder: str, term: timedelta = TERM) -> bool:
        """Take the lease if no other node holds it; return whether this node holds it now."""
        rows = await self._pool.fetch(TAKE, holder, term)
        if rows:
            self._token = rows[0]["token"]
        return bool(rows)

    async def renew(self, term: timedelta = TERM) -> bool:
        """Renew the lease; return whether this node still holds it."""
        return bool(await self._pool.fetch(RENEW, self._token, term))

    async def release(self) -> None:
        """Release the lease, so that another node can take it at once."""
        await self._pool.fetch(RELEASE, self._token)

    async def check(self, connection: Connection) -> None:
        """Raise `LeaseLost` if another node holds the lease; else keep it until this transaction ends."""
        if self._token is not None and await connection.fetchval(CHECK) != self._token:
            raise LeaseLost("Another node holds the lease of the read models.")
