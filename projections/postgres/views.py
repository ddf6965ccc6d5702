"""
The store of read models on PostgreSQL: in the log's own database, for any number of nodes.

One node at a time writes, the one that holds the lease (`projections.postgres.lease`): its writes are refused once
another has taken the lease over. All nodes read.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Self
from uuid import UUID

import msgspec

from projections.engine.views import (
    Checkpoint,
    CheckpointMoved,
    Filter,
    Page,
    Parked,
    Progress,
    Row,
    Slice,
    Views,
    ViewsUnavailable,
)
from projections.postgres.lease import Lease
from projections.postgres.listing import Listing, Listings
from store.log import LogUnavailable
from store.postgres.connection import Pool, Prepare
from store.postgres.schema import migrate

if TYPE_CHECKING:
    from store.postgres.connection import Connection, Record

CONNECTIONS = 4
PRUNED = 500  # rows at once, so that saving never waits for long

COLUMNS = ("generation", "key", "parent", "sort", "position", "document", "tagged")
CHECKPOINTS = "SELECT kind, version, generation, epoch, position, hash FROM checkpoints"
GET = "SELECT document FROM documents JOIN checkpoints USING (generation) WHERE kind = $1 AND key = $2"
FIND = "SELECT key, document FROM documents JOIN checkpoints USING (generation) WHERE kind = $1 AND key = ANY ($2)"
PARKED = """
    SELECT kind, first.position, stream, name, error FROM checkpoints CROSS JOIN LATERAL (
        SELECT * FROM parked WHERE parked.generation = checkpoints.generation ORDER BY position LIMIT $1
    ) AS first ORDER BY first.position, kind
"""
LOAD = """
    SELECT d.generation, d.key, d.document FROM unnest($1::bigint[], $2::uuid[]) AS wanted (generation, key)
    JOIN documents d USING (generation, key)
"""
PUT = """
    INSERT INTO documents (generation, key, parent, sort, position, document, tagged)
    SELECT generation, key, parent, sort, position, document, array_to_tsvector(string_to_array(tags, ' '))
    FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::text[])
        AS put (generation, key, parent, sort, position, document, tags)
    ON CONFLICT (generation, key) DO UPDATE SET parent = excluded.parent, sort = excluded.sort,
        position = excluded.position, document = excluded.document, tagged = excluded.tagged
"""
REMOVE = """
    DELETE FROM documents USING unnest($1::bigint[], $2::uuid[]) AS gone (generation, key)
    WHERE documents.generation = gone.generation AND documents.key = gone.key
"""
PARK = """
    INSERT INTO parked (generation, position, stream, name, error)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::text[])
    ON CONFLICT (generation, position) DO UPDATE SET
        stream = excluded.stream, name = excluded.name, error = excluded.error
"""
STEP = """
    INSERT INTO checkpoints (kind, version, generation, epoch, position, hash)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bytea[])
    ON CONFLICT (kind) DO UPDATE SET
        version = excluded.version, generation = excluded.generation, epoch = excluded.epoch,
        position = excluded.position, hash = excluded.hash
"""
UNREAD = """
    SELECT generation FROM generations g
    WHERE NOT EXISTS (SELECT 1 FROM checkpoints WHERE checkpoints.generation = g.generation)
        AND ($1::bigint[] IS NULL OR generation = ANY ($1)) LIMIT 1
"""
FILLING = "SELECT set_config('synchronous_commit', 'off', true), set_config('gin_pending_list_limit', '4MB', true)"
"""Settings of a transaction that fills a generation that nobody reads.

Its commit does not wait for the disk: the commit that switches to the generation does. The tags' index keeps its
pending list long, because nobody searches it yet.
"""
REMOVE_SOME = """
    WITH next AS (SELECT ctid, key FROM documents WHERE generation = $1 AND key >= $2 ORDER BY key LIMIT $3),
        removed AS (DELETE FROM documents WHERE ctid IN (SELECT ctid FROM next))
    SELECT key FROM next ORDER BY key DESC LIMIT 1
