"""Views folded straight from their streams: as new as the log, or as old as is asked for."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Generic
from uuid import UUID

from msgspec import Struct

from projections.projection import Projection, View
from store.log import EventLog, Recorded

KEPT = 1000
MANY = 500


class Kept(Struct, Generic[View], frozen=True):
    """A stream's view at *version*; *at* is when its last event was recorded."""

    version: int = 0
    at: datetime | None = None
    view: View | None = None


class Replay(Generic[View]):
    """Views of a projection whose rows have a stream each. The newest ones are kept, so that only what came since is
    read, and it is always read: an answer is never behind the log."""

    def __init__(self, log: EventLog, projection: Projection[View]) -> None:
        self._log = log
        self._projection = projection
        self._kept: OrderedDict[UUID, Kept[View]] = OrderedDict()

    async def get(self, stream: UUID, version: int | None = None, as_of: datetime | None = None) -> View | None:
        """The view now, or at *version*, or after the last event that was recorded by *as_of*.

        None if there is none then, or if *version* is still to come.
        """
        now = await self._now(stream)
        if version is not None and version > now.version:
            return None
        is_newest = version is None or version == now.version
        if is_newest and (as_of is None or now.at is None or now.at <= as_of):
            return now.view
        events = await self._log.read(stream, until=version)
        if as_of is not None:
            events = events[: max((each.version for each in events if each.recorded_at <= as_of), default=0)]
        return await self._fold(events)

    async def _now(self, stream: UUID) -> Kept[View]:
        kept = self._kept.get(stream, Kept())
        events = await self._log.read(stream, after=kept.version)
        if events:
            view = await self._fold(events, kept.view)
            kept = Kept(events[-1].version, events[-1].recorded_at, view)
        self._keep(stream, kept)
        return kept

    async def _fold(self, events: Sequence[Recorded], view: View | None = None) -> View | None:
        if len(events) > MANY:  # that takes long enough for others to wait
            return await asyncio.to_thread(self._projection.replay, events, view)
        return self._projection.replay(events, view)

    def _keep(self, stream: UUID, kept: Kept[View]) -> None:
        if kept.version >= max(1, self._kept.get(stream, Kept()).version):
            self._kept[stream] = kept
            self._kept.move_to_end(stream)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
