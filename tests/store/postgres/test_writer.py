"""Many appends at once on PostgreSQL, in one batch after another."""

import asyncio
from random import Random

import pytest

from store import ids
from store.log import Author, IdempotencyKey, Origin, Receipt, RecordedEvent, StreamMoved
from store.postgres import log as postgres
from store.postgres import writer
from tests.proxy import far
from tests.store.postgres.test_log import opened
from tests.store.sample import ANN, BOB, A, B, C, change, names

STREAMS = [ids.new() for _ in range(48)]

UNWRITABLE = Author(actor="ann", origin=Origin.API, reason="no text has a \0 in it")


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_BATCH", 10)
    monkeypatch.setattr(writer, "CACHED_HEADS", 4)
    monkeypatch.setattr(postgres, "BATCH", 7)
    monkeypatch.setattr(postgres, "AHEAD", 3)


async def test_many_appends_are_told_of_in_their_order(database: str) -> None:
    async with opened(database) as [log]:
        told: list[RecordedEvent] = []
        log.watch(told.extend)

        async def write() -> list[RecordedEvent]:
            stream = ids.new()
            receipts = [await log.append([change(stream, version, "e", "e")], ANN) for version in range(0, 20, 2)]
            return [recorded for receipt in receipts for recorded in receipt.recorded]

        written = await asyncio.gather(*(write() for _ in STREAMS))
        every = list(await log.read_all(limit=10_000))
        assert told == every
        assert [recorded.position for recorded in every] == list(range(1, len(STREAMS) * 20 + 1))
        assert [recorded.recorded_at for recorded in every] == sorted(recorded.recorded_at for recorded in every)
        assert sorted((each for some in written for each in some), key=lambda each: each.position) == every


async def test_what_is_refused_in_a_batch_leaves_no_gap_before_the_next(database: str) -> None:
    async with opened(database, database) as (one, other):
        for stream in STREAMS:
            await one.append([change(stream, 0, "1")], ANN)
        for stream in STREAMS[::3]:
            await other.append([change(stream, 1, "2")], ANN)
        before = await one.position()
        appends = [one.append([change(stream, 1, f"{stream}")], ANN) for stream in STREAMS]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert [isinstance(outcome, StreamMoved) for outcome in outcomes] == [n % 3 == 0 for n in range(len(STREAMS))]
        written = [receipt.recorded[0] for receipt in outcomes if isinstance(receipt, Receipt)]
        assert written == list(await other.read_all(before))


async def test_an_append_to_a_stream_that_is_being_written_is_worked_out_after_that(database: str) -> None:
    async with opened(database) as [log]:
        chains = [(stream, version) for version in range(3) for stream in STREAMS]
        await asyncio.gather(*(log.append([change(stream, version, f"{version}")], BOB) for stream, version in chains))
        for stream in STREAMS:
            assert names(await log.read(stream)) == ["0", "1", "2"]


async def test_appends_that_build_on_others_that_wait_are_all_written_in_their_order(database: str) -> None:
    async with opened(database) as [log]:
        appends = [
            [change(A, 0, "a1")],
            [change(A, 1, "a2"), change(B, 0, "b1")],
            [change(B, 1, "b2")],  # can't go with the first, either
            [change(C, 0, "c1")],
        ]
        receipts = await asyncio.gather(*(log.append(each, ANN) for each in appends))
        assert [names(receipt.recorded) for receipt in receipts] == [["a1"], ["a2", "b1"], ["b2"], ["c1"]]


async def test_a_key_answers_with_the_log_and_its_subject_as_they_were_then(database: str) -> None:
    """Though others, which came before or after it, were written together with it."""
    keys = [IdempotencyKey(key=f"{number}", request="r", subject=A) for number in range(3)]
    async with opened(database) as [log]:
        changes = [[change(A, 0, "a1")], [change(B, 0, "b1")], [change(C, 0, "c1")]]
        appends = [log.append(each, ANN, key) for each, key in zip(changes, keys, strict=True)]
        first = await asyncio.gather(*appends)
        assert [(receipt.position, receipt.version) for receipt in first] == [(1, 1), (2, 1), (3, 1)]
        for receipt, key in zip(first, keys, strict=True):
            again = await log.append([], ANN, key)
            assert (again.position, again.version) == (receipt.position, receipt.version)


