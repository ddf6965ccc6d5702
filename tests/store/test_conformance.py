"""The contract of `EventLog`, for every store."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from domain.errors import IdempotencyKeyReused
from store import codec, feed, ids
from store.log import EventLog, IdempotencyKey, LogUnavailable, Receipt, RecordedEvent, StreamMoved
from store.memory import MemoryLog
from tests.store.conftest import KINDS, opened
from tests.store.sample import ANN, BOB, A, B, C, change, names, renamed, take

# 1. All of an append is there, or nothing of it


async def test_an_append_is_there_when_it_is_acknowledged(log: EventLog) -> None:
    receipt = await log.append([change(A, 0, "a1", "a2"), change(B, 0, "b1")], BOB)
    assert receipt.position == 3
    assert [(r.stream, r.version, r.position) for r in receipt.recorded] == [(A, 1, 1), (A, 2, 2), (B, 1, 3)]
    assert list(receipt.recorded) == list(await log.read_all())
    assert list(receipt.recorded[:2]) == list(await log.read(A))
    assert await log.position() == 3


async def test_an_event_keeps_its_envelope(log: EventLog) -> None:
    before = datetime.now(UTC)
    await log.append([change(A, 0, "a1")], BOB)
    [recorded] = await log.read(A)
    assert recorded.event == renamed("a1")
    assert recorded.name == "pipeline.EnvironmentRenamed"
    assert recorded.by == BOB
    assert recorded.id.version == 7
    assert before <= recorded.recorded_at <= datetime.now(UTC)


async def test_an_append_with_a_conflict_in_one_of_its_streams_writes_nothing(log: EventLog) -> None:
    await log.append([change(A, 0, "a1")], ANN)
    with pytest.raises(StreamMoved):
        await log.append([change(B, 0, "b1"), change(A, 0, "a2")], ANN, IdempotencyKey(key="k", request="r", subject=B))
    assert names(await log.read_all()) == ["a1"]
    assert not await log.read(B)
    assert await log.find("k", "r") is None
    assert (await log.append([change(B, 0, "b1")], ANN)).position == 2


# 2. Each change names the version that its stream must have


async def test_a_conflict_says_where_the_stream_is(log: EventLog) -> None:
    await log.append([change(A, 0, "a1", "a2")], ANN)
    for expected in (0, 1, 3):
        with pytest.raises(StreamMoved) as refused:
            await log.append([change(A, expected, "a3")], ANN)
        assert (refused.value.stream, refused.value.expected, refused.value.current) == (A, expected, 2)
    with pytest.raises(StreamMoved) as refused:
        await log.append([change(B, 1, "b2")], ANN)
    assert refused.value.current == 0
    assert names(await log.read_all()) == ["a1", "a2"]


async def test_a_change_without_events_only_checks(log: EventLog) -> None:
    await log.append([change(A, 0, "a1")], ANN)
    receipt = await log.append([change(A, 1), change(B, 0), change(C, 0, "c1")], ANN)
    assert names(receipt.recorded) == ["c1"]
    with pytest.raises(StreamMoved):
        await log.append([change(A, 0), change(C, 1, "c2")], ANN)
    assert names(await log.read_all()) == ["a1", "c1"]
    assert await log.append([change(A, 1)], ANN) == Receipt(position=2)


async def test_changes_of_one_stream_follow_each_other(log: EventLog) -> None:
    await log.append([change(A, 0, "a1"), change(A, 1, "a2")], ANN)
    with pytest.raises(StreamMoved):
        await log.append([change(A, 2, "a3"), change(A, 2, "a4")], ANN)
    assert names(await log.read(A)) == ["a1", "a2"]


async def test_of_those_who_append_at_the_same_version_one_comes_first(log: EventLog) -> None:
    outcomes = await asyncio.gather(
        *(log.append([change(A, 0, f"a{number}")], ANN) for number in range(50)), return_exceptions=True
    )
    [won] = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    lost = [outcome.current for outcome in outcomes if isinstance(outcome, StreamMoved)]
    assert lost == [1] * 49
    assert list(await log.read(A)) == list(won.recorded)


async def test_a_conflict_refuses_its_own_append_and_no_other(log: EventLog) -> None:
    await log.append([change(A, 0, "a1")], ANN)
    streams = [ids.new() for _ in range(40)]
    appends = [
        log.append([change(stream, 0, f"{number}"), change(A, number % 2)], ANN)
        for number, stream in enumerate(streams)
    ]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [number % 2 == 1 for number in range(40)]
    assert names(await log.read_all(after=1)) == [f"{number}" for number in range(1, 40, 2)]


async def test_an_append_that_cannot_be_written_refuses_no_other(log: EventLog) -> None:
    outcomes = await asyncio.gather(
        log.append([change(A, 0, "a1")], ANN),
        log.append([change(B, 0, "a lone surrogate: \ud800")], ANN),
        log.append([change(C, 0, "c1")], ANN),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Receipt, UnicodeEncodeError, Receipt]
    assert names(await log.read_all()) == ["a1", "c1"]


# 3. Positions are 1, 2, 3 … in commit order


async def write(log: EventLog, writers: int = 16, appends: int = 15) -> None:
    """Appends to many streams at once; each event's name says its stream and version."""

    async def writer(stream: UUID) -> None:
        version = 0
        for number in range(appends):
            count = 1 + number % 3
            await log.append([change(stream, version, *(f"{stream} {version + n}" for n in range(1, count + 1)))], ANN)
            version += count

    await asyncio.gather(*(writer(ids.new()) for _ in range(writers)))


