"""The stored rows of read models in an SQLite file."""

import sqlite3
from collections.abc import Collection, Sequence
from uuid import UUID

from projections.engine.rows import StoredRow, stored_row
from projections.engine.views import Checkpoint

CHECKPOINTS = "SELECT kind, version, generation, epoch, position FROM checkpoints"
ROW = "SELECT key, parent, sort, position, document, tags, id FROM rows WHERE generation = ? AND key = ?"
PLACES = "SELECT parent, sort FROM places WHERE id = ?"


class SqliteRowReader:
    """See `RowReader`. No server may use the file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    async def checkpoints(self) -> Sequence[Checkpoint]:
        return [
            Checkpoint(kind=kind, version=version, generation=generation, epoch=epoch, position=position)
            for kind, version, generation, epoch, position in self._database.execute(CHECKPOINTS)
        ]

    async def count(self, generation: int) -> int:
        statement = "SELECT count(*) FROM rows WHERE generation = ?"
        (count,) = self._database.execute(statement, (generation,)).fetchone()
        return int(count)

    async def rows(self, generation: int, keys: Collection[UUID]) -> dict[UUID, StoredRow]:
        found = (self._database.execute(ROW, (generation, key.bytes)).fetchone() for key in keys)
        return {
            UUID(bytes=key): stored_row(
                parent, sort, position, document, (tags or "").split(), self._database.execute(PLACES, (id_,))
            )
            for key, parent, sort, position, document, tags, id_ in filter(None, found)
        }
