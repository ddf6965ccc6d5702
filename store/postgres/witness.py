"""
Detection of a database that was restored to an earlier state.

A backup, or a replica that lacks the last commits, may replace the database while processes run. Their state in memory
is invalid then. No connection survives that, so each new connection looks up the newest event that this process has
seen. Positions are in commit order: if that event is unchanged, so are all before it.
"""

import asyncio
import logging

from store.log import LogRewound, LogUnavailable
from store.postgres.connection import Connection
from store.postgres.errors import describe_database

FOUND = """
    SELECT (SELECT value FROM meta WHERE name = 'epoch') AS epoch, pg_is_in_recovery() AS is_replica,
        (SELECT hash FROM stored_events WHERE notification_id = $1) AS hash
"""

REWOUND = "%(database)s was restored to an earlier state: %(reason)s. This process ends: start it again."

logger = logging.getLogger(__name__)


class Witness:
    """The newest event that this process has seen of the log *epoch* in the database *dsn*.

    The event *lost* is set when the database no longer has it; the process must end then.
    """

    def __init__(self, dsn: str, epoch: str) -> None:
        self.lost = asyncio.Event()
        self._name = describe_database(dsn).capitalize()
        self._epoch = epoch
        self._position = 0
        self._hash = b""
        self._message = ""

    def observe(self, position: int, hash_: bytes) -> None:
        """Note an event that was read or written."""
        if position > self._position:
            self._position, self._hash = position, hash_

    def ensure_intact(self) -> None:
        """Raise `LogRewound` if the database was found to be restored."""
        if self.lost.is_set():
            raise LogRewound(self._message)

    async def check(self, connection: Connection) -> None:
        """Check a new connection before its first use; raises `LogRewound` or `LogUnavailable`."""
        self.ensure_intact()
        position, hash_ = self._position, self._hash
        found = await connection.fetchrow(FOUND, position)
        assert found is not None
        if found["epoch"] != self._epoch:
            reason = "it has another log"
        elif position and found["hash"] != hash_:
            reason = f"event {position} is {'missing' if found['hash'] is None else 'different'}"
        else:
            return
        if found["is_replica"]:
            raise LogUnavailable(f"{self._name} is a replica that lags behind: name the primary.")
        if not self.lost.is_set():
            values = {"database": self._name, "reason": reason}
            self._message = REWOUND % values
            logger.critical(REWOUND, values)
            self.lost.set()
        self.ensure_intact()
