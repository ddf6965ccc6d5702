"""The store of read models on SQLite: its file, its tables and its index of tags."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from projections.engine.views import (
    Advance,
    Slice,
    ViewsUnavailable,
)
from projections.sqlite import tables
from projections.sqlite import views as sqlite
from projections.sqlite.views import SqliteViews
from tests.projections.views.given import (
    PARKED,
    TAGGED,
    row,
    save_rows,
)


@pytest.mark.parametrize("is_descending", [False, True])
async def test_a_page_takes_the_same_few_statements_whatever_its_size_and_each_by_an_index(
    tmp_path: Path, is_descending: bool
) -> None:
    views = await SqliteViews.open(":memory:")
    await save_rows(views, *(row(number, f"{number:03}") for number in range(300)))
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


async def test_pruned_rows_leave_nothing_in_the_index_of_tags(tmp_path: Path) -> None:
    views = await SqliteViews.open(tmp_path / "views.db")
    await save_rows(views, *TAGGED, row(5, "05"))
    await views.forget("thing")
    await views.close()
    with sqlite3.connect(tmp_path / "views.db") as db:
        left = db.execute("SELECT count(*) FROM tagged WHERE tagged MATCH 'tred OR tblue OR treddish'").fetchone()
        assert left == (0,)
        db.execute("INSERT INTO tagged (tagged) VALUES ('optimize')")
        db.execute("INSERT INTO tagged (tagged) VALUES ('integrity-check')")
    db.close()


async def test_generations_that_are_not_read_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PRUNED", 2)
    views = await SqliteViews.open(tmp_path / "views.db")
    kept, left = await save_rows(views, row(1)), await save_rows(views, *map(row, range(5)), kind="left")
    parked = replace(PARKED, kind="left")
    await views.save([Advance(before=left, after=replace(left, position=11), parked=[parked])])
    await views.fill(await views.begin("thing"), [row(1), row(2)])
    await views.forget("left")
    assert await views.get("left", UUID(int=1)) is None
    await views.close()
    assert contents(tmp_path / "views.db", "rows", "parked", "generations") == [1, 0, 1]
    views = await SqliteViews.open(tmp_path / "views.db")
    assert await views.checkpoints() == {"thing": kept}
    assert await views.begin("thing") not in (kept.generation, left.generation)
    await views.close()


async def test_tables_of_another_layout_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "views.db"
    views = await SqliteViews.open(path)
    await save_rows(views, row(1))
    await views.close()
    views = await SqliteViews.open(path)
    assert await views.get("thing", UUID(int=1)) == b"{}"
    await views.close()
    monkeypatch.setattr(tables, "LAYOUT", tables.LAYOUT + 1)
    views = await SqliteViews.open(path)
    assert await views.checkpoints() == {}
    await views.close()
    assert contents(path, "rows", "parked", "generations") == [0, 0, 0]


def contents(path: Path, *tables: str) -> Sequence[int]:
    with sqlite3.connect(path) as db:
        return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


async def test_the_store_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "views.db"
    views = await SqliteViews.open(path)
    await save_rows(views, row(1))
    modes = {file.name: file.stat().st_mode & 0o777 for file in sorted(path.parent.iterdir())}
    assert modes == {"views.db": 0o600, "views.db-shm": 0o600, "views.db-wal": 0o600}
    await views.close()


async def test_a_file_that_is_no_store_is_set_aside_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "views.db"
    path.write_bytes(b"something else\n" * 100)
    views = await SqliteViews.open(path)
    assert await views.checkpoints() == {}
    with pytest.raises(ViewsUnavailable, match="was damaged, and its content is being rebuilt from the log"):
        await views.get("thing", UUID(int=1))  # an empty answer would be wrong
    await save_rows(views, row(1))
    assert await views.get("thing", UUID(int=1)) is not None
    await views.close()
    assert path.with_name("views.db-damaged").read_bytes() == b"something else\n" * 100
    assert "views.db is damaged and was moved to" in caplog.text


async def test_a_full_store_recovers_when_there_is_space_again(in_memory: SqliteViews) -> None:
    checkpoint = await save_rows(in_memory, row(1))
    big = Advance(before=checkpoint, after=replace(checkpoint, position=11), rows=[row(2, document=b"x" * 1_000_000)])
    await in_memory._write(lambda db: db.execute("PRAGMA max_page_count = 30").fetchall())
    with pytest.raises(ViewsUnavailable, match="database or disk is full"):
        await in_memory.save([big])
    assert await in_memory.checkpoints() == {"thing": checkpoint}
    await in_memory._write(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall())
    await in_memory.save([big])
    assert await in_memory.get("thing", UUID(int=2)) == b"x" * 1_000_000
