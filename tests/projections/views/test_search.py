"""Lists that tags and sorts narrow, on every database."""

from msgspec.structs import replace

from projections.engine.views import Advance, ListPlace, RowFilter, Slice, Views
from tests.projections.views.given import TAGGED, save_rows, search, tag_row


async def test_a_list_is_narrowed_by_a_tag_of_each_group(views: Views) -> None:
    await save_rows(views, *TAGGED, replace(tag_row(6, "red"), place=ListPlace("elsewhere", "06")))
    assert await search(views, RowFilter()) == [1, 2, 3, 4]
    assert await search(views, RowFilter(tags=(("red",),))) == [1, 2]
    assert await search(views, RowFilter(tags=(("red*",),))) == [1, 2, 4]
    assert await search(views, RowFilter(tags=(("red", "blue"), ("big",)))) == [1, 3]
    assert await search(views, RowFilter(tags=(("red",), ("u0000e4*",)))) == [2]
    assert await search(views, RowFilter(tags=(("red",), ("blue",)))) == []
    assert await search(views, RowFilter(tags=(("g1",),))) == []


async def test_a_list_is_narrowed_by_its_sort(views: Views) -> None:
    await save_rows(views, *TAGGED)
    assert await search(views, RowFilter(since="02")) == [2, 3, 4]
    assert await search(views, RowFilter(until="02"), is_descending=True) == [2, 1]
    assert await search(views, RowFilter(since="02", until="03", tags=(("big", "red"),))) == [2, 3]
    assert await search(views, RowFilter(since="05")) == await search(views, RowFilter(until="00")) == []


async def test_a_narrowed_list_has_pages_both_ways(views: Views) -> None:
    await save_rows(views, *(tag_row(number, "even" if number % 2 == 0 else "odd") for number in range(1, 20)))
    even = RowFilter(tags=(("even",),), until="14")
    whole = [14, 12, 10, 8, 6, 4, 2]
    for size in (1, 3, 7, 8):
        forward: list[int] = []
        after: str | None = None
        while after is not None or not forward:
            page = await views.list("thing", "", Slice(first=size, after=after), is_descending=True, only=even)
            assert page.has_previous == bool(forward)
            forward += [int(edge.node) for edge in page.edges]
            after = page.edges[-1].cursor if page.has_next else None
        assert forward == whole
        backward: list[int] = []
        before: str | None = None
        while before is not None or not backward:
            page = await views.list("thing", "", Slice(last=size, before=before), is_descending=True, only=even)
            assert page.has_next == bool(backward)
            backward[:0] = [int(edge.node) for edge in page.edges]
            before = page.edges[0].cursor if page.has_previous else None
        assert backward == whole


async def test_several_narrowed_lists_are_read_at_once(views: Views) -> None:
    await save_rows(views, *TAGGED, *(tag_row(number, "even" if number % 2 == 0 else "odd") for number in range(5, 20)))
    filters = [
        RowFilter(),
        RowFilter(tags=(("even",),), until="14"),
        RowFilter(tags=(("nothing",),)),
        RowFilter(tags=(("red*",), ("big", "reddish"))),
        RowFilter(tags=(("odd",),), since="08", until="12"),
        RowFilter(tags=(("even",),), until="14"),
    ]
    start = (await views.list("thing", "", Slice(first=6))).edges[-1].cursor
    for part in (Slice(), Slice(first=2), Slice(last=3), Slice(first=3, after=start), Slice(last=2, before=start)):
        for is_descending in (False, True):
            one_by_one = [
                await views.list("thing", "", part, is_descending=is_descending, only=only) for only in filters
            ]
            assert await views.list_all("thing", "", part, filters, is_descending=is_descending) == one_by_one
            with_tags = await views.list_all("thing", "", part, filters[1:], is_descending=is_descending)
            assert with_tags == one_by_one[1:]
    assert await views.list_all("thing", "", Slice(), []) == []


async def test_thousands_of_narrowed_lists_are_read_at_once(views: Views) -> None:
    await save_rows(
        views, *(tag_row(number, f"t{number}", "even" if number % 2 == 0 else "odd") for number in range(100))
    )
    filters = [RowFilter(tags=((f"t{number % 100}",), ("even",)), since="00", until="99") for number in range(7000)]
    pages = await views.list_all("thing", "", Slice(first=1), filters, is_descending=True)
    assert [[int(edge.node) for edge in page.edges] for page in pages[:4]] == [[0], [], [2], []]
    assert pages == [*pages[:100]] * 70


async def test_tags_of_replaced_or_forgotten_rows_find_nothing(views: Views) -> None:
    checkpoint = await save_rows(views, *TAGGED)
    other = await views.begin("thing")
    await views.fill(other, [tag_row(7, "red"), tag_row(8, "blue")])
    red = RowFilter(tags=(("red",),))
    assert await search(views, red) == [1, 2]
    await views.save([Advance(before=checkpoint, after=replace(checkpoint, generation=other))])
    assert await search(views, red) == [7]
    await views.prune()
    assert await search(views, red) == [7]
    await views.forget("thing")
    assert await search(views, red) == []
    await save_rows(views, *TAGGED)
    assert await search(views, red) == [1, 2]