async def test_a_key_that_comes_twice_at_once_gets_no_answer_of_what_was_refused(database: str) -> None:
    key = IdempotencyKey(key="k", request="r", subject=A)
    async with opened(database, database) as (one, other):
        await one.append([change(A, 0, "a1")], ANN)
        await other.append([change(A, 1, "a2")], ANN)
        appends = [one.append([change(A, 1)], ANN, key) for _ in range(2)]  # which find nothing to do
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StreamMoved, StreamMoved]


async def test_an_append_that_can_not_be_stored_is_refused_alone_though_others_are_in_its_batch(database: str) -> None:
    async with opened(database) as [log]:
        authors = [UNWRITABLE if number % 11 == 5 else ANN for number in range(len(STREAMS))]
        appends = [log.append([change(stream, 0, "e")], by) for stream, by in zip(STREAMS, authors, strict=True)]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert [isinstance(outcome, Receipt) for outcome in outcomes] == [by is ANN for by in authors]
        written = [receipt.recorded[0] for receipt in outcomes if isinstance(receipt, Receipt)]
        assert sorted(written, key=lambda each: each.position) == list(await log.read_all())


async def test_when_an_answer_is_lost_neither_that_batch_nor_the_next_is_written_twice(database: str) -> None:
    async with far(database) as (proxy, dsn), opened(dsn) as [log]:
        await log.append([change(A, 0, "a")], ANN)
        proxy.swallows = b"base"
        receipts = await asyncio.gather(*(log.append([change(stream, 0, f"{stream}")], ANN) for stream in STREAMS))
        assert proxy.has_swallowed.is_set()
        every = list(await log.read_all(1))
        assert [receipt.recorded[0] for receipt in receipts] == every
        assert names(every) == [f"{stream}" for stream in STREAMS]


async def test_appends_that_nobody_waits_for_any_more_are_carried_out_before_the_log_is_closed(database: str) -> None:
    async with opened(database) as [log]:
        appends = [asyncio.create_task(log.append([change(stream, 0, "e")], ANN)) for stream in STREAMS]
        await asyncio.sleep(0)
        for append in appends:
            append.cancel()
    async with opened(database) as [log]:
        assert await log.position() == len(STREAMS)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
async def test_whatever_nodes_append_at_once_is_as_if_one_had_come_after_the_other(database: str, seed: int) -> None:
    random = Random(seed)
    streams = STREAMS[:6]
    async with opened(database, database) as logs:
        told: list[list[RecordedEvent]] = [[], []]
        receipts: list[Receipt] = []
        refusals: list[StreamMoved] = []
        for log, heard in zip(logs, told, strict=True):
            log.watch(heard.extend)

        async def write(number: int) -> None:
            log = logs[number % 2]
            for attempt in range(25):
                first, second = random.sample(streams, 2)
                versions = [len(await log.read(stream)) for stream in (first, second)]
                seen = [change(first, versions[0], *"ab"[: random.randint(1, 2)]), change(second, versions[1])]
                name = f"{number}-{random.randint(0, attempt)}"
                key = IdempotencyKey(key=name, request="r", subject=second) if random.random() < 0.5 else None
                try:
                    receipt = await log.append(seen, ANN, key)
                except StreamMoved as moved:
                    refusals.append(moved)
                    continue
                assert key is None or receipt.subject == key.subject or receipt.is_repeat
                receipts.append(receipt)

        await asyncio.gather(*(write(number) for number in range(24)))
        every = list(await logs[0].read_all(limit=10_000))
        await asyncio.gather(*(log.position() for log in logs))
        assert told == [every, every]
        assert [recorded.position for recorded in every] == list(range(1, len(every) + 1))
        written = [recorded for receipt in receipts for recorded in receipt.recorded]
        assert sorted(written, key=lambda each: each.position) == every
        assert written
        assert all(moved.current > moved.expected for moved in refusals)
        assert any(receipt.is_repeat for receipt in receipts)
        for stream in streams:
            events = [recorded for recorded in every if recorded.stream == stream]
            assert [recorded.version for recorded in events] == list(range(1, len(events) + 1))
            assert [event.previous for event in events] == [b"", *(event.hash for event in events)][: len(events)]
