"""Rows on the desk: events are folded into them here, before they are saved."""

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Generic
from uuid import UUID

from projections.engine.projection import Projection, View
from projections.engine.views import Parked, Row
from store.log import Recorded

MAX_ERROR = 1000
SHOWN = 10  # faults at once that are logged with their traceback

logger = logging.getLogger(__name__)


class Sheet(Generic[View]):
    """Rows of one projection while events are folded into them.

    An event that can't be folded is parked, and the row goes on as if it had not been. Rows can be put away where they
    are stored, so that no more of them are on the desk than there is room for.

    Rows are kept by their keys' integers, which are compared and hashed much quicker than UUIDs.
    """

    def __init__(self, projection: Projection[View]) -> None:
        self.parked: list[Parked] = []
        self._projection = projection
        self._views: dict[int, View | None] = {}
        self._changed: dict[int, Recorded] = {}
        self._beside: list[Row] = []
        self._away: set[int] = set()

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._changed)

    @property
    def count(self) -> int:
        """How many rows are on the desk."""
        return len(self._views)

    @property
    def beside(self) -> int:
        """How many rows beside are to be taken."""
        return len(self._beside)

    def keys(self, events: Sequence[Recorded]) -> set[UUID]:
        """The rows that *events* touch."""
        found = {}
        key_of = self._projection.key
        for recorded in events:
            try:
                key = key_of(recorded)
            except Exception:  # it will be parked when it is folded
                continue
            if key is not None:
                found[key.int] = key
        return {*found.values()}

    def fold(self, events: Sequence[Recorded], documents: Mapping[UUID, bytes] | None = None) -> None:
        """Takes *events* in; *documents* are the stored rows of those keys that were not folded into before."""
        views, changed = self._views, self._changed
        key_of, fold, beside_of = self._projection.key, self._projection.fold, self._projection.beside
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
            except Exception as fault:  # whatever it is, it is this event's and this projection's
                self._park(recorded, fault)
                continue
            if after is not before:
                views.pop(id_, None)  # so that the dict is in the order of the last change
                views[id_] = after
                changed[id_] = recorded

    def missing(self, events: Sequence[Recorded]) -> set[UUID]:
        """The rows that *events* touch and that were put away."""
        if not self._away:
            return set()
        return {key for key in self.keys(events) if key.int in self._away and key.int not in self._views}

    def put_away(self, most: int) -> list[Row]:
        """Clears the desk of all but *most* rows, those that changed last; the ones that are to be stored for it."""
        rows = []
        for id_ in list(islice(self._views, max(0, len(self._views) - most))):
            view = self._views.pop(id_)
            if view is None and id_ in self._changed and id_ in self._away:
                self._views[id_] = None  # it is still to be removed from where it was stored
                continue
            recorded = self._changed.pop(id_, None)
            if view is None:
                self._away.discard(id_)
                continue
            self._away.add(id_)
            if recorded is not None and (row := self._row(id_, view, recorded)):
                rows.append(row)
        return rows

    def take_beside(self) -> list[Row]:
        """The rows beside that came since they were last taken."""
        rows, self._beside = self._beside, []
        return rows

    def take(self, limit: int | None = None) -> tuple[list[Row], list[UUID]]:
        """At most *limit* rows that changed since they were last taken, to be written, and the keys to be removed."""
        rows: list[Row] = []
        removed: list[UUID] = []
        for id_ in list(islice(self._changed, limit)):
            recorded, view = self._changed.pop(id_), self._views[id_]
            if view is None:
                removed.append(UUID(int=id_))
            elif row := self._row(id_, view, recorded):
                rows.append(row)
        return rows, removed

    def _row(self, id_: int, view: View, recorded: Recorded) -> Row | None:
        """The row that *view* is stored as, which *recorded* was the last to change."""
        try:
            document, place = self._projection.encode(view), self._projection.place(view)
        except Exception as fault:
            self._park(recorded, fault)
            return None
        return Row(key=UUID(int=id_), place=place, position=recorded.position, document=document)

    def _park(self, recorded: Recorded, fault: Exception) -> None:
        kind = self._projection.name
        shown = fault if len(self.parked) < SHOWN else None
        logger.error("%s can't fold event %d, %s", kind, recorded.position, recorded.name, exc_info=shown)
        error = f"{type(fault).__name__}: {fault}"[:MAX_ERROR]
        self.parked.append(
            Parked(kind=kind, position=recorded.position, stream=recorded.stream, name=recorded.name, error=error)
        )
