"""
Waking by PostgreSQL's NOTIFY: one connection of a node listens for all that goes on in it.

A connection can be gone without anybody noticing, so it is asked something now and then; when it doesn't answer,
another takes its place. A word that was lost meanwhile is made up for: who listens is woken whenever that begins.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from store.log import LogUnavailable
from store.postgres.connection import DedicatedConnection, Prepare

if TYPE_CHECKING:
    from store.postgres.connection import Connection

PROBE_INTERVAL = 10.0
"""Seconds between two questions, and that an answer may take at most."""

RETRY_INTERVAL = 0.2
"""Seconds between two attempts to listen again."""

logger = logging.getLogger(__name__)


class Listener:
    """Calls *heard* with what a transaction said on one of the *channels*, and with "" when one may have said anything.

    Its *line* can be used besides, by one who writes: the database then wakes nobody for what it says itself, and that
    isn't heard. *prepare* is done with each new connection first.
    """

    def __init__(
        self,
        dsn: str,
        channels: Iterable[str],
        heard: Callable[[str], None],
        probe: float = PROBE_INTERVAL,
        *prepare: Prepare,
    ) -> None:
        self.line = DedicatedConnection(dsn, *prepare, self._begin)
        self._channels = tuple(channels)
        self._heard = heard
        self._probe = probe
        self._lost = asyncio.Event()
        self._is_deaf = False
        self._task = asyncio.create_task(self._listen(), name="listener")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self.line.close()

    async def _begin(self, connection: "Connection") -> None:
        own = await connection.fetchval("SELECT pg_backend_pid()")  # a pooler would make up another one
        connection.add_termination_listener(lambda _: self._lost.set())
        for channel in self._channels:
            await connection.add_listener(
                channel, lambda _, pid, __, said: None if pid == own else self._heard(str(said))
            )
        self._heard("")

    async def _listen(self) -> None:
        """Sees to it that the line is there."""
        while True:
            self._lost.clear()
            try:
                await self.line.fetch("SELECT", timeout=self._probe)
            except LogUnavailable as error:
                if not self._is_deaf:  # it is said once, however long it lasts
                    logger.warning("Listens no more, and tries again: %s", error)
                self._is_deaf = True
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            if self._is_deaf:
                logger.info("Listens again.")
            self._is_deaf = False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), self._probe)