WRITTEN = 16 * 30
"""How many events `write` writes."""


async def test_positions_are_contiguous_and_streams_in_order(log: EventLog) -> None:
    await write(log)
    every = await log.read_all(limit=WRITTEN + 1)
    assert [recorded.position for recorded in every] == list(range(1, WRITTEN + 1))
    assert names(every) == [f"{recorded.stream} {recorded.version}" for recorded in every]
    for stream in {recorded.stream for recorded in every}:
        assert [r.version for r in every if r.stream == stream] == list(range(1, 31))
    assert await log.position() == WRITTEN


async def test_a_reader_never_finds_an_event_behind_where_it_is(log: EventLog) -> None:
    writing = asyncio.create_task(write(log))
    seen: list[RecordedEvent] = []
    while len(seen) < WRITTEN:
        seen += await log.read_all(after=seen[-1].position if seen else 0, limit=7)
        assert [recorded.position for recorded in seen[-8:]] == list(range(max(1, len(seen) - 7), len(seen) + 1))
    await writing
    assert seen == list(await log.read_all(limit=WRITTEN))


async def test_the_log_chains_the_events_of_a_stream(log: EventLog) -> None:
    await write(log, writers=4)
    await log.append([change(A, 0, "a1"), change(B, 0, "b1"), change(A, 1, "a2")], BOB)
    hashes: dict[UUID, bytes] = {}
    for r in await log.read_all(limit=10_000):
        assert r.previous == hashes.get(r.stream, b"")
        assert r.hash == codec.digest(
            r.previous, r.id, r.stream, r.version, r.name, codec.encode(r.event), r.recorded_at, r.by
        )
        hashes[r.stream] = r.hash


@pytest.mark.parametrize("kind", KINDS)
async def test_recorded_times_never_go_back_though_the_clock_does(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=KINDS.index(kind))  # each time is reported once
    ticks = iter([noon, noon - timedelta(hours=1), noon + timedelta(microseconds=1)])

    def clock() -> datetime:
        return next(ticks)

    log = await opened(kind, request, tmp_path, clock)
    for version in range(3):
        await log.append([change(A, version, "a")], ANN)
    assert [r.recorded_at for r in await log.read(A)] == [noon, noon, noon + timedelta(microseconds=1)]
    (said,) = [each for each in caplog.messages if "The clock has gone back" in each]
    assert noon.isoformat() in said
    await log.close()


