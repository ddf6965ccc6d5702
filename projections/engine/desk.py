"""Where rows are made anew: what there is no room for is stored where nobody reads it yet."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from projections.engine.projection import Projection
from projections.engine.sheet import Sheet
from projections.engine.views import Views
from store.log import Recorded

SOME = 200  # events that are worked on before anybody else may go on


class Desk:
    """Makes rows of *projections* under their *generations*, by kind.

    About *many* rows are written at once: of each kind there are so many more in memory than there is *room* for, and
    as many of those beside.
    """

    def __init__(
        self,
        views: Views,
        projections: Sequence[Projection[Any]],
        generations: Mapping[str, int],
        many: int,
        room: int,
    ) -> None:
        self.sheets: dict[str, Sheet[Any]] = {each.name: Sheet(each) for each in projections}
        self._views = views
        self._generations = generations
        self._many, self._room = many, room

    async def fold(self, events: Sequence[Recorded]) -> None:
        """Takes *events* in."""
        stored: dict[str, Mapping[UUID, bytes]] = {}
        for kind, sheet in self.sheets.items():
            generation = self._generations[kind]
            if missing := sheet.missing(events):
                stored[kind] = (await self._views.load({generation: missing}))[generation]
        for part in parts(events):
            for kind, sheet in self.sheets.items():
                sheet.fold(part, stored.get(kind))
            await asyncio.sleep(0)
        for kind, sheet in self.sheets.items():
            rows = sheet.put_away(self._room) if sheet.count > self._room + self._many else []
            if sheet.beside >= self._many:  # they are as many as events
                rows += sheet.take_beside()
            if rows:
                await self._views.fill(self._generations[kind], rows)

    async def clear(self) -> None:
        """Stores all that has changed."""
        for kind, sheet in self.sheets.items():
            if sheet.beside:
                await self._views.fill(self._generations[kind], sheet.take_beside())
            while sheet.is_changed:
                rows, removed = sheet.take(self._many)
                await self._views.fill(self._generations[kind], rows, removed)


def parts(events: Sequence[Recorded]) -> Iterator[Sequence[Recorded]]:
    for start in range(0, len(events), SOME):
        yield events[start : start + SOME]
