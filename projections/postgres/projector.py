"""
One projector that several nodes share.

The node that holds the lease runs the tasks of the projector. The projectors of the other nodes watch the checkpoints.
When the node with the lease dies, another takes over as soon as the lease has expired. A node that meets an event of a
newer version leaves the lease to the nodes of that version, until it is restarted.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from projections.engine.projection import Projection
from projections.engine.projector import PAUSE, TIMEOUT, Projector
from projections.engine.views import Checkpoint
from projections.postgres.lease import TERM, Lease
from projections.postgres.views import PostgresViews
from store import ids
from store.codec import UnknownEvent
from store.log import LogUnavailable
from store.postgres.log import PostgresLog

IDLE_INTERVAL = 0.2
"""Pause between two readings of the checkpoints, in seconds."""

BUSY_INTERVAL = 0.01
"""The same pause while a read waits for a position, in seconds."""

logger = logging.getLogger(__name__)


class SharedProjector(Projector):
    """A projector that is active on one node at a time; *term* is that of the lease."""

    def __init__(
        self,
        log: PostgresLog,
        views: PostgresViews,
        projections: Sequence[Projection[Any]],
        pause: float = PAUSE,
        term: timedelta = TERM,
    ) -> None:
        super().__init__(log, views, projections, pause)
        self.is_active = False
        self._is_outdated = False  # if true, another version writes events that this one does not know
        self._lease: Lease = views.lease
        self._term = term
        self._seen: dict[str, Checkpoint] | None = None  # None before the first reading
        self._holder = ids.new().hex
        self._is_wanted = asyncio.Event()

    def _start_tasks(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._persist(self._participate), name="projector")]

    async def wait_for(self, position: int, timeout: float = TIMEOUT) -> None:
        self._is_wanted.set()
        await super().wait_for(position, timeout)

    def _kept(self) -> Iterable[str]:
        """Return the kinds that the node with the lease keeps: an earlier version has no rows of a new read model."""
        return [kind for kind in self._projections if self.is_active or self._stale.get(kind, ()) is not None]

    async def _participate(self) -> None:
        """Watch the checkpoints until this node gets the lease; then run the tasks until it loses the lease."""
        self._seen = None
        while self._is_outdated or not await self._lease.take(self._holder, self._term):
            await self._watch(self._term.total_seconds() / 3)
        self._faults.clear()
        self.is_active = True
        tasks = [asyncio.create_task(self._persist(work)) for work in (self._follow, self._renew)]
        try:
            await self._keep_lease()
        finally:
            self.is_active = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._faults.clear()
            with suppress(LogUnavailable):
                await self._lease.release()

    async def _keep_lease(self) -> None:
        """Renew the lease until it is lost, or until the log has an event that this version does not know.

        While the database is away, no other node can take the lease.
        """
        is_held = True
        while is_held:
            await asyncio.sleep(self._term.total_seconds() / 3)
            try:
                is_held = await self._lease.renew(self._term)
                await self._log.position()  # raises if the log can't read its last events
            except UnknownEvent as event:
                logger.warning("A newer version keeps the read models from now on: %(reason)s", {"reason": event})
                self._is_outdated = True
                return
            except LogUnavailable:
                pass

    async def _watch(self, seconds: float) -> None:
        """Follow the checkpoints that another node moves."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            found = dict(await self._views.checkpoints())
            if found != self._seen:
                await self._update(found)
            self._recover("_participate")
            if self._waiters:
                await asyncio.sleep(BUSY_INTERVAL)
            else:
                self._is_wanted.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_INTERVAL):
                        await self._is_wanted.wait()

    async def _update(self, found: dict[str, Checkpoint]) -> None:
        """Accept checkpoints of good rows that only moved forward; review all others."""
        moved = {kind: found.get(kind) for kind in self._live}
        is_only_forward = (
            self._seen is not None
            and self._seen.keys() == found.keys()
            and all(each and _identity(each) == _identity(self._live[kind]) for kind, each in moved.items())
        )
        if is_only_forward and not self._stale:
            self._live = found
            self._notify()
        else:
            await self.review()
        self._seen = found


def _identity(checkpoint: Checkpoint) -> tuple[int, int, str]:
    return checkpoint.version, checkpoint.generation, checkpoint.epoch
