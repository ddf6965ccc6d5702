"""Rows on the desk: events are folded into them here, before they are saved."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Generic
from uuid import UUID

from projections.projection import Projection, View
from projections.views import Parked, Row
from store.log import Recorded

MAX_ERROR = 1000
SHOWN = 10  # faults at once that are logged with their traceback

logger = logging.getLogger(__name__)


class Sheet(Generic[View]):
    """Rows of one projection while events are folded into them.

    An event that can't be folded is parked, and the row goes on as if it had not been. Rows can be put away where they
    are stored, so that no more of them are on the desk than there is room for.
    """

    def __init__(self, projection: Projection[View]) -> None:
        self.parked: list[Parked] = []
        self._projection = projection
        self._views: dict[UUID, View | None] = {}
        self._changed: dict[UUID, Recorded] = {}
        self._beside: list[Row] = []
        self._away: set[UUID] = set()

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._changed)

    def keys(self, events: Sequence[Recorded]) -> set[UUID]:
        """The rows that *events* touch."""
        found = set()
        for recorded in events:
            with suppress(Exception):  # it will be parked when it is folded
                found.add(self._projection.key(recorded))
        return {key for key in found if key is not None}

    def fold(self, events: Sequence[Recorded], documents: Mapping[UUID, bytes] | None = None) -> None:
        """Takes *events* in; *documents* are the stored rows of those keys that were not folded into before."""
        for recorded in events:
            try:
                key = self._projection.key(recorded)
                if key is None:
                    continue
                before = self._view(key, documents or {})
                after = self._projection.fold(before, recorded)
                beside = () if self._projection.beside is None else self._projection.beside(before, after, recorded)
            except Exception as fault:  # whatever it is, it is this event's and this projection's
                self._park(recorded, fault)
                continue
            self._beside += beside
            if after is not before:
                self._views.pop(key, None)  # so that the dict is in the order of the last change
                self._views[key] = after
                self._changed[key] = recorded

    def missing(self, events: Sequence[Recorded]) -> set[UUID]:
        """The rows that *events* touch and that were put away."""
        return {key for key in self.keys(events) if key not in self._views} & self._away if self._away else set()

    def put_away(self, most: int) -> list[Row]:
        """Clears the desk of all but *most* rows, those that changed last; the ones that are to be stored for it."""
        rows = []
        for key in list(islice(self._views, max(0, len(self._views) - most))):
            view = self._views.pop(key)
            if view is None and key in self._changed and key in self._away:
                self._views[key] = None  # it is still to be removed from where it was stored
                continue
            recorded = self._changed.pop(key, None)
            if view is None:
                self._away.discard(key)
                continue
            self._away.add(key)
            if recorded is not None and (row := self._row(key, view, recorded)):
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
        for key in list(islice(self._changed, limit)):
            recorded, view = self._changed.pop(key), self._views[key]
            if view is None:
                removed.append(key)
            elif row := self._row(key, view, recorded):
                rows.append(row)
        return rows, removed

    def _row(self, key: UUID, view: View, recorded: Recorded) -> Row | None:
        """The row that *view* is stored as, which *recorded* was the last to change."""
        try:
            document, place = self._projection.encode(view), self._projection.place(view)
        except Exception as fault:
            self._park(recorded, fault)
            return None
        return Row(key=key, place=place, position=recorded.position, document=document)

    def _view(self, key: UUID, documents: Mapping[UUID, bytes]) -> View | None:
        if key in self._views or key not in documents:
            return self._views.get(key)
        return self._projection.decode(documents[key])

    def _park(self, recorded: Recorded, fault: Exception) -> None:
        kind = self._projection.name
        shown = fault if len(self.parked) < SHOWN else None
        logger.error("%s can't fold event %d, %s", kind, recorded.position, recorded.name, exc_info=shown)
        error = f"{type(fault).__name__}: {fault}"[:MAX_ERROR]
        self.parked.append(
            Parked(kind=kind, position=recorded.position, stream=recorded.stream, name=recorded.name, error=error)
        )
