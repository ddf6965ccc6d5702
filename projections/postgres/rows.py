"""The stored rows of read models in PostgreSQL."""

from collections.abc import Collection, Sequence
from uuid import UUID

from projections.engine.rows import StoredRow, stored_row
from projections.engine.views import Checkpoint
from store.postgres.connection import Connection

CHECKPOINTS = "SELECT kind, version, generation, epoch, position FROM checkpoints"
ROWS = """
    SELECT key, parent, sort, position, document, tsvector_to_array(tagged), ARRAY(
        SELECT ARRAY[p.parent, p.sort] FROM places p WHERE p.generation = d.generation AND p.key = d.key
    ) FROM documents d
    WHERE generation = $1 AND key = ANY ($2)
"""


class PostgresRowReader:
    """See `RowReader`; the transaction of *connection* reads one snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def checkpoints(self) -> Sequence[Checkpoint]:
        return [
            Checkpoint(kind=kind, version=version, generation=generation, epoch=epoch, position=position)
            for kind, version, generation, epoch, position in await self._connection.fetch(CHECKPOINTS)
        ]

    async def count(self, generation: int) -> int:
        statement = "SELECT count(*) FROM documents WHERE generation = $1"
        return int(await self._connection.fetchval(statement, generation))

    async def rows(self, generation: int, keys: Collection[UUID]) -> dict[UUID, StoredRow]:
        return {
            key: stored_row(parent, sort, position, document, tags or (), map(tuple, places))
            for key, parent, sort, position, document, tags, places in await self._connection.fetch(
                ROWS, generation, list(keys)
            )
        }
