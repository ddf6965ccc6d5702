"""
Notifications by PostgreSQL's NOTIFY, over one connection of a node.

A broken connection may look idle, so it is probed at an interval and replaced after a failure. Notifications may be
lost meanwhile, so each new connection begins with a notification of its own.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from store.log import LogUnavailable
from store.postgres.connection import Connection, DedicatedConnection, Prepare

PROBE_INTERVAL = 10.0
"""Interval of the probes, and the timeout of one, in seconds."""

RETRY_INTERVAL = 0.2
"""Interval of the attempts to reconnect, in seconds."""

logger = logging.getLogger(__name__)


class Listener:
    """Calls *callback* with the payload of each notification on *channels*, and with "" when some may have been lost.

    A writer may use the *connection*, too; its own notifications are ignored. Each new connection is first passed to
    *prepare*.
    """

    def __init__(
        self,
        dsn: str,
        channels: Iterable[str],
        callback: Callable[[str], None],
        probe: float = PROBE_INTERVAL,
        *prepare: Prepare,
    ) -> None:
        self.connection = DedicatedConnection(dsn, *prepare, self._begin)
        self._channels = tuple(channels)
        self._callback = callback
        self._probe = probe
        self._lost = asyncio.Event()
        self._is_lost = False
        self._task = asyncio.create_task(self._listen(), name="listener")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self.connection.close()

    async def _begin(self, connection: Connection) -> None:
        own = await connection.fetchval("SELECT pg_backend_pid()")  # a pooler reports another one to the driver
        connection.add_termination_listener(lambda _: self._lost.set())
        for channel in self._channels:
            await connection.add_listener(
                channel, lambda _, pid, __, payload: None if pid == own else self._callback(str(payload))
            )
        self._callback("")

    async def _listen(self) -> None:
        """Keep the connection open."""
        while True:
            self._lost.clear()
            try:
                await self.connection.fetch("SELECT", timeout=self._probe)
            except LogUnavailable as error:
                if not self._is_lost:  # logged once in each outage
                    values = {"pause": RETRY_INTERVAL, "error": str(error)}
                    logger.warning("Connection for notifications lost; retrying every %(pause)s s: %(error)s", values)
                self._is_lost = True
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            if self._is_lost:
                logger.info("Connection for notifications restored")
            self._is_lost = False
            with suppress(TimeoutError):
                async with asyncio.timeout(self._probe):
                    await self._lost.wait()
