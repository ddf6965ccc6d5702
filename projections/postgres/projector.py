"""
One projector for several nodes: that of the node with the lease works, those of the others see how far it is.

When the node that works dies, another takes over as soon as the lease is out.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from projections.engine.projection import Projection
from projections.engine.projector import PAUSE, TIMEOUT, Projector
from projections.engine.views import Checkpoint
from projections.postgres.lease import TERM, Lease
from projections.postgres.views import PostgresViews
from store import ids
from store.log import LogUnavailable
from store.postgres.log import PostgresLog

LOOK = 0.2
"""Seconds between two looks at how far the others are."""

HASTE = 0.01
"""The same while somebody waits for it."""


class SharedProjector(Projector):
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
        self._lease: Lease = views.lease
        self._term = term
        self._seen: dict[str, Checkpoint] | None = None  # before the first look
        self._holder = ids.new().hex
        self._is_wanted = asyncio.Event()

    def _begun(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._persist(self._take_part), name="projector")]

    async def wait_for(self, position: int, timeout: float = TIMEOUT) -> None:
        self._is_wanted.set()
        await super().wait_for(position, timeout)

    async def _take_part(self) -> None:
        """Looks how far the others are until the lease can be had; then works until it is lost."""
        self._seen = None
        while not await self._lease.take(self._holder, self._term):
            await self._look_on(self._term.total_seconds() / 3)
        self._faults.clear()
        self.is_active = True
        works = [asyncio.create_task(self._persist(work)) for work in (self._follow, self._renew)]
        try:
            await self._keep_lease()
        finally:
            self.is_active = False
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            self._faults.clear()
            with suppress(LogUnavailable):
                await self._lease.release()

    async def _keep_lease(self) -> None:
        """Until it is lost; a database that is away has nobody else take it."""
        is_kept = True
        while is_kept:
            await asyncio.sleep(self._term.total_seconds() / 3)
            with suppress(LogUnavailable):
                is_kept = await self._lease.renew(self._term)

    async def _look_on(self, seconds: float) -> None:
        """Has the position follow the checkpoints that another node moves."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            found = dict(await self._views.checkpoints())
            if found != self._seen:
                await self._see(found)
            self._goes_on("_take_part")
            if self._waiters:
                await asyncio.sleep(HASTE)
            else:
                self._is_wanted.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._is_wanted.wait(), LOOK)

    async def _see(self, found: dict[str, Checkpoint]) -> None:
        """Rows that were good and have only come further are good still; any others are looked at closely."""
        moved = {kind: found.get(kind) for kind in self._live}
        is_only_further = (
            self._seen is not None
            and self._seen.keys() == found.keys()
            and all(checkpoint and _place(checkpoint) == _place(self._live[kind]) for kind, checkpoint in moved.items())
        )
        if is_only_further and not self._stale:
            self._live = found
            self._moved()
        else:
            await self._review()
        self._seen = found


def _place(checkpoint: Checkpoint) -> tuple[int, int, str]:
    return checkpoint.version, checkpoint.generation, checkpoint.epoch