"""
"""From a key on: what was removed before stays in the index for a while, and would be gone through each time."""
LEAST = UUID(int=0)


PLANS = {
    "plan_cache_mode": "force_custom_plan",  # for as many rows as there are now, which may be made anew at any time
    "enable_bitmapscan": "on",  # the index of tags knows no order
    # Tags that the index has put off are looked through by every search for one.
    "gin_pending_list_limit": "64kB",
}
"""Settings of the connections."""


class PostgresViews(Views):
    def __init__(self, pool: Pool) -> None:
        self.lease = Lease(pool)
        self._pool = pool
        self._is_closed = False

    @classmethod
    async def open(cls, dsn: str, *prepare: Prepare) -> Self:
        """The store in the database *dsn*, whose tables are made or brought up to date."""
        with _unavailable():
            await migrate(dsn)
            return cls(await Pool.open(dsn, CONNECTIONS, *prepare, _prepare, **PLANS))

    async def close(self) -> None:
        self._is_closed = True
        await self._pool.close()

    # Reading

    async def get(self, kind: str, key: UUID) -> bytes | None:
        rows = await self._read(GET, kind, key)
        return rows[0]["document"] if rows else None

    async def find(self, kind: str, keys: Collection[UUID]) -> Mapping[UUID, bytes]:
        return {row["key"]: row["document"] for row in await self._read(FIND, kind, list(keys))}

    async def list(
        self, kind: str, parent: str, part: Slice, *, is_descending: bool = False, only: Filter | None = None
    ) -> Page[bytes]:
        listing = Listing(kind, parent, part, is_descending, only)
        return listing.page(await self._read(listing.statement, *listing.parameters))

    async def list_all(
        self, kind: str, parent: str, part: Slice, narrowed: Sequence[Filter], *, is_descending: bool = False
    ) -> Sequence[Page[bytes]]:
        if len(narrowed) < 2 or not all(each.tags for each in narrowed):
            return [await self.list(kind, parent, part, is_descending=is_descending, only=each) for each in narrowed]
        listings = Listings(kind, parent, part, is_descending, narrowed)
        return listings.pages(await self._read(listings.statement, *listings.parameters))

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return {row["kind"]: _checkpoint(row) for row in await self._read(CHECKPOINTS)}

    async def parked(self, limit: int = 10) -> Sequence[Parked]:
        return [Parked(**dict(row)) for row in await self._read(PARKED, limit)]

    async def load(self, wanted: Mapping[int, Collection[UUID]]) -> Mapping[int, Mapping[UUID, bytes]]:
        pairs = [(generation, key) for generation, keys in wanted.items() for key in keys]
        found: dict[int, dict[UUID, bytes]] = {generation: {} for generation in wanted}
        for generation, key, document in await self._read(LOAD, *_columns(pairs, 2)):
            found[generation][key] = document
        return found

    async def _read(self, statement: str, *parameters: object) -> "Sequence[Record]":
        with _unavailable():
            self._check_open()
            return await self._pool.fetch(statement, *parameters)

    # Writing

    async def save(self, steps: Sequence[Progress]) -> None:
        async with self._writing() as connection:
            kinds = [step.after.kind for step in steps]
            found = await connection.fetch(f"{CHECKPOINTS} WHERE kind = ANY ($1) ORDER BY kind FOR UPDATE", kinds)
            _check(steps, {row["kind"]: _checkpoint(row) for row in found})
            await _put(connection, steps)
            checkpoints = [msgspec.structs.astuple(step.after) for step in steps]
            await connection.execute(STEP, *_columns(checkpoints, 6))
            if any(step.before is None or step.before.generation != step.after.generation for step in steps):
                await connection.execute("ANALYZE documents")  # else lists of so many new rows are planned badly

    async def begin(self, kind: str) -> int:
        async with self._writing() as connection:
            generation: int = await connection.fetchval(
                "INSERT INTO generations (kind) VALUES ($1) RETURNING generation", kind
            )
            return generation

    async def fill(self, generation: int, rows: Sequence[Row], removed: Sequence[UUID] = ()) -> None:
        async with self._writing() as connection:
            await connection.fetch(FILLING)
            once = [(generation, *_row(row), row.tags) for row in rows if row.tags]  # these are nearly all
            if once:
                await connection.copy_records_to_table("documents", records=once, columns=COLUMNS)
            others = [(generation, *_row(row), None) for row in rows if not row.tags]
            if others:
                await connection.execute(PUT, *_columns(others, len(COLUMNS)))
            if removed:
                await connection.execute(REMOVE, [generation] * len(removed), removed)

    async def forget(self, kind: str) -> None:
        async with self._writing() as connection:
            await connection.execute("DELETE FROM checkpoints WHERE kind = $1", kind)
        await self.prune()

    async def prune(self, only: Collection[int] | None = None) -> None:
        done: tuple[int, UUID] | None = (0, LEAST)
        while done:
            done = await self._prune(only, *done)

    async def _prune(self, only: Collection[int] | None, done: int, place: UUID) -> tuple[int, UUID] | None:
        """Removes some of what nobody reads, of generation *done* from *place* on; how far it is, None at the end."""
        async with self._writing() as connection:
            generation = await connection.fetchval(UNREAD, None if only is None else list(only))
            if generation is None:
                return None
            begin = place if generation == done else LEAST
            last: UUID | None = await connection.fetchval(REMOVE_SOME, generation, begin, PRUNED)
            if last is None and begin == LEAST:
                await connection.execute("DELETE FROM parked WHERE generation = $1", generation)
                await connection.execute("DELETE FROM generations WHERE generation = $1", generation)
            return generation, last or LEAST

    @asynccontextmanager
    async def _writing(self) -> "AsyncIterator[Connection]":
        """A transaction that is refused if the lease was had and is another's now."""
        with _unavailable():
            self._check_open()
            async with self._pool.transaction() as connection:
                await self.lease.check(connection)
                yield connection

    def _check_open(self) -> None:
        if self._is_closed:
            raise ViewsUnavailable("The store of read models is closed.")


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except ViewsUnavailable:
        raise
    except LogUnavailable as fault:
        raise ViewsUnavailable(str(fault)) from fault


