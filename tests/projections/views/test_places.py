"""Narrower lists of rows that change, on every database."""

from itertools import chain
from uuid import UUID

import pytest
from msgspec.structs import replace

from projections.engine.views import Advance, ListPlace, Page, Slice, SortRange, ViewRow, Views
from tests.projections.views.given import row, save_rows


def placed(number: int, *parents: str) -> ViewRow:
    sort = f"{number:02}"
    places = tuple(ListPlace(parent, sort) for parent in parents)
    return replace(row(number, sort, document=str(number).encode()), places=places)


def numbers(page: Page[bytes]) -> list[int]:
    return [int(edge.node) for edge in page.edges]


async def test_a_row_moves_to_another_list_when_it_changes(views: Views) -> None:
    checkpoint = await save_rows(views, *(placed(number, "open", "all") for number in range(5)))
    changed = [placed(1, "done", "all"), placed(3, "done", "all")]
    await views.save([Advance(before=checkpoint, after=replace(checkpoint, position=11), rows=changed)])
    groups = [["open"], ["done"], ["open", "done"], ["all"], ["none"], []]
    pages = await views.list_merged("thing", groups, Slice())
    assert list(map(numbers, pages)) == [[0, 2, 4], [1, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [], []]


async def test_a_row_moves_within_a_further_list(views: Views) -> None:
    checkpoint = await save_rows(views, *(placed(number, "open") for number in range(3)))
    last = replace(placed(0), places=(ListPlace("open", "99"),))
    await views.save([Advance(before=checkpoint, after=replace(checkpoint, position=11), rows=[last])])
    (page,) = await views.list_merged("thing", [["open"]], Slice())
    assert numbers(page) == [1, 2, 0]


async def test_deleted_and_forgotten_rows_leave_all_lists(views: Views) -> None:
    checkpoint = await save_rows(views, placed(1, "open"), placed(2, "open"))
    gone = Advance(before=checkpoint, after=replace(checkpoint, position=11), removed=[UUID(int=1)])
    await views.save([gone])
    (page,) = await views.list_merged("thing", [["open"]], Slice())
    assert numbers(page) == [2]
    await views.forget("thing")
    assert numbers((await views.list_merged("thing", [["open"]], Slice()))[0]) == []
    await save_rows(views, placed(3, "open"))
    assert numbers((await views.list_merged("thing", [["open"]], Slice()))[0]) == [3]


async def test_rows_of_a_new_generation_have_places(views: Views) -> None:
    checkpoint = await save_rows(views, placed(1, "open"))
    generation = await views.begin("thing")
    await views.fill(generation, [placed(1, "done"), placed(2, "open")])
    await views.fill(generation, [placed(2, "done")])
    after = replace(checkpoint, generation=generation, version=2, position=12)
    await views.save([Advance(before=checkpoint, after=after)])
    await views.prune()
    pages = await views.list_merged("thing", [["open"], ["done"]], Slice())
    assert list(map(numbers, pages)) == [[], [1, 2]]


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 20])
async def test_pages_of_merged_lists_are_the_whole_list(views: Views, size: int, is_descending: bool) -> None:
    await save_rows(views, *(placed(number, "abc"[number % 3]) for number in range(12)))
    whole = [number for number in range(2, 11) if number % 3 != 1][:: -1 if is_descending else 1]
    within = SortRange(since="02", until="10")

    async def walk(part: Slice) -> list[list[int]]:
        found: list[list[int]] = []
        while True:
            (page,) = await views.list_merged("thing", [["a", "c"]], part, is_descending=is_descending, within=within)
            found.append(numbers(page))
            if part.first:
                assert page.has_previous == (part.after is not None)
                part = replace(part, after=page.edges[-1].cursor)
            else:
                assert page.has_next == (part.before is not None)
                part = replace(part, before=page.edges[0].cursor)
            if not (page.has_next if part.first else page.has_previous):
                return found

    assert [*chain(*await walk(Slice(first=size)))] == whole
    assert [*chain(*reversed(await walk(Slice(last=size))))] == whole
