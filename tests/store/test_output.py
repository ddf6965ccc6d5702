"""The output of steps: numbered, stored with its offset, read both ways, followed."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.deployment.step import Phase
from store import attempt, output
from store.attempt import CHUNK
from store.log import LogUnavailable
from store.output import (
    EVERYTHING,
    LineKind,
    OutputLine,
    OutputPart,
    OutputSelection,
    OutputStore,
    OutputSummary,
)
from store.postgres.output import PostgresOutput
from store.sqlite import output as sqlite
from store.sqlite.output import MemoryOutput, SqliteOutput
from tests.store.sample import A, B, C, followed, take

API, WEB = B, C
"""Services."""

OF_API, OF_WEB = OutputSelection(service=API), OutputSelection(service=WEB)


@pytest.fixture(params=["sqlite", "memory", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OutputStore]:
    """With nothing in it; A is a deployment."""
    store: OutputStore
    match request.param:
        case "memory":
            store = MemoryOutput()
        case "sqlite":
            store = await SqliteOutput.open(tmp_path / "data" / "output.db")
        case _:
            store = await PostgresOutput.open(request.getfixturevalue("database"))
    yield store
    await store.close()


def texts(lines: Sequence[OutputLine]) -> list[str]:
    return [line.text for line in lines]


def numbers(lines: Sequence[OutputLine]) -> list[int]:
    return [line.number for line in lines]


async def test_lines_are_read_as_they_were_kept(store: OutputStore) -> None:
    before = datetime.now(UTC)
    await store.append(A, API, Phase.BUILD, 2, ["compiling", "", "tab\tand ünïcode\r"], offset=40)
    await store.append(A, API, Phase.DEPLOY, 1, ["The old instance is stopped first."], LineKind.NOTE)
    lines = await store.read(A)
    assert numbers(lines) == [1, 2, 3, 4]
    assert texts(lines) == ["compiling", "", "tab\tand ünïcode\r", "The old instance is stopped first."]
    assert [line.kind for line in lines] == [LineKind.LINE] * 3 + [LineKind.NOTE]
    assert {(line.service, line.phase, line.attempt) for line in lines[:3]} == {(API, Phase.BUILD, 2)}
    assert (lines[3].phase, lines[3].attempt) == (Phase.DEPLOY, 1)
    assert all(before <= line.at <= datetime.now(UTC) for line in lines)


async def test_the_lines_of_a_deployment_are_numbered_through(store: OutputStore) -> None:
    appends = [
        store.append(deployment, service, Phase.BUILD, 1, [f"{service} {n}"] * 3)
        for n in range(10)
        for service in (API, WEB)
        for deployment in (A, B)
    ]
    await asyncio.gather(*appends)
    for deployment in (A, B):
        lines = await store.read(deployment)
        assert numbers(lines) == list(range(1, 61))
        of_api = await store.read(deployment, OF_API)
        assert texts(of_api) == [f"{API} {n}" for n in range(10) for _ in range(3)]
        assert list(of_api) == [line for line in lines if line.service == API]


async def test_an_empty_store_has_no_lines(store: OutputStore) -> None:
    assert list(await store.read(A)) == []
    assert list(await store.read(A, OF_API, newest=True)) == []
    assert await store.offset(A, API, Phase.BUILD, 1) == 0


# How far it is kept


async def test_how_far_an_attempt_is_kept_is_known_with_its_lines(store: OutputStore) -> None:
    await store.append(A, API, Phase.BUILD, 1, ["one", "two"], offset=8)
    await store.append(A, API, Phase.BUILD, 1, ["Stageline says"], LineKind.NOTE)
    await store.append(A, API, Phase.BUILD, 1, [], offset=20)
    assert await store.offset(A, API, Phase.BUILD, 1) == 20
    for other in (
        (B, API, Phase.BUILD, 1),
        (A, WEB, Phase.BUILD, 1),
        (A, API, Phase.DEPLOY, 1),
        (A, API, Phase.BUILD, 2),
    ):
        assert await store.offset(*other) == 0


async def test_lines_that_are_sent_twice_are_kept_once(store: OutputStore) -> None:
    await store.append(A, API, Phase.BUILD, 1, ["one", "two"], offset=8)
    await store.append(A, API, Phase.BUILD, 1, ["one", "two"], offset=8)
    await store.append(A, API, Phase.BUILD, 1, ["one"], offset=4)
    assert texts(await store.read(A)) == ["one", "two"]
    assert await store.offset(A, API, Phase.BUILD, 1) == 8


async def test_a_store_opened_again_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "data" / "output.db"
    store = await SqliteOutput.open(path)
    await store.append(A, API, Phase.BUILD, 1, ["one"], offset=4)
    await store.close()
    store = await SqliteOutput.open(path)
    assert await store.offset(A, API, Phase.BUILD, 1) == 4
    await store.append(A, API, Phase.BUILD, 1, ["two"], offset=8)
    assert [(line.number, line.text) for line in await store.read(A)] == [(1, "one"), (2, "two")]
    assert {oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {"0o600"}
    await store.close()


async def test_what_was_not_kept_is_neither_read_nor_counted(tmp_path: Path) -> None:
    store = await SqliteOutput.open(tmp_path / "output.db")
    await store.append(A, API, Phase.BUILD, 1, ["one"], offset=4)
    store._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(LogUnavailable, match="disk is full"):
        await store.append(A, API, Phase.BUILD, 1, ["x" * 100_000], offset=100_005)
    assert texts(await store.read(A)) == ["one"]
    assert await store.offset(A, API, Phase.BUILD, 1) == 4
    store._database.execute("PRAGMA max_page_count = 1000000")
    await store.append(A, API, Phase.BUILD, 1, ["two"], offset=8)
    assert texts(await store.read(A)) == ["one", "two"]
    await store.close()


# Reading


@pytest.fixture
async def many(store: OutputStore) -> OutputStore:
    """2500 lines in pieces of many sizes, every third piece of WEB."""
    sizes = [1, 2, CHUNK - 1, 3, CHUNK + 205, 40, 250]
    for number, size in enumerate(sizes):
        first = 1 + sum(sizes[:number])
        service = WEB if number % 3 == 2 else API
        await store.append(A, service, Phase.BUILD, 1, [f"{n}" for n in range(first, first + size)])
    return store


async def test_lines_are_read_in_pages_either_way(many: OutputStore) -> None:
    every = list(await many.read(A, limit=10_000))
    assert numbers(every) == list(range(1, 2501))
    assert texts(every) == [f"{n}" for n in range(1, 2501)]
    for service in (None, API, WEB):
        expected = [line for line in every if service in (None, line.service)]
        chosen = OutputSelection(service=service)
        for after in (0, 1, 2, 3, 500, 1002, 1500, 2210, 2499, 2500):
            for before in (None, 1, 2, 900, 1003, 2210, 2500, 2501, 9999):
                span = [line for line in expected if after < line.number < (before or 9999)]
                for limit in (1, 7, 1100):
                    assert span[:limit] == await many.read(A, chosen, after, before, limit)
                    assert span[-limit:] == await many.read(A, chosen, after, before, limit, newest=True)


async def test_a_thousand_lines_come_unless_more_are_asked_for(many: OutputStore) -> None:
    assert numbers(await many.read(A)) == list(range(1, 1001))
    assert numbers(await many.read(A, newest=True)) == list(range(1501, 2501))
    assert list(await many.read(A, limit=0)) == []


# Selecting, counting, searching


@pytest.fixture
async def several(store: OutputStore) -> OutputStore:
    """Two services, the first of which fails once, with lines of both in turn."""
    await store.append(A, API, Phase.BUILD, 1, ["a one", "a two"])
    await store.append(A, WEB, Phase.BUILD, 1, ["w one"])
    await store.append(A, API, Phase.BUILD, 1, ["failed: it broke"], LineKind.FAILURE)
    await store.append(A, WEB, Phase.BUILD, 1, ["w two"])
    await store.append(A, API, Phase.BUILD, 2, ["a three"])
    await store.append(A, WEB, Phase.DEPLOY, 1, ["old one stops"], LineKind.NOTE)
    await store.append(A, API, Phase.DEPLOY, 1, ["a FOUR", "ünïcode"])
    await store.append(A, API, Phase.DEPLOY, 1, ["failed: again"], LineKind.FAILURE)
    await store.append(B, API, Phase.BUILD, 1, ["other"])
    return store


@pytest.mark.parametrize(
    ("chosen", "expected", "failure"),
    [
        (OutputSelection(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 4),
        (OF_WEB, [3, 5, 7], None),
        (OutputSelection(phase=Phase.BUILD), [1, 2, 3, 4, 5, 6], 4),
        (OutputSelection(service=API, phase=Phase.BUILD, attempt=1), [1, 2, 4], 4),
        (OutputSelection(service=API, phase=Phase.DEPLOY), [8, 9, 10], 10),
        (OutputSelection(attempt=2), [6], None),
        (OutputSelection(attempt=3), [], None),
    ],
)
async def test_the_lines_of_a_step_are_read_and_counted(
    several: OutputStore, chosen: OutputSelection, expected: list[int], failure: int | None
) -> None:
    assert numbers(await several.read(A, chosen)) == expected
    assert numbers(await several.read(A, chosen, newest=True, limit=2)) == expected[-2:]
    assert await several.summary(A, chosen) == OutputSummary(len(expected), failure)
    parts = [OutputPart(B, chosen), OutputPart(A, chosen), OutputPart(A, chosen, after=3), OutputPart(A)]
    after = [number for number in expected if number > 3]
    for limit in (1, 2, 20):
        first = await several.read_each(parts, limit)
        assert list(map(numbers, first[1:3])) == [expected[:limit], after[:limit]]
        last = await several.read_each(parts, limit, newest=True)
        assert list(map(numbers, last[1:3])) == [expected[-limit:], after[-limit:]]
        assert first[0] == await several.read(B, chosen, limit=limit)
        assert last[3] == await several.read(A, limit=limit, newest=True)
    assert await several.summaries(parts) == [await several.summary(each.deployment, each.selection) for each in parts]
    assert numbers(await take(followed(several, A, chosen), len(expected))) == expected


async def test_lines_are_found_by_their_text_in_either_case(several: OutputStore) -> None:
    async def found(text: str, chosen: OutputSelection = EVERYTHING, **part: Any) -> list[int]:
        result = await several.search(A, text, chosen, **part)
        assert result.reached is None
        return numbers(result.lines)

    assert await found("ONE") == [1, 3, 7]
    assert await found("four") == [8]
    assert await found("ÜNÏ") == [9]
    assert await found("one", OF_WEB) == [3, 7]
    assert await found("one", after=1, before=7) == [3]
    assert await found("one", limit=2) == [1, 3]
    assert numbers((await several.search(A, "one", limit=2, newest=True)).lines) == [3, 7]
    assert await found("none of them") == []
    assert await several.count(A, "one") == 3
    assert await several.count(A, "one", OF_API) == 1


@pytest.mark.parametrize("text", ['"', "\\", "\x1b[31m", "\t", "\x00"])
async def test_a_text_with_special_characters_is_found(store: OutputStore, text: str) -> None:
    await store.append(A, API, Phase.BUILD, 1, ["plain", f"a{text}b"])
    assert numbers((await store.search(A, text)).lines) == [2]


async def test_a_search_ends_after_so_many_bytes_and_says_where(
    many: OutputStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MAX_SEARCHED", 1)
    monkeypatch.setattr(output, "PART", 1)
    reached, found, after = [], list[int](), 0
    while (part := await many.search(A, "99", after=after)).reached is not None:
        after = part.reached
        found += numbers(part.lines)
        reached.append(after)
    assert reached == [1, 3, 1002, 1005, 2005, 2210, 2250, 2500]
    assert found == [n for n in range(1, 2501) if "99" in str(n)]
    assert (await many.search(A, "99", newest=True)).reached == 2251
    assert await many.count(A, "99") is None


@pytest.mark.parametrize("after", [0, 2, 500, 1500, 2499, 2500])
async def test_parts_of_long_outputs_are_read_at_once(many: OutputStore, after: int) -> None:
    parts = [OutputPart(A, after=after), OutputPart(A, OutputSelection(phase=Phase.BUILD), after), OutputPart(B)]
    for newest in (False, True):
        for limit in (1, 700, 3000):
            found = await many.read_each(parts, limit, newest)
            assert found == [
                await many.read(each.deployment, each.selection, each.after, limit=limit, newest=newest)
                for each in parts
            ]
            chunks = await many.chunks_each(parts, limit, newest)
            assert all(sum(chunk.stop - chunk.start for chunk in some) < limit + 2000 for some in chunks)


async def test_chunks_are_read_up_to_a_size(many: OutputStore) -> None:
    assert [chunk.last for chunk in await many.chunks(A, limit=10_000, size=1)] == [1]
    assert [chunk.last for chunk in await many.chunks(A, after=1, limit=10_000, size=50)] == [3, 1002]
    assert [chunk.last for chunk in await many.chunks(A, limit=10_000, newest=True, size=1)] == [2500]


# Lines without an end


async def test_an_unfinished_line_is_replaced_and_goes_with_the_next_line(store: OutputStore) -> None:
    async def unfinished(chosen: OutputSelection = EVERYTHING) -> list[str]:
        return sorted(line.text for line in await store.unfinished(A, chosen))

    await store.set_unfinished(A, API, Phase.BUILD, 1, "10 %")
    await store.set_unfinished(A, API, Phase.BUILD, 1, "20 %")
    await store.set_unfinished(A, WEB, Phase.BUILD, 1, "Password: ")
    assert await unfinished() == ["20 %", "Password: "]
    assert await unfinished(OF_WEB) == ["Password: "]
    assert list(await store.read(A)) == []
    await store.append(A, API, Phase.BUILD, 1, ["100 %"])
    assert await unfinished() == ["Password: "]
    await store.set_unfinished(A, WEB, Phase.BUILD, 1, "")
    assert await unfinished() == []


async def test_a_follower_gets_unfinished_lines_as_they_change(store: OutputStore) -> None:
    async with asyncio.timeout(30), aclosing(store.follow(A)) as following:
        for text in ("10 %", "20 %"):
            coming = asyncio.ensure_future(anext(following))
            await store.set_unfinished(A, API, Phase.BUILD, 1, text)
            batch = await coming
            assert ([line.text for line in batch.unfinished], batch.lines()) == ([text], [])
        coming = asyncio.ensure_future(anext(following))
        await store.append(A, API, Phase.BUILD, 1, ["100 %"])
        batch = await coming
        while not batch.lines():  # a batch may say only that nothing is unfinished any more
            batch = await anext(following)
        assert (batch.unfinished, texts(batch.lines())) == ((), ["100 %"])


# Following


async def test_a_follower_gets_the_lines_that_are_there_and_those_that_come(store: OutputStore) -> None:
    await store.append(A, API, Phase.BUILD, 1, ["1", "2"])
    following = asyncio.create_task(take(followed(store, A, after=1), 4))
    of_web = asyncio.create_task(take(followed(store, A, OF_WEB), 1))
    await store.append(B, API, Phase.BUILD, 1, ["of another deployment"])
    await store.append(A, API, Phase.BUILD, 1, ["3", "4"])
    await store.append(A, WEB, Phase.BUILD, 1, ["5"])
    assert texts(await following) == ["2", "3", "4", "5"]
    assert texts(await of_web) == ["5"]


async def test_followers_miss_nothing_while_many_append(store: OutputStore) -> None:
    async def print_(service: UUID) -> None:
        for n in range(50):
            await store.append(A, service, Phase.BUILD, 1, [f"{service} {n}"] * (1 + n % 3), offset=n + 1)

    followers = [asyncio.create_task(take(followed(store, A, chosen), 99)) for chosen in (OF_API, OF_WEB)]
    followers += [asyncio.create_task(take(followed(store, A, after=after), 198 - after)) for after in (0, 1, 150)]
    await asyncio.gather(print_(API), print_(WEB))
    every = list(await store.read(A))
    of_api, of_web, *of_all = await asyncio.gather(*followers)
    assert of_api == [line for line in every if line.service == API]
    assert of_web == [line for line in every if line.service == WEB]
    assert of_all == [every, every[1:], every[150:]]


async def test_followers_end_when_the_store_is_closed(store: OutputStore) -> None:
    ends = asyncio.create_task(anext(followed(store, A), "ended"))
    await store.read(A)
    await store.close()
    assert await ends == "ended"
    with pytest.raises(LogUnavailable, match="closed"):
        await anext(followed(store, A))
    with pytest.raises(LogUnavailable, match="closed"):
        await store.read(A)


# The most that is kept


async def test_lines_beyond_the_most_are_cut_and_a_note_says_so(
    store: OutputStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "MAX_LINES", 5)
    for n in range(1, 5):
        await store.append(A, API, Phase.BUILD, 1, [f"{n}a", f"{n}b"], offset=n)
    lines = await store.read(A)
    assert texts(lines)[:-1] == ["1a", "1b", "2a", "2b", "3a"]
    assert "at most 5 lines" in lines[-1].text
    assert lines[-1].kind is LineKind.NOTE
    assert await store.offset(A, API, Phase.BUILD, 1) == 4

    await store.append(A, API, Phase.BUILD, 1, ["It took too long."], LineKind.NOTE)
    await store.append(A, API, Phase.BUILD, 2, ["the next attempt"])
    assert texts(await store.read(A, after=6)) == ["It took too long.", "the next attempt"]


async def test_bytes_beyond_the_most_are_cut(store: OutputStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "MAX_BYTES", 12)
    await store.append(A, API, Phase.BUILD, 1, ["1234", "éé"], offset=10)  # 5 bytes each
    await store.append(A, API, Phase.BUILD, 1, ["12", ""], offset=14)
    lines = await store.read(A)
    assert texts(lines)[:-1] == ["1234", "éé"]
    assert lines[-1].kind is LineKind.NOTE
    await store.append(A, API, Phase.BUILD, 1, [""], offset=15)  # would fit, but what came before it is missing
    assert len(await store.read(A)) == 3


async def test_exactly_the_most_is_kept_whole(store: OutputStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "MAX_LINES", 2)
    monkeypatch.setattr(attempt, "MAX_BYTES", 4)
    await store.append(A, API, Phase.BUILD, 1, ["1", "2"], offset=4)
    assert texts(await store.read(A)) == ["1", "2"]


async def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "output.db")) as database:
        database.execute("PRAGMA user_version = 3")
    with pytest.raises(LogUnavailable, match="newer version of Stageline"):
        await SqliteOutput.open(tmp_path / "output.db")


async def test_a_store_of_the_version_before_gets_its_counts(tmp_path: Path) -> None:
    path = tmp_path / "output.db"
    with closing(sqlite3.connect(path)) as database:
        for statement in sqlite.TABLES:
            database.execute(statement)
        rows = [
            ("LINE", 1, 2, ["one", "two"]),
            ("NOTE", 3, 3, ["the old instance is stopped"]),
            ("NOTE", 4, 4, ["attempt 1 of 2 failed: it broke"]),
        ]
        for kind, first, last, lines in rows:
            key = A.hex, API.hex, "BUILD", 1, kind, "2026-01-01T00:00:00+00:00"
            chunk = (*key, first, last, json.dumps(lines).encode())
            database.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", chunk)
        database.execute("INSERT INTO attempts VALUES (?, ?, 'BUILD', 1, 8, 2, 8, 0)", (A.hex, API.hex))
        database.execute("PRAGMA user_version = 1")
        database.commit()
    store = await SqliteOutput.open(path)
    await store.append(A, API, Phase.BUILD, 2, ["three"], offset=6)
    assert await store.summary(A) == OutputSummary(5, 4)
    of_first = OutputSelection(attempt=1)
    assert await store.summary(A, of_first) == OutputSummary(4, 4)
    assert numbers(await store.read(A, of_first)) == [1, 2, 3, 4]
    assert await store.offset(A, API, Phase.BUILD, 1) == 8
    await store.close()


async def test_lines_have_the_time_at_which_they_were_kept() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    ticks = iter([noon, noon + timedelta(seconds=1)])
    store = MemoryOutput(lambda: next(ticks))
    await store.append(A, API, Phase.BUILD, 1, ["1", "2"])
    await store.append(A, API, Phase.BUILD, 1, ["3"])
    assert [line.at for line in await store.read(A)] == [noon, noon, noon + timedelta(seconds=1)]
    await store.close()