# 4. An idempotency key gives the first answer again

KEY = IdempotencyKey(key="k1", request="r1", subject=A)


async def test_a_key_gives_the_first_answer_again(log: EventLog) -> None:
    assert await log.find("k1", "r1") is None
    await log.append([change(B, 0, "b1")], ANN)
    first = await log.append([change(A, 0, "a1", "a2"), change(B, 1, "b2")], ANN, KEY)
    assert (first.subject, first.version, first.position, first.is_repeat) == (A, 2, 4, False)
    await log.append([change(A, 2, "a3")], ANN)
    again = Receipt(position=4, subject=A, version=2, is_repeat=True)
    assert again == await log.append([change(A, 0, "a1", "a2"), change(B, 1, "b2")], ANN, KEY)
    assert again == await log.find("k1", "r1")
    assert await log.position() == 5


async def test_a_key_of_another_request_is_refused(log: EventLog) -> None:
    await log.append([change(A, 0, "a1")], ANN, KEY)
    reused = IdempotencyKey(key="k1", request="r2", subject=B)
    with pytest.raises(IdempotencyKeyReused):
        await log.append([change(B, 0, "b1")], ANN, reused)
    with pytest.raises(IdempotencyKeyReused):
        await log.find("k1", "r2")
    assert names(await log.read_all()) == ["a1"]


async def test_a_key_is_remembered_though_nothing_was_to_be_recorded(log: EventLog) -> None:
    await log.append([change(A, 0, "a1", "a2")], ANN)
    silent = await log.append([change(A, 2)], ANN, KEY)
    assert silent == Receipt(position=2, subject=A, version=2)
    await log.append([change(A, 2, "a3")], ANN)
    assert await log.append([change(A, 2)], ANN, KEY) == Receipt(position=2, subject=A, version=2, is_repeat=True)


async def test_a_key_answers_with_the_version_of_a_subject_that_was_not_changed(log: EventLog) -> None:
    await log.append([change(A, 0, "a1", "a2")], ANN)
    receipt = await log.append([change(B, 0, "b1")], ANN, KEY)
    assert (receipt.subject, receipt.version, receipt.position) == (A, 2, 3)


async def test_a_key_of_a_refused_append_is_still_good(log: EventLog) -> None:
    with pytest.raises(StreamMoved):
        await log.append([change(A, 1, "a2")], ANN, KEY)
    assert not (await log.append([change(A, 0, "a1")], ANN, KEY)).is_repeat


async def test_of_those_who_append_with_the_same_key_one_writes_and_all_get_its_answer(log: EventLog) -> None:
    appends = (log.append([change(A, 0, "a1")], ANN, KEY) for _ in range(20))
    receipts = await asyncio.gather(*appends)
    assert sorted(receipt.is_repeat for receipt in receipts) == [False] + [True] * 19
    assert {(receipt.position, receipt.subject, receipt.version) for receipt in receipts} == {(1, A, 1)}
    assert names(await log.read_all()) == ["a1"]


# Reading


async def test_a_stream_is_read_between_versions(log: EventLog) -> None:
    await log.append([change(A, 0, "a1", "a2"), change(B, 0, "b1"), change(A, 2, "a3", "a4")], ANN)
    assert names(await log.read(A)) == ["a1", "a2", "a3", "a4"]
    assert names(await log.read(A, after=1, until=3)) == ["a2", "a3"]
    assert names(await log.read(A, until=2)) == ["a1", "a2"]
    assert names(await log.read(A, after=4)) == []
    assert names(await log.read(C)) == []


async def test_events_are_what_is_read_without_envelopes(log: EventLog) -> None:
    await log.append([change(A, 0, "a1", "a2", "a3")], ANN)
    for after, until in ((0, None), (1, None), (0, 2), (1, 2), (3, None), (2, 9)):
        assert [r.event for r in await log.read(A, after, until)] == list(await log.events(A, after, until))


