"""
The pages of lists that were read last, until an event changes them.

To read and decode a page of 20 environments, or 20 pages of a deployment each, takes 0.3 ms or more of CPU
(`bench.query`). `PAGES_BYTES = 0` turns the cache off.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Sequence
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from cache.dependent import DependentCache
from projections.engine.projector import Projector
from projections.engine.views import Page
from store.log import Event, EventLog, RecordedEvent

PAGES_BYTES = 16 * 1024 * 1024
"""Maximum size of the cached pages of a projection's lists, in bytes."""

JSON_BYTE = 8
"""Size of a page for each byte of its JSON, in bytes, as measured on deployments."""

PAGE = 500
"""Size of each page beside its nodes, in bytes, with its part of the key."""

Node = TypeVar("Node")


class RecentPages(Generic[Node]):
    """The pages of the lists of one projection; safe for several threads.

    *kinds* are the events that change rows, and *subjects* returns what an event changes. Pages depend on subjects:
    the streams of their rows, and whatever decides which rows they have.
    """

    def __init__(
        self,
        log: EventLog,
        projector: Projector,
        kind: str,
        kinds: Collection[type[Event]],
        subjects: Callable[[RecordedEvent], Iterable[UUID]],
    ) -> None:
        self._pages: DependentCache[Hashable, Sequence[Page[Node]], UUID] = DependentCache(PAGES_BYTES)
        self._projector = projector
        self._kind = kind
        self._subjects = subjects
        self._position = log.watch(self._on_events, kinds)

    async def get(
        self,
        key: Hashable,
        read: Callable[[], Awaitable[Sequence[Page[Node]]]],
        subjects: Callable[[Sequence[Page[Node]]], Iterable[UUID]],
    ) -> Sequence[Page[Node]]:
        """Return the pages of *key*, which *read* returns, and which depend on *subjects*.

        The caller has waited until the rows contain the last position that it read of the log. So do the pages.
        """
        found = self._pages.get(key)
        if found is None:
            with self._pages.computation() as computation:
                # The rows may lack an event that was announced before the computation began.
                has_all = self._projector.contains(self._kind, self._position)
                found = await read()
                if has_all:
                    weight = len(msgspec.json.encode(found)) * JSON_BYTE + len(found) * PAGE
                    self._pages.put(key, found, weight, frozenset(subjects(found)), computation)
        return found

    def _on_events(self, events: Sequence[RecordedEvent]) -> None:
        self._position = events[-1].position  # first: another thread may begin a computation meanwhile
        self._pages.change({subject for event in events for subject in self._subjects(event)})
