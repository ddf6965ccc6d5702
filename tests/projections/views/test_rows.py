"""Rows of the store, on every database."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from projections.engine.views import Advance, Slice, Views, ViewsUnavailable
from tests.projections.views.given import TAGGED, documents, row, save_rows


async def test_a_row_is_found_by_its_kind_and_key(views: Views) -> None:
    await save_rows(views, row(1, document=b"one"))
    await save_rows(views, row(1, document=b"other"), kind="other")
    assert await views.get("thing", UUID(int=1)) == b"one"
    assert await views.get("other", UUID(int=1)) == b"other"
    assert await views.get("thing", UUID(int=2)) is None
    assert await views.get("nothing", UUID(int=1)) is None


async def test_a_row_that_moves_to_another_place_leaves_the_old_one(views: Views) -> None:
    checkpoint = await save_rows(views, row(1, "a"), row(2, "b"))
    moved = Advance(before=checkpoint, after=replace(checkpoint, position=11), rows=[row(1, "c", document=b"moved")])
    await views.save([moved])
    assert await documents(views, Slice()) == ([b"{}", b"moved"], False, False)


async def test_a_row_without_a_place_is_in_no_list(views: Views) -> None:
    checkpoint = await save_rows(views, row(1, "a"))
    await views.save([Advance(before=checkpoint, after=replace(checkpoint, position=11), rows=[row(1)])])
    assert await documents(views, Slice()) == ([], False, False)
    assert await views.get("thing", UUID(int=1)) == b"{}"


async def test_a_removed_row_is_gone(views: Views) -> None:
    checkpoint = await save_rows(views, row(1, "a"), row(2, "b"))
    removed = Advance(before=checkpoint, after=replace(checkpoint, position=11), removed=[UUID(int=1)])
    await views.save([removed])
    assert await views.get("thing", UUID(int=1)) is None
    assert await documents(views, Slice()) == ([b"{}"], False, False)


async def test_several_rows_are_found_at_once(views: Views) -> None:
    await save_rows(views, *TAGGED)
    wanted = [TAGGED[0].key, UUID(int=99), TAGGED[2].key]
    assert await views.find("thing", wanted) == {TAGGED[0].key: b"1", TAGGED[2].key: b"3"}
    assert await views.find("other", wanted) == {}


async def test_a_closed_store_says_so(views: Views) -> None:
    await views.close()
    with pytest.raises(ViewsUnavailable, match="is closed"):
        await views.get("thing", UUID(int=1))