async def _prepare(connection: "Connection") -> None:
    """Has COPY take tags; nobody reads them."""
    await connection.set_type_codec("tsvector", schema="pg_catalog", encoder=_vector, decoder=bytes, format="binary")


def _vector(tags: Sequence[str]) -> bytes:
    """Tags as PostgreSQL takes a tsvector, which it sorts: their number, and each with its end and no positions."""
    return len(tags).to_bytes(4, "big") + ("\0\0\0".join(tags) + "\0\0\0").encode()


def _checkpoint(row: "Record") -> Checkpoint:
    return Checkpoint(**dict(row))


def _check(steps: Sequence[Progress], found: Mapping[str, Checkpoint]) -> None:
    for step in steps:
        before, after = step.before, step.after
        if found.get(after.kind) != before:
            raise CheckpointMoved(after.kind)
        if before and before.generation == after.generation and before.position >= after.position:
            raise ValueError(f"a checkpoint only moves forward, not from {before.position} to {after.position}")


async def _put(connection: "Connection", steps: Sequence[Progress]) -> None:
    """All that has changed, in a statement for each sort of it."""
    rows = [(step.after.generation, *_row(row), " ".join(row.tags) or None) for step in steps for row in step.rows]
    removed = [(step.after.generation, key) for step in steps for key in step.removed]
    parked = [
        (step.after.generation, each.position, each.stream, each.name, each.error)
        for step in steps
        for each in step.parked
    ]
    for statement, records in ((PUT, rows), (REMOVE, removed), (PARK, parked)):
        if records:
            await connection.execute(statement, *_columns(records, len(records[0])))


def _row(row: Row) -> tuple[UUID, str | None, str | None, int, bytes]:
    parent, sort = (None, None) if row.place is None else (row.place.parent, row.place.sort)
    return row.key, parent, sort, row.position, row.document


def _columns(records: Sequence[tuple[object, ...]], count: int) -> list[tuple[object, ...]]:
    return list(zip(*records, strict=True)) if records else [()] * count
