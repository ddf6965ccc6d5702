"""Pages of a list, on every database."""

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.errors import InvalidArgument
from projections.engine.views import Advance, Page, Slice, Views
from projections.postgres.views import PostgresViews
from projections.sqlite.views import SqliteViews
from store import ids
from tests.examples import examples
from tests.projections.views.given import documents, row, save_rows

LISTS = st.lists(st.sampled_from(["", "a", "ab", "b", "ß", "😀", "\uffff"]), max_size=9)


@settings(max_examples=examples(60), deadline=None)
@given(LISTS, st.integers(1, 4), st.booleans())
async def test_pages_both_ways_are_the_whole_list(sorts: list[str], size: int, is_descending: bool) -> None:
    views = await SqliteViews.open(":memory:")
    await check_pages(views, "thing", sorts, size, is_descending)
    await views.close()


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LISTS, st.integers(1, 4), st.booleans())
async def test_pages_both_ways_are_the_whole_list_on_postgres(
    database: str, sorts: list[str], size: int, is_descending: bool
) -> None:
    views = await PostgresViews.open(database)
    await check_pages(views, ids.new().hex, sorts, size, is_descending)
    await views.close()


async def check_pages(views: Views, kind: str, sorts: list[str], size: int, is_descending: bool) -> None:
    rows = [row(number, sort, document=str(number).encode()) for number, sort in enumerate(sorts)]
    await save_rows(views, *rows, row(100, "a", parent="elsewhere"), kind=kind)
    ordered = sorted(rows, key=lambda each: (each.place.sort if each.place else "", each.key), reverse=is_descending)
    whole = [each.document for each in ordered]

    async def walk(part: Slice) -> list[Page[bytes]]:
        pages = [await views.list(kind, "", part, is_descending=is_descending)]
        while pages[-1].has_next if part.first else pages[-1].has_previous:
            edges = pages[-1].edges
            part = replace(part, after=edges[-1].cursor) if part.first else replace(part, before=edges[0].cursor)
            pages.append(await views.list(kind, "", part, is_descending=is_descending))
        return pages

    forth = await walk(Slice(first=size))
    back = list(reversed(await walk(Slice(last=size))))
    for pages in (forth, back):
        assert [edge.node for page in pages for edge in page.edges] == whole
        assert [page.has_previous for page in pages] == [False, *[True] * (len(pages) - 1)]
        assert [page.has_next for page in pages] == [*[True] * (len(pages) - 1), False]


PARTS = [
    (Slice(), "01234"),
    (Slice(first=2), "01>"),
    (Slice(first=5), "01234"),
    (Slice(last=2), "<34"),
    (Slice(first=2, after="0"), "<12>"),
    (Slice(last=2, before="4"), "<23>"),
    (Slice(first=1, after="0", before="3"), "<1>"),
    (Slice(first=3, after="0", before="3"), "<12>"),
    (Slice(last=1, after="0", before="3"), "<2>"),
    (Slice(last=3, after="0", before="3"), "<12>"),
    (Slice(first=2, after="4"), "<"),
    (Slice(last=2, before="0"), ">"),
    (Slice(before="2"), "01>"),
]


@pytest.mark.parametrize("is_descending", [False, True])
async def test_a_page_knows_of_more_on_both_sides(views: Views, is_descending: bool) -> None:
    numbers = range(4, -1, -1) if is_descending else range(5)
    await save_rows(views, *(row(at, str(at), document=str(place).encode()) for place, at in enumerate(numbers)))
    whole = await views.list("thing", "", Slice(first=5), is_descending=is_descending)
    cursors = {edge.node.decode(): edge.cursor for edge in whole.edges}
    for part, expected in PARTS:
        named = replace(part, after=cursors.get(part.after or ""), before=cursors.get(part.before or ""))
        found, has_previous, has_next = await documents(views, named, is_descending=is_descending)
        assert "<" * has_previous + b"".join(found).decode() + ">" * has_next == expected


async def test_a_page_continues_although_the_row_of_its_cursor_is_gone(views: Views) -> None:
    checkpoint = await save_rows(views, *(row(number, str(number), document=b"%d" % number) for number in range(4)))
    page = await views.list("thing", "", Slice(first=2))
    gone = Advance(before=checkpoint, after=replace(checkpoint, position=11), removed=[UUID(int=1)])
    await views.save([gone])
    assert await documents(views, Slice(first=2, after=page.edges[-1].cursor)) == ([b"2", b"3"], True, False)


@pytest.mark.parametrize("cursor", ["", "?", "AAAA", "W10", "🦆", "WyJhIiwgMV0"])
async def test_an_invalid_cursor_is_refused(in_memory: SqliteViews, cursor: str) -> None:
    with pytest.raises(InvalidArgument):
        await in_memory.list("thing", "", Slice(first=1, after=cursor))


async def test_a_slice_with_both_numbers_is_refused(views: Views) -> None:
    with pytest.raises(ValueError, match="not both"):
        await views.list("thing", "", Slice(first=1, last=1))


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("part", [Slice(first=2), Slice(last=2), Slice(first=9)])
async def test_the_lists_of_many_parents_are_read_at_once(views: Views, part: Slice, is_descending: bool) -> None:
    counts = {"a": 3, "b": 0, "c": 2, "d": 1}
    rows = [
        row(100 * place + number, f"{number:02}", parent, document=f"{parent}{number}".encode())
        for place, (parent, count) in enumerate(counts.items())
        for number in range(count)
    ]
    await save_rows(views, *rows)
    parents = ["c", "a", "b", "nowhere"]
    pages = await views.list_each("thing", parents, part, is_descending=is_descending)
    assert pages == [await views.list("thing", each, part, is_descending=is_descending) for each in parents]
    assert [len(page.edges) for page in pages] == [2, min(3, part.size), 0, 0]
    assert await views.list_each("thing", [], part) == []
