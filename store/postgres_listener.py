"""
Waking by PostgreSQL's NOTIFY: one connection of a node listens for all that goes on in it.

A connection can be gone without anybody noticing, so it is asked something now and then; when it doesn't answer,
another takes its place. A word that was lost meanwhile is made up for: who listens is woken whenever that begins.
"""

import asyncio
import logging
from collections.abc import Callable

import asyncpg

from store.postgres_connection import BROKEN, connect, target, words

PROBE = 10.0
"""Seconds between two questions, and that an answer may take at most."""

AGAIN = 0.2
"""Seconds between two attempts to listen again."""

Heard = Callable[[int | None], None]

logger = logging.getLogger(__name__)


class Listener:
    """Calls *heard* with the process id of whose transaction said something on *channel*, or None when in doubt."""

    def __init__(self, dsn: str, channel: str, heard: Heard, probe: float = PROBE) -> None:
        self._dsn = dsn
        self._channel = channel
        self._heard = heard
        self._probe = probe
        self._is_deaf = False
        self._task = asyncio.create_task(self._listen(), name="listener")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (*BROKEN, asyncpg.PostgresError) as error:
                if not self._is_deaf:  # it is said once, however long it lasts
                    logger.warning("Listens no more to %s, and tries again: %s", target(self._dsn), words(error))
                self._is_deaf = True
            await asyncio.sleep(AGAIN)

    async def _listen_once(self) -> None:
        """Until the connection is lost."""
        connection = await connect(self._dsn)
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self._channel, lambda _, pid, *__: self._heard(pid))
            self._heard(None)
            if self._is_deaf:
                logger.info("Listens again to %s", target(self._dsn))
            self._is_deaf = False
            while not lost.is_set():
                try:
                    await asyncio.wait_for(lost.wait(), self._probe)
                except TimeoutError:
                    await connection.execute("SELECT", timeout=self._probe)
        finally:
            connection.terminate()
