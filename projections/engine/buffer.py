"""Rows of a projection in memory, between two writes to the store."""

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Generic
from uuid import UUID

from projections.engine.projection import Projection, View
from projections.engine.views import ParkedEvent, ViewRow
from store.log import RecordedEvent

MAX_ERROR = 1000
"""Maximum length of the error of a parked event, in characters."""

TRACEBACKS = 10
"""Maximum number of parked events of a buffer whose traceback is logged."""

logger = logging.getLogger(__name__)


class RowBuffer(Generic[View]):
    """Rows of one projection into which events are folded.

    An event that can't be folded is parked, and its row continues without it. Rows can be evicted to the store, which
    bounds the number of rows in memory.

    The keys of the dicts are the integers of the rows' UUIDs, because these are faster to hash and to compare.
    """

    def __init__(self, projection: Projection[View]) -> None:
        self.parked: list[ParkedEvent] = []
        self._projection = projection
        self._views: dict[int, View | None] = {}
        self._changed: dict[int, RecordedEvent] = {}
        self._beside: list[ViewRow] = []
        self._parts: dict[UUID, ViewRow | None] = {}
        self._evicted: set[int] = set()

    @property
    def is_changed(self) -> bool:
        """Whether there are rows to take."""
        return bool(self._changed)

    @property
    def count(self) -> int:
        """Number of rows in memory."""
        return len(self._views)

    @property
    def beside_count(self) -> int:
        """Number of rows that `take_beside` would return."""
        return len(self._beside)

    @property
    def part_count(self) -> int:
        """Number of rows that `take_parts` would return."""
        return len(self._parts)

    def keys(self, events: Sequence[RecordedEvent]) -> set[UUID]:
        """Return the keys of the rows that *events* touch."""
        found = {}
        key_of = self._projection.key
        for recorded in events:
            try:
                key = key_of(recorded)
            except Exception:  # `fold` parks the event
                continue
            if key is not None:
                found[key.int] = key
        return {*found.values()}

    def fold(self, events: Sequence[RecordedEvent], documents: Mapping[UUID, bytes] | None = None) -> None:
        """Fold *events* in; *documents* are the stored rows of keys that are not in memory."""
        views, changed = self._views, self._changed
        key_of, fold = self._projection.key, self._projection.fold
        beside_of, parts_of = self._projection.beside, self._projection.parts
        for recorded in events:
            try:
                key = key_of(recorded)
                if key is None:
                    continue
                id_ = key.int
                before = views.get(id_)
                if before is None and documents and id_ not in views and key in documents:
                    before = self._projection.decode(documents[key])
                after = fold(before, recorded)
                if beside_of is not None:
                    self._beside += beside_of(before, after, recorded)
                if parts_of is not None:
                    self._parts |= parts_of(before, after, recorded)
            except Exception as fault:  # any fault concerns this event and this projection only
                self._park(recorded, fault)
                continue
            if after is not before:
                views.pop(id_, None)  # keeps the dict in the order of the last change
                views[id_] = after
                changed[id_] = recorded

    def missing(self, events: Sequence[RecordedEvent]) -> set[UUID]:
        """Return the keys of evicted rows that *events* touch."""
        if not self._evicted:
            return set()
        return {key for key in self.keys(events) if key.int in self._evicted and key.int not in self._views}

    def evict(self, limit: int) -> list[ViewRow]:
        """Evict all but the *limit* rows that changed last; return the rows to store."""
        rows = []
        for id_ in list(islice(self._views, max(0, len(self._views) - limit))):
            view = self._views.pop(id_)
            if view is None and id_ in self._changed and id_ in self._evicted:
                self._views[id_] = None  # the stored row is still to be deleted
                continue
            recorded = self._changed.pop(id_, None)
            if view is None:
                self._evicted.discard(id_)
                continue
            self._evicted.add(id_)
            if recorded is not None and (row := self._row(id_, view, recorded)):
                rows.append(row)
        return rows

    def take_beside(self) -> list[ViewRow]:
        """Return the rows beside others that are new since the last call."""
        rows, self._beside = self._beside, []
        return rows

    def take_parts(self) -> tuple[list[ViewRow], list[UUID]]:
        """Return the parts that changed since the last call, and the keys of deleted ones."""
        parts, self._parts = self._parts, {}
        return [row for row in parts.values() if row is not None], [key for key, row in parts.items() if row is None]

    def take(self, limit: int | None = None) -> tuple[list[ViewRow], list[UUID]]:
        """Return at most *limit* rows that changed since they were last taken, and the keys of deleted rows."""
        rows: list[ViewRow] = []
        removed: list[UUID] = []
        for id_ in list(islice(self._changed, limit)):
            recorded, view = self._changed.pop(id_), self._views[id_]
            if view is None:
                removed.append(UUID(int=id_))
            elif row := self._row(id_, view, recorded):
                rows.append(row)
        return rows, removed

    def _row(self, id_: int, view: View, recorded: RecordedEvent) -> ViewRow | None:
        """Return the row of *view*, whose last event is *recorded*; park that event if the row can't be encoded."""
        try:
            document, place = self._projection.encode(view), self._projection.place(view)
            places = () if self._projection.places is None else tuple(self._projection.places(view))
        except Exception as fault:
            self._park(recorded, fault)
            return None
        return ViewRow(key=UUID(int=id_), place=place, position=recorded.position, document=document, places=places)

    def _park(self, recorded: RecordedEvent, fault: Exception) -> None:
        kind = self._projection.name
        traceback = fault if len(self.parked) < TRACEBACKS else None
        logger.error(
            "Event parked: projection=%s position=%d name=%s",
            kind,
            recorded.position,
            recorded.name,
            exc_info=traceback,
        )
        error = f"{type(fault).__name__}: {fault}"[:MAX_ERROR]
        self.parked.append(
            ParkedEvent(kind=kind, position=recorded.position, stream=recorded.stream, name=recorded.name, error=error)
        )