async def test_where_a_stream_ends_is_known_once_it_was_read(log: EventLog) -> None:
    await log.append([change(A, 0, "a1", "a2")], ANN)
    await asyncio.gather(log.read(A), log.events(B))
    assert [log.ends_at(A, version) for version in range(4)] == [False, False, True, True]
    assert log.ends_at(B, 0)
    await log.append([change(A, 2, "a3"), change(B, 0, "b1")], ANN)
    assert [log.ends_at(A, 2), log.ends_at(B, 0)] == [False, False]
    assert [log.ends_at(A, 3), log.ends_at(B, 1)] == [True, True]


async def test_everything_is_read_from_a_position_on(log: EventLog) -> None:
    await log.append([change(A, 0, "1", "2", "3"), change(B, 0, "4", "5")], ANN)
    assert names(await log.read_all()) == ["1", "2", "3", "4", "5"]
    assert names(await log.read_all(after=1, limit=3)) == ["2", "3", "4"]
    assert names(await log.read_all(after=5)) == []


async def test_an_empty_log_is_at_position_0(log: EventLog) -> None:
    assert await log.position() == 0
    assert names(await log.read_all()) == []
    assert await log.append([], ANN) == Receipt(position=0)


# 6. Who follows gets every event once, in order, and then stays live


async def test_a_follower_gets_what_is_there_and_what_comes(log: EventLog) -> None:
    await log.append([change(A, 0, "1", "2")], ANN)
    follower = log.follow()
    assert names(await anext(follower)) == ["1", "2"]
    waiting = asyncio.create_task(take(follower, 2))
    await log.append([change(B, 0, "3")], ANN)
    await log.append([change(A, 2, "4")], ANN)
    assert names(await waiting) == ["3", "4"]


@pytest.mark.parametrize("after", [0, 1, 200, 455])
async def test_followers_from_anywhere_miss_nothing_while_others_append(log: EventLog, after: int) -> None:
    following = [asyncio.create_task(take(log.follow(after), WRITTEN - after)) for _ in range(5)]
    await write(log)
    every = list(await log.read_all(after, limit=WRITTEN))
    assert await asyncio.gather(*following) == [every] * 5
    assert every == await take(log.follow(after), WRITTEN - after)


async def test_a_follower_of_a_stream_gets_nothing_else(log: EventLog) -> None:
    await log.append([change(A, 0, "a1"), change(B, 0, "b1"), change(A, 1, "a2")], ANN)
    following = [asyncio.create_task(take(log.follow(after, A), 4 - skipped)) for after, skipped in ((0, 0), (1, 1))]
    await write(log, writers=4)
    await log.append([change(A, 2, "a3"), change(B, 1, "b2"), change(A, 3, "a4")], ANN)
    first, second = await asyncio.gather(*following)
    assert names(first) == ["a1", "a2", "a3", "a4"]
    assert names(second) == ["a2", "a3", "a4"]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 20])
async def test_a_streams_version_is_known_at_every_position(log: EventLog, count: int) -> None:
    for number in range(count):
        await log.append([change(A, number, f"a{number}"), change(B, 2 * number, "b1", "b2")], ANN)
    assert [await log.version(A, position) for position in range(3 * count + 2)] == [
        (position + 2) // 3 for position in range(3 * count + 1)
    ] + [count]
    assert [await log.version(stream) for stream in (A, B, C)] == [count, 2 * count, 0]
    assert await log.version(C, 3) == 0


async def test_who_takes_only_what_is_in_memory_is_told_where_that_begins(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "TAIL_SIZE", 4)
    await log.append([change(A, 0, "1", "2", "3")], ANN)
    recent = log.recent(1)
    assert names(await anext(recent)) == ["2", "3"]
    await log.append([change(A, 3, "4", "5")], ANN)
    assert names(await anext(recent)) == ["4", "5"]
    await log.append([change(A, 5, "6", "7", "8", "9", "10")], ANN)
    assert await anext(recent, None) is None
    assert [await anext(log.recent(after), None) for after in range(4)] == [None] * 4


