"""
The store of read models on PostgreSQL, in the database of the log, for any number of nodes.

The node that holds the lease writes (see `projections.postgres.lease`). Its writes fail as soon as another node has
taken the lease. All nodes read.
"""

import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Self
from uuid import UUID

import msgspec

from projections.engine.views import (
    EVERYTHING,
    Advance,
    Checkpoint,
    CheckpointMoved,
    Page,
    ParkedEvent,
    RowFilter,
    Slice,
    SortRange,
    ViewRow,
    Views,
    ViewsUnavailable,
)
from projections.postgres.lease import Lease
from projections.postgres.listing import MergedListing, PostgresListing, each_page, each_statement
from projections.postgres.search import NarrowedListing, PostgresSearch
from store.log import LogUnavailable
from store.postgres.connection import Connection, Pool, Prepare, Record
from store.postgres.schema import migrate

CONNECTIONS = 4
"""Connections of the pool."""

PRUNED = 500
"""Rows that are pruned in one transaction; more would let a save wait."""

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
LEAVE = """
    DELETE FROM places p USING unnest($1::bigint[], $2::uuid[], $3::text[]) AS now (generation, key, places)
    WHERE p.generation = now.generation AND p.key = now.key
        AND NOT EXISTS (SELECT 1 FROM json_array_elements(now.places::json) AS each WHERE each->>0 = p.parent)
"""
ENTER = """
    INSERT INTO places (generation, key, parent, sort)
    SELECT now.generation, now.key, each->>0, each->>1
    FROM unnest($1::bigint[], $2::uuid[], $3::text[]) AS now (generation, key, places)
    CROSS JOIN json_array_elements(now.places::json) AS each
    ON CONFLICT (generation, key, parent) DO UPDATE SET sort = excluded.sort WHERE places.sort <> excluded.sort
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
"""Deletes rows from a key on. Deleted rows stay in the index for a while, and a search from the start would visit them.
"""

LEAST_KEY = UUID(int=0)


PLANS = {
    "plan_cache_mode": "force_custom_plan",  # a rebuild may change the number of rows at any time
    "enable_bitmapscan": "on",  # the index of tags has no order
    "gin_pending_list_limit": "64kB",  # every search scans the pending list of the index
}
"""Settings of the connections."""


class PostgresViews(Views):
    """The store of read models in a PostgreSQL database."""

    def __init__(self, pool: Pool) -> None:
        self.lease = Lease(pool)
        self._pool = pool
        self._is_closed = False

    @classmethod
    async def open(cls, dsn: str, *prepare: Prepare) -> Self:
        """Open the store in the database *dsn*, and create or migrate its tables."""
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
        self, kind: str, parent: str, part: Slice, *, is_descending: bool = False, only: RowFilter | None = None
    ) -> Page[bytes]:
        listing = (
            PostgresListing(kind, parent, part, is_descending)
            if only is None
            else NarrowedListing(kind, parent, part, is_descending, only)
        )
        return listing.page(await self._read(listing.statement, *listing.parameters))

    async def list_each(
        self, kind: str, parents: Sequence[str], part: Slice, *, is_descending: bool = False
    ) -> Sequence[Page[bytes]]:
        if not parents:
            return []
        found = await self._read(each_statement(part, is_descending), list(parents), kind, part.size + 1)
        return each_page(found, len(parents), part)

    async def list_merged(
        self,
        kind: str,
        groups: Sequence[Sequence[str]],
        part: Slice,
        *,
        is_descending: bool = False,
        within: SortRange = EVERYTHING,
    ) -> Sequence[Page[bytes]]:
        listing = MergedListing(kind, groups, part, is_descending, within)
        return listing.pages(await self._read(listing.statement, *listing.parameters))

    async def list_all(
        self, kind: str, parent: str, part: Slice, filters: Sequence[RowFilter], *, is_descending: bool = False
    ) -> Sequence[Page[bytes]]:
        if len(filters) < 2 or not all(each.tags for each in filters):
            return [await self.list(kind, parent, part, is_descending=is_descending, only=each) for each in filters]
        search = PostgresSearch(kind, parent, part, is_descending, filters)
        return search.pages(await self._read(search.statement, *search.parameters))

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return {row["kind"]: _checkpoint(row) for row in await self._read(CHECKPOINTS)}

    async def parked(self, limit: int = 10) -> Sequence[ParkedEvent]:
        return [ParkedEvent(**dict(row)) for row in await self._read(PARKED, limit)]

    async def load(self, wanted: Mapping[int, Collection[UUID]]) -> Mapping[int, Mapping[UUID, bytes]]:
        pairs = [(generation, key) for generation, keys in wanted.items() for key in keys]
        found: dict[int, dict[UUID, bytes]] = {generation: {} for generation in wanted}
        for generation, key, document in await self._read(LOAD, *_columns(pairs, 2)):
            found[generation][key] = document
        return found

    async def _read(self, statement: str, *parameters: object) -> Sequence[Record]:
        with _unavailable():
            self._check_open()
            return await self._pool.fetch(statement, *parameters)

    # Writing

    async def save(self, advances: Sequence[Advance]) -> None:
        async with self._writing() as connection:
            kinds = [each.after.kind for each in advances]
            found = await connection.fetch(f"{CHECKPOINTS} WHERE kind = ANY ($1) ORDER BY kind FOR UPDATE", kinds)
            _check(advances, {row["kind"]: _checkpoint(row) for row in found})
            await _put(connection, advances)
            checkpoints = [msgspec.structs.astuple(each.after) for each in advances]
            await connection.execute(STEP, *_columns(checkpoints, 6))
            if any(each.before is None or each.before.generation != each.after.generation for each in advances):
                await connection.execute("ANALYZE documents")  # plans of lists depend on the number of rows

    async def begin(self, kind: str) -> int:
        async with self._writing() as connection:
            generation: int = await connection.fetchval(
                "INSERT INTO generations (kind) VALUES ($1) RETURNING generation", kind
            )
            return generation

    async def fill(self, generation: int, rows: Sequence[ViewRow], removed: Sequence[UUID] = ()) -> None:
        async with self._writing() as connection:
            await connection.fetch(FILLING)
            once = [(generation, *_row(row), row.tags) for row in rows if row.tags]
            if once:  # most rows; COPY is faster, and they have no earlier version
                await connection.copy_records_to_table("documents", records=once, columns=COLUMNS)
            others = [(generation, *_row(row), None) for row in rows if not row.tags]
            if others:
                await connection.execute(PUT, *_columns(others, len(COLUMNS)))
            await _place(connection, [(generation, row) for row in rows])
            if removed:
                await connection.execute(REMOVE, [generation] * len(removed), removed)

    async def forget(self, kind: str) -> None:
        async with self._writing() as connection:
            await connection.execute("DELETE FROM checkpoints WHERE kind = $1", kind)
        await self.prune()

    async def prune(self, only: Collection[int] | None = None) -> None:
        next_: tuple[int, UUID] | None = (0, LEAST_KEY)
        while next_:
            next_ = await self._prune(only, *next_)

    async def _prune(self, only: Collection[int] | None, current: int, key: UUID) -> tuple[int, UUID] | None:
        """Delete some rows of a generation that is not read, those of *current* from *key* on.

        Returns the generation and the key to continue with, or None at the end.
        """
        async with self._writing() as connection:
            generation = await connection.fetchval(UNREAD, None if only is None else list(only))
            if generation is None:
                return None
            begin = key if generation == current else LEAST_KEY
            last: UUID | None = await connection.fetchval(REMOVE_SOME, generation, begin, PRUNED)
            if last is None and begin == LEAST_KEY:
                await connection.execute("DELETE FROM parked WHERE generation = $1", generation)
                await connection.execute("DELETE FROM generations WHERE generation = $1", generation)
            return generation, last or LEAST_KEY

    @asynccontextmanager
    async def _writing(self) -> "AsyncIterator[Connection]":
        """Open a transaction; raise `LeaseLost` if this node has lost the lease."""
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


async def _prepare(connection: Connection) -> None:
    """Register an encoder of tags for COPY. Tags are never read back."""
    await connection.set_type_codec("tsvector", schema="pg_catalog", encoder=_vector, decoder=bytes, format="binary")


def _vector(tags: Sequence[str]) -> bytes:
    """Encode tags as a binary tsvector: their number, then each tag with a null byte and no positions.

    PostgreSQL sorts them.
    """
    return len(tags).to_bytes(4, "big") + ("\0\0\0".join(tags) + "\0\0\0").encode()


def _checkpoint(row: Record) -> Checkpoint:
    return Checkpoint(**dict(row))


def _check(advances: Sequence[Advance], found: Mapping[str, Checkpoint]) -> None:
    for each in advances:
        before, after = each.before, each.after
        if found.get(after.kind) != before:
            raise CheckpointMoved(after.kind)
        if before and before.generation == after.generation and before.position >= after.position:
            raise ValueError(f"A checkpoint only moves forward, not from {before.position} to {after.position}.")


async def _put(connection: Connection, advances: Sequence[Advance]) -> None:
    """Write all changes, with one statement for each table and kind of change."""
    rows = [(each.after.generation, *_row(row), " ".join(row.tags) or None) for each in advances for row in each.rows]
    removed = [(each.after.generation, key) for each in advances for key in each.removed]
    parked = [
        (each.after.generation, event.position, event.stream, event.name, event.error)
        for each in advances
        for event in each.parked
    ]
    for statement, records in ((PUT, rows), (REMOVE, removed), (PARK, parked)):
        if records:
            await connection.execute(statement, *_columns(records, len(records[0])))
    await _place(connection, [(each.after.generation, row) for each in advances for row in each.rows])


async def _place(connection: Connection, rows: Sequence[tuple[int, ViewRow]]) -> None:
    """Move *rows*, each of a generation, to their further places."""
    moved = [
        (generation, row.key, json.dumps([(place.parent, place.sort) for place in row.places]))
        for generation, row in rows
        if row.places
    ]
    for statement in (LEAVE, ENTER) if moved else ():
        await connection.execute(statement, *_columns(moved, 3))


def _row(row: ViewRow) -> tuple[UUID, str | None, str | None, int, bytes]:
    parent, sort = (None, None) if row.place is None else (row.place.parent, row.place.sort)
    return row.key, parent, sort, row.position, row.document


def _columns(records: Sequence[tuple[object, ...]], count: int) -> list[tuple[object, ...]]:
    return list(zip(*records, strict=True)) if records else [()] * count
