"""The stored rows of read models, for a check against the log."""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from projections.engine.views import Checkpoint, ListPlace

StoredRow = tuple[ListPlace | None, int, bytes, Sequence[str]]
"""The place, position, document and sorted tags of a row."""


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


def stored_row(parent: str | None, sort: str | None, position: int, document: bytes, tags: Sequence[str]) -> StoredRow:
    """Return a row from its columns."""
    return (None if parent is None or sort is None else ListPlace(parent, sort)), position, document, sorted(tags)
