"""Watching the log for a few kinds of events: what nobody wants isn't read, and nobody misses what they want."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from domain.pipeline.environment import EnvironmentDeleted, EnvironmentRenamed
from domain.pipeline.ref import StageId
from domain.pipeline.stage import StageDescribed
from store import ids
from store.log import Event, EventLog, RecordedEvent, StreamChange
from store.postgres import log as postgres
from store.postgres.log import PostgresLog
from tests.proxy import far
from tests.store.postgres.test_log import opened
from tests.store.sample import ANN, A, B, renamed, take

DESCRIBED = StageDescribed(stage=StageId(ids.new()), description="Rename me")
EVENTS = (renamed("a"), DESCRIBED, EnvironmentDeleted(), DESCRIBED)


async def write(log: EventLog, stream: UUID, *events: Event) -> None:
    await log.append([StreamChange(stream=stream, expected=len(await log.events(stream)), events=events)], ANN)


def kinds(events: Sequence[RecordedEvent]) -> list[type[Event]]:
    return [type(each.event) for each in events]


class Watcher:
    """An observer of the events of *kinds*, from now on."""

    def __init__(self, log: EventLog, *kinds: type[Event]) -> None:
        self.told: list[RecordedEvent] = []
        self.begun = log.watch(self.told.extend, kinds)
        self.kinds = kinds

    def expected(self, every: Sequence[RecordedEvent]) -> list[RecordedEvent]:
        return [each for each in every if each.position > self.begun and type(each.event) in self.kinds]


async def test_who_watches_some_kinds_is_told_of_these_only(log: EventLog) -> None:
    watcher = Watcher(log, EnvironmentRenamed, EnvironmentDeleted)
    await write(log, A, *EVENTS)
    assert kinds(watcher.told) == [EnvironmentRenamed, EnvironmentDeleted]
    assert watcher.told == watcher.expected(await log.read_all())


async def test_what_other_nodes_write_is_told_of_in_its_order_among_what_this_one_does(database: str) -> None:
    async with opened(database, database) as (one, other):
        watcher = Watcher(one, EnvironmentRenamed, EnvironmentDeleted)

        async def go_on(log: PostgresLog) -> None:
            stream = ids.new()
            for _ in range(20):
                await write(log, stream, *EVENTS)

        await asyncio.gather(*(go_on(log) for log in (one, other) for _ in range(3)))
        assert await one.position() == 480
        assert watcher.told == watcher.expected(await one.read_all())
        assert len(watcher.told) == 240


async def test_who_follows_a_log_of_which_only_some_was_wanted_misses_nothing(database: str) -> None:
    async with opened(database, database) as (one, other):
        Watcher(one, EnvironmentRenamed)
        await write(other, A, *EVENTS)
        assert await one.position() == 4
        followers = [asyncio.create_task(take(one.follow(after), 8 - after)) for after in (0, 3)]
        of_a = asyncio.create_task(take(one.follow(0, A), 4))
        await write(other, B, *EVENTS)
        every = list(await other.read_all())
        assert [*await asyncio.gather(*followers), await of_a] == [every, every[3:], every[:4]]


async def test_who_comes_to_watch_while_others_kinds_are_being_read_misses_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(database, database) as (one, other):
        first = Watcher(one, EnvironmentRenamed)
        later: list[Watcher] = []
        fetch = one._reader.page_of_kinds

        async def slow(*wanted: object) -> Sequence[RecordedEvent]:
            found = await fetch(*wanted)  # type: ignore[arg-type]  # they are passed on as they are
            if found and not later:
                later.append(Watcher(one, StageDescribed))
            return found

        monkeypatch.setattr(one._reader, "page_of_kinds", slow)
        await write(other, A, *EVENTS)
        assert await one.position() == 4
        every = await other.read_all()
        for watcher in (first, *later):
            assert watcher.told == watcher.expected(every)
        assert kinds(later[0].told) == [StageDescribed, StageDescribed]


async def test_many_that_nobody_wants_are_passed_over_piece_by_piece(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "WINDOW", 3)
    async with opened(database, database) as (one, other):
        watcher = Watcher(one, EnvironmentDeleted)
        for _ in range(5):
            await write(other, A, *EVENTS)
        assert await one.position() == 20
        assert [each.position for each in watcher.told] == [3, 7, 11, 15, 19]


async def test_who_watches_is_told_without_anybody_following_or_asking(database: str) -> None:
    async with opened(database, database) as (one, other):
        heard = asyncio.Event()
        one.watch(lambda _: heard.set(), [EnvironmentDeleted])
        await write(other, A, *EVENTS)
        async with asyncio.timeout(30):
            await heard.wait()


async def test_what_no_word_came_of_is_looked_for_without_anybody_following_or_asking(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "POLL", 0.01)
    async with far(database) as (proxy, dsn), opened(dsn, database, probe=1e9) as (one, other):
        heard = asyncio.Event()
        one.watch(lambda _: heard.set(), [EnvironmentDeleted])
        async with asyncio.timeout(30):
            while not proxy.lose():  # it may only just begin to listen
                await asyncio.sleep(0.01)
            await write(other, A, *EVENTS)
            await heard.wait()
