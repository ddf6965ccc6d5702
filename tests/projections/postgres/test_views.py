"""The store of read models on PostgreSQL: the cost of its statements."""

from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from projections.engine.views import Advance, Checkpoint, RowFilter, Slice, ViewRow
from projections.postgres import views as postgres
from projections.postgres.listing import PostgresListing
from projections.postgres.search import NarrowedListing
from projections.postgres.views import PostgresViews
from store import ids
from tests.postgres import pages as pages_of
from tests.projections.postgres.database import select_number
from tests.projections.views.given import row, save_rows, tag_row


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_narrowed_list_costs_little_however_long_it_is(database: str, is_known: bool) -> None:
    """Also for tags that were frequent once, with and without statistics of that time."""
    views = await PostgresViews.open(database)
    before = await save_rows(views)
    filters = [
        None,
        *(RowFilter(tags=tags) for tags in ((("once",),), (("once",), ("odd",)), (("nothing",),), (("odd",),))),
    ]

    async def pages_read() -> list[int]:
        part = Slice(first=20)
        listings = [
            NarrowedListing("thing", "", part, True, only) if only else PostgresListing("thing", "", part, True)
            for only in filters
        ]
        async with views._pool.connection() as connection:
            return [await pages_of(connection, listing.statement, *listing.parameters) for listing in listings]

    async def write(begin: int, end: int) -> Checkpoint:
        rows = [tag_row(n, "once" if n < 1_100 else "now", "odd" if n % 2 else "even") for n in range(begin, end)]
        after = replace(before, position=end)
        await views.save([Advance(before=before, after=after, rows=rows)])
        return after

    before = await write(1_000, 1_500)
    async with views._pool.connection() as connection:
        if is_known:
            await connection.execute("ANALYZE")
    await pages_read()  # the first run reads the catalogs
    few = await pages_read()
    before = await write(1_500, 6_000)
    for short, long in zip(few, await pages_read(), strict=True):
        assert long < 5 * short
    await views.close()


async def test_pruning_costs_the_same_however_many_rows_were_pruned(database: str) -> None:
    """Also while a backup keeps the deleted rows in the table."""
    views = await PostgresViews.open(database)
    generation = await views.begin("thing")
    await views.fill(generation, [row(number) for number in range(1, 3_000)])
    backup = await asyncpg.connect(database)
    async with backup.transaction(isolation="repeatable_read"), views._pool.connection() as connection:
        await backup.fetch("SELECT FROM documents")
        last, looked_at = postgres.LEAST_KEY, []
        for _ in range(5):
            looked_at.append(await pages_of(connection, postgres.REMOVE_SOME, generation, last, 100))
            last = await connection.fetchval(postgres.REMOVE_SOME, generation, last, 400)
        assert max(looked_at[1:]) < 1.5 * looked_at[0]
    await backup.close()
    await views.prune()
    assert await views.load({generation: [UUID(int=2_999)]}) == {generation: {}}
    await views.close()


async def test_rows_and_their_checkpoint_are_saved_together_and_the_statistics_are_updated(database: str) -> None:
    views = await PostgresViews.open(database)
    generation = await views.begin("thing")
    new = ViewRow(key=ids.new(), place=None, position=1, document=b"{}")
    checkpoint = Checkpoint(kind="thing", version=1, generation=generation, epoch="e", position=1)
    no_text = Checkpoint(kind="thing", version=1, generation=generation, epoch="\0", position=1)
    with pytest.raises(asyncpg.DataError):
        await views.save([Advance(before=None, after=no_text, rows=[new])])
    assert select_number(database, "SELECT count(*) FROM documents") == 0
    await views.save([Advance(before=None, after=checkpoint, rows=[new])])
    assert select_number(database, "SELECT reltuples::int FROM pg_class WHERE relname = 'documents'") == 1
    await views.close()
