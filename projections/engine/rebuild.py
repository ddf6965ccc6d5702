"""A rebuild of read models from the log, into generations that are not read yet."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from projections.engine.buffer import RowBuffer
from projections.engine.projection import Projection
from projections.engine.views import Views
from store.log import RecordedEvent

CHUNK = 200
"""Events that are folded before other tasks may run."""


class Rebuild:
    """Folds events into rows of *projections*, and stores them under their *generations*.

    A write has about *batch* rows. For each projection, *room* rows and one batch are in memory at most, and as many
    rows beside, and parts.
    """

    def __init__(
        self,
        views: Views,
        projections: Sequence[Projection[Any]],
        generations: Mapping[str, int],
        batch: int,
        room: int,
    ) -> None:
        self.buffers: dict[str, RowBuffer[Any]] = {each.name: RowBuffer(each) for each in projections}
        self._views = views
        self._generations = generations
        self._batch, self._room = batch, room

    async def fold(self, events: Sequence[RecordedEvent]) -> None:
        """Fold *events* in, and store rows that there is no room for."""
        stored: dict[str, Mapping[UUID, bytes]] = {}
        for kind, buffer in self.buffers.items():
            generation = self._generations[kind]
            if missing := buffer.missing(events):
                stored[kind] = (await self._views.load({generation: missing}))[generation]
        for chunk in chunks(events):
            for kind, buffer in self.buffers.items():
                buffer.fold(chunk, stored.get(kind))
            await asyncio.sleep(0)
        for kind, buffer in self.buffers.items():
            rows = buffer.evict(self._room) if buffer.count > self._room + self._batch else []
            if buffer.beside_count >= self._batch:
                rows += buffer.take_beside()
            parts, gone = buffer.take_parts() if buffer.part_count >= self._batch else ([], [])
            if rows or parts or gone:
                await self._views.fill(self._generations[kind], rows + parts, gone)

    async def flush(self) -> None:
        """Store all changed rows."""
        for kind, buffer in self.buffers.items():
            if buffer.beside_count:
                await self._views.fill(self._generations[kind], buffer.take_beside())
            if buffer.part_count:
                await self._views.fill(self._generations[kind], *buffer.take_parts())
            while buffer.is_changed:
                rows, removed = buffer.take(self._batch)
                await self._views.fill(self._generations[kind], rows, removed)


def chunks(events: Sequence[RecordedEvent]) -> Iterator[Sequence[RecordedEvent]]:
    """Yield *events* in chunks."""
    for start in range(0, len(events), CHUNK):
        yield events[start : start + CHUNK]
