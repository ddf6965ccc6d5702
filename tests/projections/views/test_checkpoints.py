"""Checkpoints, parked events and generations, on every database."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from projections.engine.views import Advance, CheckpointMoved, Slice, Views
from projections.postgres import views as postgres
from projections.postgres.views import PostgresViews
from projections.sqlite.views import SqliteViews
from tests.postgres import pages as pages_of
from tests.projections.views.given import PARKED, documents, park, row, save_rows


async def test_rows_checkpoint_and_parked_events_are_saved_together_or_not_at_all(views: Views) -> None:
    thing, other = await save_rows(views, row(1)), await save_rows(views, kind="other")
    good = Advance(before=thing, after=replace(thing, position=11), rows=[row(2)], parked=[PARKED])
    wrong = Advance(before=replace(other, position=9), after=replace(other, position=11))
    with pytest.raises(CheckpointMoved):
        await views.save([good, wrong])
    assert await views.get("thing", UUID(int=2)) is None
    assert await views.checkpoints() == {"thing": thing, "other": other}
    assert await views.parked() == []
    await views.save([good])
    assert await views.get("thing", UUID(int=2)) == b"{}"
    assert await views.checkpoints() == {"thing": good.after, "other": other}
    assert await views.parked() == [PARKED]


async def test_the_first_parked_events_of_each_kind_are_returned(views: Views) -> None:
    for kind, count in (("thing", 30), ("other", 3)):
        before = await save_rows(views, kind=kind)
        await views.save([Advance(before=before, after=replace(before, position=99), parked=park(kind, count))])
    both = [*park("other", 3), *park("thing", 10)]
    assert await views.parked() == sorted(both, key=lambda each: (each.position, each.kind))
    assert await views.parked(limit=1) == [*park("other", 1), *park("thing", 1)]


async def test_reading_parked_events_costs_little_however_many_there_are(database: str, in_memory: SqliteViews) -> None:
    on_postgres = await PostgresViews.open(database)
    for views in (on_postgres, in_memory):
        for kind, count in (("thing", 5000), ("other", 5)):
            before = await save_rows(views, kind=kind)
            await views.save([Advance(before=before, after=replace(before, position=9999), parked=park(kind, count))])
    async with on_postgres._pool.transaction() as connection:
        assert await pages_of(connection, postgres.PARKED, 10) < 20
    await on_postgres.close()
    steps: list[None] = []
    (connection_,) = in_memory._connections
    connection_.set_progress_handler(lambda: steps.append(None), 1)
    assert len(await in_memory.parked()) == 15
    assert len(steps) < 1000


async def test_a_second_writer_is_detected(views: Views) -> None:
    thing = await save_rows(views)
    await views.save([Advance(before=thing, after=replace(thing, position=11))])
    with pytest.raises(CheckpointMoved):
        await views.save([Advance(before=thing, after=replace(thing, position=12))])
    with pytest.raises(CheckpointMoved):
        await views.save([Advance(before=None, after=replace(thing, position=12))])


@pytest.mark.parametrize("position", [9, 10])
async def test_a_checkpoint_only_moves_forward(views: Views, position: int) -> None:
    thing = await save_rows(views)
    with pytest.raises(ValueError, match="only moves forward"):
        await views.save([Advance(before=thing, after=replace(thing, position=position))])


async def test_a_new_generation_is_not_read_until_a_checkpoint_names_it(views: Views) -> None:
    old = await save_rows(views, row(1, "a", document=b"old"), row(2, "b"))
    await views.save([Advance(before=old, after=replace(old, position=11), parked=[PARKED])])
    old = replace(old, position=11)
    generation = await views.begin("thing")
    await views.fill(generation, [row(1, "a", document=b"new")])
    assert await documents(views, Slice()) == ([b"old", b"{}"], False, False)
    assert await views.get("thing", UUID(int=1)) == b"old"
    new = replace(old, generation=generation, version=2, position=5)
    await views.save([Advance(before=old, after=new, rows=[row(3, "c")], removed=[UUID(int=9)])])
    assert await documents(views, Slice()) == ([b"new", b"{}"], False, False)
    assert await views.get("thing", UUID(int=2)) is None
    assert await views.parked() == []
    assert await views.checkpoints() == {"thing": new}
