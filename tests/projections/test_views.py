"""The store of rows: lists in pages both ways, checkpoints, generations."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.errors import InvalidArgument
from projections import postgres, sqlite
from projections.postgres import PostgresViews
from projections.postgres_listing import Listing
from projections.sqlite import SqliteViews
from projections.views import (
    Checkpoint,
    CheckpointMoved,
    Filter,
    Page,
    Parked,
    Place,
    Progress,
    Row,
    Slice,
    Views,
    ViewsUnavailable,
)
from store import ids
from tests.examples import examples
from tests.postgres import pages as pages_of

START = Checkpoint(kind="thing", version=1, generation=1, epoch="e", position=10, hash=b"10")
PARKED = Parked(kind="thing", position=7, stream=UUID(int=7), name="pipeline.StageMoved", error="ValueError: no")


@pytest.fixture
async def memory() -> AsyncIterator[SqliteViews]:
    store = await SqliteViews.open(":memory:")
    yield store
    await store.close()


@pytest.fixture(params=["memory", "file", "postgres"])
async def views(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Views]:
    """Threads matter on SQLite: in memory there is one for everything, on a file they are several."""
    store: Views
    if request.param == "postgres":
        store = await PostgresViews.open(request.getfixturevalue("database"))
    else:
        store = await SqliteViews.open(":memory:" if request.param == "memory" else tmp_path / "views.db")
    yield store
    await store.close()


def row(number: int, sort: str | None = None, parent: str = "", document: bytes = b"{}") -> Row:
    place = None if sort is None else Place(parent, sort)
    return Row(key=UUID(int=number), place=place, position=number, document=document)


async def made(views: Views, *rows: Row, kind: str = "thing") -> Checkpoint:
    checkpoint = replace(START, kind=kind, generation=await views.begin(kind))
    await views.save([Progress(before=None, after=checkpoint, rows=rows)])
    return checkpoint


async def keys(
    views: Views, part: Slice, *, is_descending: bool = False, kind: str = "thing"
) -> tuple[list[bytes], bool, bool]:
    page = await views.list(kind, "", part, is_descending=is_descending)
    return [edge.node for edge in page.edges], page.has_previous, page.has_next


# Rows


async def test_a_row_is_found_by_its_kind_and_key(views: Views) -> None:
    await made(views, row(1, document=b"one"))
    await made(views, row(1, document=b"other"), kind="other")
    assert await views.get("thing", UUID(int=1)) == b"one"
    assert await views.get("other", UUID(int=1)) == b"other"
    assert await views.get("thing", UUID(int=2)) is None
    assert await views.get("nothing", UUID(int=1)) is None


async def test_a_row_that_moves_to_another_place_leaves_the_old_one(views: Views) -> None:
    checkpoint = await made(views, row(1, "a"), row(2, "b"))
    moved = Progress(before=checkpoint, after=replace(checkpoint, position=11), rows=[row(1, "c", document=b"moved")])
    await views.save([moved])
    assert await keys(views, Slice()) == ([b"{}", b"moved"], False, False)


async def test_a_row_without_a_place_is_in_no_list(views: Views) -> None:
    checkpoint = await made(views, row(1, "a"))
    await views.save([Progress(before=checkpoint, after=replace(checkpoint, position=11), rows=[row(1)])])
    assert await keys(views, Slice()) == ([], False, False)
    assert await views.get("thing", UUID(int=1)) == b"{}"


async def test_a_removed_row_is_gone(views: Views) -> None:
    checkpoint = await made(views, row(1, "a"), row(2, "b"))
    removed = Progress(before=checkpoint, after=replace(checkpoint, position=11), removed=[UUID(int=1)])
    await views.save([removed])
    assert await views.get("thing", UUID(int=1)) is None
    assert await keys(views, Slice()) == ([b"{}"], False, False)


# Pages


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
    await made(views, *rows, row(100, "a", parent="elsewhere"), kind=kind)
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
    await made(views, *(row(at, str(at), document=str(place).encode()) for place, at in enumerate(numbers)))
    whole = await views.list("thing", "", Slice(first=5), is_descending=is_descending)
    cursors = {edge.node.decode(): edge.cursor for edge in whole.edges}
    for part, expected in PARTS:
        named = replace(part, after=cursors.get(part.after or ""), before=cursors.get(part.before or ""))
        documents, has_previous, has_next = await keys(views, named, is_descending=is_descending)
        assert "<" * has_previous + b"".join(documents).decode() + ">" * has_next == expected


async def test_a_page_goes_on_where_it_was_though_its_last_row_is_gone(views: Views) -> None:
    checkpoint = await made(views, *(row(number, str(number), document=b"%d" % number) for number in range(4)))
    page = await views.list("thing", "", Slice(first=2))
    gone = Progress(before=checkpoint, after=replace(checkpoint, position=11), removed=[UUID(int=1)])
    await views.save([gone])
    assert await keys(views, Slice(first=2, after=page.edges[-1].cursor)) == ([b"2", b"3"], True, False)


@pytest.mark.parametrize("cursor", ["", "?", "AAAA", "W10", "🦆", "WyJhIiwgMV0"])
async def test_what_is_no_cursor_is_refused(memory: SqliteViews, cursor: str) -> None:
    with pytest.raises(InvalidArgument):
        await memory.list("thing", "", Slice(first=1, after=cursor))


async def test_the_first_and_the_last_are_not_asked_for_at_once(views: Views) -> None:
    with pytest.raises(ValueError, match="not both"):
        await views.list("thing", "", Slice(first=1, last=1))


@pytest.mark.parametrize("is_descending", [False, True])
async def test_a_page_takes_the_same_few_statements_whatever_its_size_and_each_by_an_index(
    tmp_path: Path, is_descending: bool
) -> None:
    views = await SqliteViews.open(":memory:")
    await made(views, *(row(number, f"{number:03}") for number in range(300)))
    whole = await views.list("thing", "", Slice(first=300))
    after, before = whole.edges[20].cursor, whole.edges[280].cursor
    if is_descending:
        after, before = before, after
    statements: list[str] = []
    (connection,) = views._connections
    connection.set_trace_callback(statements.append)
    counts = []
    for part in (
        Slice(first=1, after=after, before=before),
        Slice(first=200, after=after, before=before),
        Slice(last=1, after=after, before=before),
        Slice(last=200, after=after, before=before),
        Slice(first=259, after=after, before=before),
    ):
        statements.clear()
        await views.list("thing", "", part, is_descending=is_descending)
        selects = [each for each in statements if each.startswith("SELECT")]
        counts.append(len(selects))
        plans = await views._read(partial(_plans, selects))
        assert [plan for plan in plans if "SCAN rows" in plan or "TEMP B-TREE" in plan] == []
    assert counts == [2, 2, 2, 2, 3]
    await views.close()


def _plans(statements: Sequence[str], db: sqlite3.Connection) -> list[str]:
    plans = [db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall() for statement in statements]
    return ["; ".join(detail for *_, detail in plan) for plan in plans]


# Tags


def tagged(number: int, *tags: str) -> Row:
    return replace(row(number, f"{number:02}", document=str(number).encode()), tags=tags)


async def found(views: Views, only: Filter, *, is_descending: bool = False) -> list[int]:
    page = await views.list("thing", "", Slice(), is_descending=is_descending, only=only)
    return [int(edge.node) for edge in page.edges]


TAGGED = [tagged(1, "red", "big"), tagged(2, "red", "u0000e4rger"), tagged(3, "blue", "big"), tagged(4, "reddish")]


async def test_a_list_is_narrowed_by_a_tag_of_each_group(views: Views) -> None:
    await made(views, *TAGGED, replace(tagged(6, "red"), place=Place("elsewhere", "06")))
    assert await found(views, Filter()) == [1, 2, 3, 4]
    assert await found(views, Filter(tags=(("red",),))) == [1, 2]
    assert await found(views, Filter(tags=(("red*",),))) == [1, 2, 4]
    assert await found(views, Filter(tags=(("red", "blue"), ("big",)))) == [1, 3]
    assert await found(views, Filter(tags=(("red",), ("u0000e4*",)))) == [2]
    assert await found(views, Filter(tags=(("red",), ("blue",)))) == []
    assert await found(views, Filter(tags=(("g1",),))) == []


async def test_a_list_is_narrowed_by_its_sort(views: Views) -> None:
    await made(views, *TAGGED)
    assert await found(views, Filter(since="02")) == [2, 3, 4]
    assert await found(views, Filter(until="02"), is_descending=True) == [2, 1]
    assert await found(views, Filter(since="02", until="03", tags=(("big", "red"),))) == [2, 3]
    assert await found(views, Filter(since="05")) == await found(views, Filter(until="00")) == []


async def test_a_narrowed_list_has_pages_both_ways(views: Views) -> None:
    await made(views, *(tagged(number, "even" if number % 2 == 0 else "odd") for number in range(1, 20)))
    even = Filter(tags=(("even",),), until="14")
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
    await made(views, *TAGGED, *(tagged(number, "even" if number % 2 == 0 else "odd") for number in range(5, 20)))
    filters = [
        Filter(),
        Filter(tags=(("even",),), until="14"),
        Filter(tags=(("nothing",),)),
        Filter(tags=(("red*",), ("big", "reddish"))),
        Filter(tags=(("odd",),), since="08", until="12"),
        Filter(tags=(("even",),), until="14"),
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
    await made(views, *(tagged(number, f"t{number}", "even" if number % 2 == 0 else "odd") for number in range(100)))
    filters = [Filter(tags=((f"t{number % 100}",), ("even",)), since="00", until="99") for number in range(7000)]
    pages = await views.list_all("thing", "", Slice(first=1), filters, is_descending=True)
    assert [[int(edge.node) for edge in page.edges] for page in pages[:4]] == [[0], [], [2], []]
    assert pages == [*pages[:100]] * 70


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_narrowed_list_costs_little_however_long_it_is(database: str, is_known: bool) -> None:
    """Also of what was frequent once, and whether or not the database had looked into it then."""
    views = await PostgresViews.open(database)
    before = await made(views)
    asked = [None, *(Filter(tags=tags) for tags in ((("once",),), (("once",), ("odd",)), (("nothing",),), (("odd",),)))]

    async def looked_at() -> list[int]:
        listings = [Listing("thing", "", Slice(first=20), is_descending=True, only=only) for only in asked]
        async with views._pool.connection() as connection:
            return [await pages_of(connection, listing.statement, *listing.parameters) for listing in listings]

    async def write(begin: int, end: int) -> Checkpoint:
        rows = [tagged(n, "once" if n < 1_100 else "now", "odd" if n % 2 else "even") for n in range(begin, end)]
        after = replace(before, position=end)
        await views.save([Progress(before=before, after=after, rows=rows)])
        return after

    before = await write(1_000, 1_500)
    async with views._pool.connection() as connection:
        if is_known:
            await connection.execute("ANALYZE")
    await looked_at()  # the first reads the catalogues
    few = await looked_at()
    before = await write(1_500, 6_000)
    for short, long in zip(few, await looked_at(), strict=True):
        assert long < 5 * short
    await views.close()


async def test_pruning_costs_the_same_however_much_was_pruned(database: str) -> None:
    """Also while somebody has the database keep everything, as who makes a backup does."""
    views = await PostgresViews.open(database)
    generation = await views.begin("thing")
    await views.fill(generation, [row(number) for number in range(1, 3_000)])
    backup = await asyncpg.connect(database)
    async with backup.transaction(isolation="repeatable_read"), views._pool.connection() as connection:
        await backup.fetch("SELECT FROM documents")
        last, looked_at = postgres.LEAST, []
        for _ in range(5):
            looked_at.append(await pages_of(connection, postgres.REMOVE_SOME, generation, last, 100))
            last = await connection.fetchval(postgres.REMOVE_SOME, generation, last, 400)
        assert max(looked_at[1:]) < 1.5 * looked_at[0]
    await backup.close()
    await views.prune()
    assert await views.load({generation: [UUID(int=2_999)]}) == {generation: {}}
    await views.close()


async def test_several_rows_are_found_at_once(views: Views) -> None:
    await made(views, *TAGGED)
    wanted = [TAGGED[0].key, UUID(int=99), TAGGED[2].key]
    assert await views.find("thing", wanted) == {TAGGED[0].key: b"1", TAGGED[2].key: b"3"}
    assert await views.find("other", wanted) == {}


async def test_tags_of_rows_that_are_made_anew_or_forgotten_find_nothing(views: Views) -> None:
    checkpoint = await made(views, *TAGGED)
    other = await views.begin("thing")
    await views.fill(other, [tagged(7, "red"), tagged(8, "blue")])
    red = Filter(tags=(("red",),))
    assert await found(views, red) == [1, 2]
    await views.save([Progress(before=checkpoint, after=replace(checkpoint, generation=other))])
    assert await found(views, red) == [7]
    await views.prune()
    assert await found(views, red) == [7]
    await views.forget("thing")
    assert await found(views, red) == []
    await made(views, *TAGGED)
    assert await found(views, red) == [1, 2]


async def test_what_is_pruned_leaves_nothing_in_the_index_of_tags(tmp_path: Path) -> None:
    views = await SqliteViews.open(tmp_path / "views.db")
    await made(views, *TAGGED, row(5, "05"))
    await views.forget("thing")
    await views.close()
    with sqlite3.connect(tmp_path / "views.db") as db:
        left = db.execute("SELECT count(*) FROM tagged WHERE tagged MATCH 'tred OR tblue OR treddish'").fetchone()
        assert left == (0,)
        db.execute("INSERT INTO tagged (tagged) VALUES ('optimize')")
        db.execute("INSERT INTO tagged (tagged) VALUES ('integrity-check')")
    db.close()


# Checkpoints


async def test_rows_checkpoint_and_what_is_parked_are_saved_together_or_not_at_all(views: Views) -> None:
    thing, other = await made(views, row(1)), await made(views, kind="other")
    good = Progress(before=thing, after=replace(thing, position=11), rows=[row(2)], parked=[PARKED])
    wrong = Progress(before=replace(other, position=9), after=replace(other, position=11))
    with pytest.raises(CheckpointMoved):
        await views.save([good, wrong])
    assert await views.get("thing", UUID(int=2)) is None
    assert await views.checkpoints() == {"thing": thing, "other": other}
    assert await views.parked() == []
    await views.save([good])
    assert await views.get("thing", UUID(int=2)) == b"{}"
    assert await views.checkpoints() == {"thing": good.after, "other": other}
    assert await views.parked() == [PARKED]


def many(kind: str, count: int) -> Sequence[Parked]:
    return [replace(PARKED, kind=kind, position=position) for position in range(1, count + 1)]


async def test_the_first_events_that_each_kind_parked_are_told(views: Views) -> None:
    for kind, count in (("thing", 30), ("other", 3)):
        before = await made(views, kind=kind)
        await views.save([Progress(before=before, after=replace(before, position=99), parked=many(kind, count))])
    both = [*many("other", 3), *many("thing", 10)]
    assert await views.parked() == sorted(both, key=lambda each: (each.position, each.kind))
    assert await views.parked(limit=1) == [*many("other", 1), *many("thing", 1)]


async def test_what_is_parked_is_told_with_little_work_however_much_it_is(database: str, memory: SqliteViews) -> None:
    on_postgres = await PostgresViews.open(database)
    for views in (on_postgres, memory):
        for kind, count in (("thing", 5000), ("other", 5)):
            before = await made(views, kind=kind)
            await views.save([Progress(before=before, after=replace(before, position=9999), parked=many(kind, count))])
    async with on_postgres._pool.transaction() as connection:
        assert await pages_of(connection, postgres.PARKED, 10) < 20
    await on_postgres.close()
    steps: list[None] = []
    (connection_,) = memory._connections
    connection_.set_progress_handler(lambda: steps.append(None), 1)
    assert len(await memory.parked()) == 15
    assert len(steps) < 1000


async def test_a_second_writer_is_found_out(views: Views) -> None:
    thing = await made(views)
    await views.save([Progress(before=thing, after=replace(thing, position=11))])
    with pytest.raises(CheckpointMoved):
        await views.save([Progress(before=thing, after=replace(thing, position=12))])
    with pytest.raises(CheckpointMoved):
        await views.save([Progress(before=None, after=replace(thing, position=12))])


@pytest.mark.parametrize("position", [9, 10])
async def test_a_checkpoint_only_moves_forward(views: Views, position: int) -> None:
    thing = await made(views)
    with pytest.raises(ValueError, match="only moves forward"):
        await views.save([Progress(before=thing, after=replace(thing, position=position))])


# Generations


async def test_a_new_generation_is_read_by_nobody_until_it_takes_over(views: Views) -> None:
    old = await made(views, row(1, "a", document=b"old"), row(2, "b"))
    await views.save([Progress(before=old, after=replace(old, position=11), parked=[PARKED])])
    old = replace(old, position=11)
    generation = await views.begin("thing")
    await views.fill(generation, [row(1, "a", document=b"new")])
    assert await keys(views, Slice()) == ([b"old", b"{}"], False, False)
    assert await views.get("thing", UUID(int=1)) == b"old"
    new = replace(old, generation=generation, version=2, position=5)
    await views.save([Progress(before=old, after=new, rows=[row(3, "c")], removed=[UUID(int=9)])])
    assert await keys(views, Slice()) == ([b"new", b"{}"], False, False)
    assert await views.get("thing", UUID(int=2)) is None
    assert await views.parked() == []
    assert await views.checkpoints() == {"thing": new}


async def test_what_nobody_reads_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PRUNED", 2)
    views = await SqliteViews.open(tmp_path / "views.db")
    kept, left = await made(views, row(1)), await made(views, *map(row, range(5)), kind="left")
    parked = replace(PARKED, kind="left")
    await views.save([Progress(before=left, after=replace(left, position=11), parked=[parked])])
    await views.fill(await views.begin("thing"), [row(1), row(2)])
    await views.forget("left")
    assert await views.get("left", UUID(int=1)) is None
    await views.close()
    assert contents(tmp_path / "views.db", "rows", "parked", "generations") == [1, 0, 1]
    views = await SqliteViews.open(tmp_path / "views.db")
    assert await views.checkpoints() == {"thing": kept}
    assert await views.begin("thing") not in (kept.generation, left.generation)
    await views.close()


async def test_the_tables_of_another_layout_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "views.db"
    views = await SqliteViews.open(path)
    await made(views, row(1))
    await views.close()
    views = await SqliteViews.open(path)
    assert await views.get("thing", UUID(int=1)) == b"{}"
    await views.close()
    monkeypatch.setattr(sqlite, "LAYOUT", sqlite.LAYOUT + 1)
    views = await SqliteViews.open(path)
    assert await views.checkpoints() == {}
    await views.close()
    assert contents(path, "rows", "parked", "generations") == [0, 0, 0]


def contents(path: Path, *tables: str) -> Sequence[int]:
    with sqlite3.connect(path) as db:
        return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


# The file


async def test_the_store_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "views.db"
    views = await SqliteViews.open(path)
    await made(views, row(1))
    modes = {file.name: file.stat().st_mode & 0o777 for file in sorted(path.parent.iterdir())}
    assert modes == {"views.db": 0o600, "views.db-shm": 0o600, "views.db-wal": 0o600}
    await views.close()


async def test_a_file_that_is_no_store_is_left_alone_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    path.write_bytes(b"something else\n" * 100)
    with pytest.raises(ViewsUnavailable) as caught:
        await SqliteViews.open(path)
    assert str(caught.value) == (
        f"{path}: file is not a database. If it is damaged, stop the server and delete it: all that is in it is made "
        "again from the log."
    )
    assert path.read_bytes() == b"something else\n" * 100


async def test_a_store_that_is_full_goes_on_when_there_is_room_again(memory: SqliteViews) -> None:
    checkpoint = await made(memory, row(1))
    big = Progress(before=checkpoint, after=replace(checkpoint, position=11), rows=[row(2, document=b"x" * 1_000_000)])
    await memory._write(lambda db: db.execute("PRAGMA max_page_count = 30").fetchall())
    with pytest.raises(ViewsUnavailable, match="database or disk is full"):
        await memory.save([big])
    assert await memory.checkpoints() == {"thing": checkpoint}
    await memory._write(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall())
    await memory.save([big])
    assert await memory.get("thing", UUID(int=2)) == b"x" * 1_000_000


async def test_a_closed_store_says_so(views: Views) -> None:
    await views.close()
    with pytest.raises(ViewsUnavailable, match="is closed"):
        await views.get("thing", UUID(int=1))
