"""The stored rows of read models, for a check against the log."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol
from uuid import UUID

from projections.engine.views import Checkpoint, ListPlace

StoredRow = tuple[ListPlace | None, int, bytes, Sequence[str], Sequence[ListPlace]]
"""The place, position, document, sorted tags and sorted further places of a row."""


class RowReader(Protocol):
    """Reads the rows of one snapshot."""

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the checkpoints of all read models."""
        ...

    async def count(self, generation: int) -> int:
        """Return the number of rows of *generation*."""
        ...

    async def rows(self, generation: int, keys: Collection[UUID]) -> dict[UUID, StoredRow]:
        """Return the existing rows of *generation* with *keys*."""
        ...


def stored_row(
    parent: str | None,
    sort: str | None,
    position: int,
    document: bytes,
    tags: Sequence[str],
    places: Iterable[tuple[str, str]],
) -> StoredRow:
    """Return a row from its columns; *places* are the parents and sorts of its further places."""
    place = None if parent is None or sort is None else ListPlace(parent, sort)
    return place, position, document, sorted(tags), [ListPlace(*each) for each in sorted(places)]
