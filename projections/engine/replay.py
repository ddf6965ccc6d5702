"""Views folded from their streams, at the end of the log or at any earlier version."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Generic
from uuid import UUID

from cache.lru import Versions
from projections.engine.projection import Projection, View
from projections.engine.snapshot import Snapshots, VersionedView
from store.log import EventLog, RecordedEvent

MAX_CACHE = 16 * 1024 * 1024
"""Maximum size of the cached views of one projection, in bytes."""

INLINE = 500
"""Maximum number of events that are folded in the event loop. A thread folds more."""

READ = 5000
"""Events that are read at once where several versions of a stream are wanted."""


class Replay(Generic[View]):
    """Views of a projection whose rows have a stream each; never behind the log.

    The newest view of a stream is cached, so that only newer events are read. `MAX_CACHE = 0` turns the cache off:
    every read then folds the stream from its last snapshot.
    """

    def __init__(self, log: EventLog, projection: Projection[View], snapshots: Snapshots[View] | None = None) -> None:
        self._log = log
        self._projection = projection
        self._snapshots = snapshots
        self._cache: Versions[UUID, VersionedView[View]] = Versions(MAX_CACHE)

    async def get(
        self,
        stream: UUID,
        version: int | None = None,
        as_of: datetime | None = None,
        *,
        has_asked: bool = False,
    ) -> View | None:
        """Return the newest view, or that at *version*, or that after the last event recorded by *as_of*.

        With *has_asked* the caller has read the position of the log, and the newest view is that of then or later.
        The result is None if there is no view, or if the stream has not reached *version*.
        """
        now = await self._now(stream, has_asked=has_asked)
        if version is not None and version > now.version:
            return None
        wanted = now.version if version is None else version
        if as_of is not None and now.at is not None and now.at > as_of:
            wanted = min(wanted, await self._version_at(stream, as_of, now.version))
        if wanted == now.version:
            return now.view
        start, events = await self._read(stream, wanted)
        return await self._fold(events, start.view)

    def current(self, stream: UUID) -> View | None:
        """Return the cached view of *stream* if it is the newest; the caller has read the position of the log."""
        found: VersionedView[View] | None = self._cache.get(stream)
        return None if found is None or not self._log.ends_at(stream, found.version) else found.view

    def keep(self, stream: UUID, view: VersionedView[View]) -> None:
        """Cache *view* of *stream*, unless there is a newer one."""
        self._put(stream, view)

    async def at(self, stream: UUID, versions: Collection[int]) -> Mapping[int, View | None]:
        """Return the view at each of *versions* in one pass, without those that the stream has not reached."""
        views: dict[int, View | None] = {}
        if not versions:
            return views
        first, last, wanted = min(versions), max(versions), frozenset(versions)
        start, events = await self._read(stream, first)
        version, view = events[-1].version if events else start.version, await self._fold(events, start.view)
        if version == first:
            views[version] = view
        while first <= version < last and (events := await self._log.read(stream, version, min(version + READ, last))):
            version, view = events[-1].version, await asyncio.to_thread(self._collect, events, view, wanted, views)
        return views

    def _collect(
        self, events: Sequence[RecordedEvent], view: View | None, wanted: Collection[int], views: dict[int, View | None]
    ) -> View | None:
        """Return the view after *events*, and put the view at each *wanted* version into *views*."""
        for event in events:
            view = self._projection.replay((event,), view)
            if event.version in wanted:
                views[event.version] = view
        return view

    async def _version_at(self, stream: UUID, moment: datetime, newest: int) -> int:
        """Return the last version recorded by *moment*, by bisection: times never decrease in a stream."""
        low, high = 0, newest
        while low < high:
            middle = (low + high + 1) // 2
            (recorded,) = await self._log.read(stream, after=middle - 1, until=middle)
            if recorded.recorded_at <= moment:
                low = middle
            else:
                high = middle - 1
        return low

    async def _now(self, stream: UUID, *, has_asked: bool) -> VersionedView[View]:
        found: VersionedView[View] = self._cache.get(stream) or VersionedView()
        if has_asked and self._log.ends_at(stream, found.version):
            return found
        if found.version:
            events = await self._log.read(stream, after=found.version)
        else:
            found, events = await self._read(stream)
        if events:
            found = VersionedView(events[-1].version, events[-1].recorded_at, await self._fold(events, found.view))
        self._put(stream, found)
        return found

    async def _read(
        self, stream: UUID, until: int | None = None
    ) -> tuple[VersionedView[View], Sequence[RecordedEvent]]:
        """Return a view to start from, and the events after it, up to version *until*."""
        if self._snapshots is not None:
            return await self._snapshots.read(stream, until)
        return VersionedView(), await self._log.read(stream, until=until)

    async def _fold(self, events: Sequence[RecordedEvent], view: View | None = None) -> View | None:
        if len(events) > INLINE:
            return await asyncio.to_thread(self._projection.replay, events, view)
        return self._projection.replay(events, view)

    def _put(self, stream: UUID, view: VersionedView[View]) -> None:
        """Cache *view*, unless the cache has a newer one."""
        known = self._cache.get(stream)
        if view.version >= max(1, known.version if known is not None else 0):
            self._cache.put(stream, view, view.version)
