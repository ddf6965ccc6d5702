"""Views folded straight from their streams: as new as the log, or as old as is asked for."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Generic
from uuid import UUID

from projections.projection import Projection, View
from projections.snapshot import Kept, Snapshots
from store.cache import Versions
from store.log import EventLog, Recorded

KEPT_BYTES = 64 * 1024 * 1024
"""Maximum size of the newest views that are kept of one projection, in bytes."""

MANY = 500
PIECE = 5000
"""Events that are read at once where views are made on the way."""


class Replay(Generic[View]):
    """Views of a projection whose rows have a stream each. The newest ones are kept, so that only what came since is
    read: an answer is never behind the log."""

    def __init__(self, log: EventLog, projection: Projection[View], snapshots: Snapshots[View] | None = None) -> None:
        self._log = log
        self._projection = projection
        self._snapshots = snapshots
        self._kept: Versions[UUID, Kept[View]] = Versions(KEPT_BYTES)

    async def get(
        self,
        stream: UUID,
        version: int | None = None,
        as_of: datetime | None = None,
        *,
        has_asked: bool = False,
    ) -> View | None:
        """The view now, or at *version*, or after the last event that was recorded by *as_of*.

        For who *has_asked* for the log's position, now may be then. None if there is none, or if *version* is still
        to come.
        """
        now = await self._now(stream, has_asked=has_asked)
        if version is not None and version > now.version:
            return None
        wanted = now.version if version is None else version
        if as_of is not None and now.at is not None and now.at > as_of:
            wanted = min(wanted, await self._version_at(stream, as_of, now.version))
        if wanted == now.version:
            return now.view
        begun, events = await self._read(stream, wanted)
        return await self._fold(events, begun.view)

    async def at(self, stream: UUID, versions: Collection[int]) -> Mapping[int, View | None]:
        """The view at each of *versions*, read at once; those that the stream hasn't come to are left out."""
        views: dict[int, View | None] = {}
        if not versions:
            return views
        first, last, wanted = min(versions), max(versions), frozenset(versions)
        begun, events = await self._read(stream, first)
        version, view = events[-1].version if events else begun.version, await self._fold(events, begun.view)
        if version == first:
            views[version] = view
        while first <= version < last and (events := await self._log.read(stream, version, min(version + PIECE, last))):
            version, view = events[-1].version, await asyncio.to_thread(self._note, events, view, wanted, views)
        return views

    def _note(
        self, events: Sequence[Recorded], view: View | None, wanted: Collection[int], views: dict[int, View | None]
    ) -> View | None:
        """The view after *events*; what it was at each version that is *wanted* is added to *views*."""
        for event in events:
            view = self._projection.replay((event,), view)
            if event.version in wanted:
                views[event.version] = view
        return view

    async def _version_at(self, stream: UUID, moment: datetime, newest: int) -> int:
        """The last version up to *moment*: in a stream time never goes back, so it is found by halving."""
        low, high = 0, newest
        while low < high:
            middle = (low + high + 1) // 2
            (recorded,) = await self._log.read(stream, after=middle - 1, until=middle)
            if recorded.recorded_at <= moment:
                low = middle
            else:
                high = middle - 1
        return low

    async def _now(self, stream: UUID, *, has_asked: bool) -> Kept[View]:
        kept: Kept[View] = self._kept.get(stream) or Kept()
        if has_asked and self._log.ends_at(stream, kept.version):
            self._keep(stream, kept)  # as what was used last
            return kept
        if kept.version:
            events = await self._log.read(stream, after=kept.version)
        else:
            kept, events = await self._read(stream)
        if events:
            kept = Kept(events[-1].version, events[-1].recorded_at, await self._fold(events, kept.view))
        self._keep(stream, kept)
        return kept

    async def _read(self, stream: UUID, until: int | None = None) -> tuple[Kept[View], Sequence[Recorded]]:
        """What to begin with, and the events that come after it, up to version *until*."""
        if self._snapshots is not None:
            return await self._snapshots.read(stream, until)
        return Kept(), await self._log.read(stream, until=until)

    async def _fold(self, events: Sequence[Recorded], view: View | None = None) -> View | None:
        if len(events) > MANY:  # that takes long enough for others to wait
            return await asyncio.to_thread(self._projection.replay, events, view)
        return self._projection.replay(events, view)

    def _keep(self, stream: UUID, kept: Kept[View]) -> None:
        known = self._kept.get(stream)
        if kept.version >= max(1, known.version if known is not None else 0):
            self._kept.put(stream, kept, kept.version)
