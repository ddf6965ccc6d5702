"""The database is put back to an earlier state, or to another history since then, while nodes run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import psycopg
import pytest

from store import postgres_connection
from store.log import LogUnavailable, PutBack
from store.postgres import PostgresLog
from store.postgres_connection import Pool
from tests import postgres
from tests.postgres import Server, created
from tests.store.sample import ANN, A, B, C, change, names, take
from tests.store.test_postgres import opened

PATIENCE = 30.0


@pytest.fixture
def own() -> Iterator[Server]:
    """A server for this test alone."""
    with postgres.running(waits_for_disk=False) as server:
        yield server


@pytest.fixture
def dsn(own: Server) -> Iterator[str]:
    with created(own.dsn, "template0") as dsn:
        yield dsn


async def lost(log: PostgresLog) -> None:
    """Returns when it is found."""
    async with asyncio.timeout(PATIENCE):
        await log.witness.lost.wait()


async def back(log: PostgresLog) -> None:
    """Returns when it can be read again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(LogUnavailable):
                await log.position()
                return
            await asyncio.sleep(0.01)


async def write(dsn: str, *letters: str, after: int = 0) -> None:
    """By a node that then ends."""
    async with opened(dsn) as [log]:
        await log.append([change(A, after, *letters)], ANN)


@pytest.mark.parametrize("others", ["", "x", "xyz"], ids=["it is gone", "another one is there", "and more"])
async def test_a_node_has_nothing_to_do_with_a_database_that_lacks_what_it_knows(
    own: Server, dsn: str, others: str, caplog: pytest.LogCaptureFixture
) -> None:
    await write(dsn, "a")
    own.keep("then")
    if others:
        await write(dsn, *others, after=1)
        own.keep("others")
        own.put_back("then")
    async with opened(dsn) as [log]:
        follower = log.follow()
        assert names(await anext(follower)) == ["a"]
        await log.append([change(A, 1, "b")], ANN)
        assert names(await anext(follower)) == ["b"]
        own.put_back("others" if others else "then")
        await lost(log)
        ways: list[Callable[[], Awaitable[object]]] = [
            log.position,
            log.read_all,
            log.export,
            lambda: log.links(0, 10),
            lambda: log.read(A),
            lambda: log.events(A, until=1),
            lambda: log.version(A),
            lambda: log.find("key", "request"),
            lambda: log.append([change(B, 0, "b")], ANN),
            lambda: take(log.follow(), 1),
            lambda: take(log.recent(0), 1),
        ]
        for way in ways:
            with pytest.raises(PutBack, match=r"was put back to an earlier state: event 2 is .* start it again"):
                await way()
        with pytest.raises(PutBack):
            log.ends_at(A, 2)
    assert [record.levelno for record in caplog.records].count(logging.CRITICAL) == 1
    async with opened(dsn) as [log]:
        assert names(await log.read_all()) == ["a", *others]


async def test_a_node_goes_on_when_all_that_it_knows_is_there(own: Server, dsn: str) -> None:
    async with opened(dsn, dsn) as [log, other]:
        await log.append([change(A, 0, "a")], ANN)
        await other.position()
        own.keep("now")
        for _ in range(2):
            own.put_back("now")
            for each in (log, other):
                await back(each)
        await log.append([change(A, 1, "b")], ANN)
        await other.append([change(B, 0, "c")], ANN)
        assert names(await take(log.follow(), 3)) == names(await take(other.follow(), 3)) == ["a", "b", "c"]


async def test_a_replica_that_is_behind_is_not_taken_for_what_it_may_still_come_to(own: Server, dsn: str) -> None:
    await write(dsn, "a")
    own.keep("then")
    async with opened(dsn) as [log]:
        await log.append([change(A, 1, "b")], ANN)
        own.put_back("then", as_replica=True)
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await log.position()
                except LogUnavailable as fault:
                    if "a replica that is behind" in str(fault):
                        break
                await asyncio.sleep(0.01)
        assert not log.witness.lost.is_set()
        own.promote()
        await lost(log)


WAYS: dict[str, Callable[[PostgresLog], Awaitable[object]]] = {
    "append": lambda log: log.append([change(C, 0, "c")], ANN),
    "events": lambda log: log.events(B),
    "read": lambda log: log.read(B),
    "read up to there": lambda log: log.read(B, until=1),
    "read_all": lambda log: log.read_all(1),
    "links": lambda log: log.links(1, 2),
    "export": lambda log: log.export(1),
    "position": lambda log: log.position(),
    "follow": lambda log: take(log.follow(1, B), 1),
}


@pytest.mark.parametrize("way", WAYS)
async def test_whatever_way_an_event_is_known_by_it_is_missed(database: str, way: str) -> None:
    async with opened(database, database) as [log, other]:
        await other.append([change(A, 0, "a")], ANN)
        await log.position()
        log._reading.cancel()  # it hears of nothing
        if way != "append":
            await other.append([change(B, 0, "b")], ANN)
        await WAYS[way](log)
        with psycopg.connect(database) as connection:
            connection.execute("ALTER TABLE stored_events DISABLE TRIGGER USER")
            connection.execute("DELETE FROM stored_events WHERE notification_id = 2")
        pool = await Pool.open(database, 1, log.witness.check)
        with pytest.raises(PutBack, match="event 2 is gone"):
            await pool.fetch("SELECT")


async def test_another_log_in_its_place_is_found_though_nothing_is_known_of_it(database: str) -> None:
    async with opened(database) as [log]:
        connection = await postgres_connection.connect(database)
        await log.witness.check(connection)
        await connection.execute("UPDATE meta SET value = 'another' WHERE name = 'epoch'")
        with pytest.raises(PutBack, match="it holds another log"):
            await log.witness.check(connection)
        await connection.close()
