"""
Whether the database is still the one that this process has come to know.

It may be put back to an earlier state while processes run: a backup takes its place, or a replica that lacks the last
commits. What they have in memory is of events then that aren't there, or that are others by now. No connection
outlasts that, so every new one is asked for the newest event that was seen: positions are in the order of commits, and
if that one is as it was, all before it are.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from store.log import LogRewound, LogUnavailable
from store.postgres.connection import describe_database

if TYPE_CHECKING:
    from store.postgres.connection import Connection

FOUND = """
    SELECT (SELECT value FROM meta WHERE name = 'epoch') AS epoch, pg_is_in_recovery() AS is_replica,
        (SELECT hash FROM stored_events WHERE notification_id = $1) AS hash
"""

logger = logging.getLogger(__name__)


class Witness:
    """Knows the newest event that was seen of the log of *epoch* in the database *dsn*.

    It is *lost* when that event isn't there any more. Nothing that this process knows counts then: it has to end.
    """

    def __init__(self, dsn: str, epoch: str) -> None:
        self.lost = asyncio.Event()
        self._name = describe_database(dsn).capitalize()
        self._epoch = epoch
        self._position = 0
        self._hash = b""
        self._why = ""

    def saw(self, position: int, hash_: bytes) -> None:
        if position > self._position:
            self._position, self._hash = position, hash_

    def stand(self) -> None:
        """Raises `LogRewound` once that was found."""
        if self.lost.is_set():
            raise LogRewound(self._why)

    async def check(self, connection: "Connection") -> None:
        """To be done with every new connection before it is used; raises `LogRewound`, or `LogUnavailable`."""
        self.stand()
        position, hash_ = self._position, self._hash
        found = await connection.fetchrow(FOUND, position)
        assert found is not None
        if found["epoch"] != self._epoch:
            why = "it holds another log"
        elif position and found["hash"] != hash_:
            why = f"event {position} is {'gone' if found['hash'] is None else 'another one'}"
        else:
            return
        if found["is_replica"]:
            raise LogUnavailable(f"{self._name}: it is a replica that is behind: name the primary.")
        if not self.lost.is_set():
            self._why = f"{self._name} was put back to an earlier state: {why}. This process ends: start it again."
            logger.critical("%s", self._why)
            self.lost.set()
        self.stand()