async def test_a_follower_that_starts_ahead_waits_until_the_log_is_there(log: EventLog) -> None:
    following = asyncio.create_task(take(log.follow(after=3), 1))
    await log.append([change(A, 0, "1", "2")], ANN)
    await log.append([change(A, 2, "3", "4")], ANN)
    assert names(await following) == ["4"]


async def test_a_follower_that_is_closed_or_cancelled_disturbs_nobody(log: EventLog) -> None:
    closed, cancelled = log.follow(), asyncio.create_task(take(log.follow(), 99))
    staying = asyncio.create_task(take(log.follow(), 3))
    await log.append([change(A, 0, "1")], ANN)
    assert names(await anext(closed)) == ["1"]
    await closed.aclose()
    cancelled.cancel()
    await log.append([change(A, 1, "2", "3")], ANN)
    assert names(await staying) == ["1", "2", "3"]
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(StopAsyncIteration):
        await anext(closed)


async def test_followers_end_when_the_log_is_closed(log: EventLog) -> None:
    await log.append([change(A, 0, "1")], ANN)
    waiting, idle = log.follow(after=1), log.follow()
    ends = asyncio.create_task(anext(waiting, "ended"))
    assert names(await anext(idle)) == ["1"]
    await asyncio.sleep(0)  # lets the one begin to wait
    await log.close()
    assert await ends == "ended"
    assert await anext(idle, "ended") == "ended"


# Endings


async def test_a_closed_log_says_so(log: EventLog) -> None:
    await log.close()
    await log.close()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: log.append([change(A, 0, "a1")], ANN),
        lambda: log.find("k", "r"),
        lambda: log.read(A),
        lambda: log.events(A),
        lambda: log.read_all(),
        lambda: log.position(),
        lambda: anext(log.follow()),
    ]
    for call in calls:
        with pytest.raises(LogUnavailable, match="closed"):
            await call()


async def test_what_was_to_be_appended_is_written_before_the_log_closes(log: EventLog) -> None:
    appends = [asyncio.create_task(log.append([change(ids.new(), 0, f"{n}")], ANN)) for n in range(5)]
    await asyncio.sleep(0)  # lets them begin
    await log.close()
    assert [receipt.position for receipt in await asyncio.gather(*appends)] == [1, 2, 3, 4, 5]


async def test_who_stops_waiting_for_an_append_breaks_no_other(log: EventLog) -> None:
    appends = [asyncio.create_task(log.append([change(ids.new(), 0, f"{n}")], ANN)) for n in range(10)]
    await asyncio.sleep(0)  # lets them begin
    for gone in appends[::3]:
        gone.cancel()
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[1:3]] == [Receipt, Receipt]
    assert len([outcome for outcome in outcomes if isinstance(outcome, asyncio.CancelledError)]) == 4
    await log.append([change(A, 0, "last")], ANN)
    written = names(await log.read_all())
    assert {f"{n}" for n in range(10) if n % 3} <= set(written)
    assert written[-1] == "last"


async def test_two_logs_have_different_epochs(log: EventLog) -> None:
    assert log.epoch
    assert log.epoch != MemoryLog().epoch


# Being told


async def test_who_watches_is_told_of_everything_before_who_appended_it(log: EventLog) -> None:
    await log.append([change(A, 0, "a1")], ANN)
    told: list[RecordedEvent] = []
    assert log.watch(told.extend) == 1
    await log.append([change(A, 1, "a2", "a3"), change(B, 0, "b1")], ANN)
    assert names(told) == ["a2", "a3", "b1"]
    assert [recorded.position for recorded in told] == [2, 3, 4]
