"""
Who writes the read models: one node at a time, for as long as it says again and again that it is there.

The database's clock decides. Every holder gets a token greater than the last, and each transaction of a holder makes
sure that its token is still the one: so who was thought dead, and comes back, can write nothing more.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from projections.engine.views import ViewsUnavailable
from store.postgres.connection import Pool

if TYPE_CHECKING:
    from store.postgres.connection import Connection

TERM = timedelta(seconds=3)
"""How long it is had, unless it is renewed."""

TAKE = """
    INSERT INTO leases (name, token, holder, expires_at) VALUES ('views', 1, $1, clock_timestamp() + $2)
    ON CONFLICT (name) DO UPDATE
        SET token = leases.token + 1, holder = excluded.holder, expires_at = clock_timestamp() + $2
        WHERE leases.expires_at < clock_timestamp()
    RETURNING token
"""
RENEW = "UPDATE leases SET expires_at = clock_timestamp() + $2 WHERE name = 'views' AND token = $1 RETURNING token"
RELEASE = "UPDATE leases SET expires_at = '-infinity' WHERE name = 'views' AND token = $1 RETURNING token"
IS_HAD = "SELECT EXISTS (SELECT FROM leases WHERE expires_at >= clock_timestamp())"
CHECK = "SELECT token FROM leases WHERE name = 'views' FOR SHARE"


class LeaseLost(ViewsUnavailable):
    """Another node writes the read models now; nothing was saved."""


class Lease:
    """Who never took it writes without: there is nobody else then."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._token: int | None = None

    async def take(self, holder: str, term: timedelta = TERM) -> bool:
        """Whether it is had now: not, as long as it is another's."""
        rows = await self._pool.fetch(TAKE, holder, term)
        if rows:
            self._token = rows[0]["token"]
        return bool(rows)

    async def renew(self, term: timedelta = TERM) -> bool:
        """Whether it is still had."""
        return bool(await self._pool.fetch(RENEW, self._token, term))

    async def release(self) -> None:
        """Lets another have it at once."""
        await self._pool.fetch(RELEASE, self._token)

    async def check(self, connection: "Connection") -> None:
        """Raises `LeaseLost` if another has it; otherwise nobody gets it before this transaction is over."""
        if self._token is not None and await connection.fetchval(CHECK) != self._token:
            raise LeaseLost("Another node writes the read models now.")
