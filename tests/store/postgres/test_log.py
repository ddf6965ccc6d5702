"""The log on PostgreSQL: several nodes, a connection that breaks, and a database that is away."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import psycopg
import pytest

from domain.access import TokenId, TokenRevoked
from domain.deployment.step import Phase
from domain.errors import IdempotencyKeyReused
from domain.pipeline.environment import EnvironmentRenamed
from store import codec, ends, ids
from store.batch import now
from store.log import (
    Author,
    Event,
    IdempotencyKey,
    LogUnavailable,
    Origin,
    OutcomeUnknown,
    Receipt,
    RecordedEvent,
    StreamChange,
    StreamMoved,
)
from store.output import OutputSelection
from store.postgres import connection as postgres_connection
from store.postgres import log as postgres
from store.postgres import output, reader, schema, writer
from store.postgres.connection import DedicatedConnection, Pool
from store.postgres.errors import InDoubt, translate_errors
from store.postgres.listener import Listener
from store.postgres.locks import LOCK_APPENDS
from store.postgres.log import PostgresLog
from store.postgres.rows import ANSWERS, APPEND, COLUMNS, HEADS, event_from_row
from store.postgres.schema import migrate, migrations
from tests.postgres import Server, created, named, pages
from tests.proxy import far
from tests.store.sample import ANN, BOB, A, B, C, change, names, take

if TYPE_CHECKING:
    from store.postgres.connection import Connection

OLD = f"""
    INSERT INTO stored_events VALUES (1, '{A}', 1, 'pipeline.EnvironmentRenamed', '{{"name":"a1"}}',
        '{A}', now(), 'ann', 'API', NULL, NULL, NULL, NULL, '', '')
"""
"""An event as it was written by any version."""


@asynccontextmanager
async def opened(*dsns: str, probe: float = 10.0) -> AsyncIterator[list[PostgresLog]]:
    """A node for each of *dsns*."""
    logs = [await PostgresLog.open(dsn, probe=probe) for dsn in dsns]
    yield logs
    for log in logs:
        await log.close()


OF_B, OF_STEP = OutputSelection(service=B), OutputSelection(service=B, phase=Phase.BUILD, attempt=1)

READ = {
    reader.ALL: "10, 10",
    reader.SOME: "10, 10, '{none}'",
    f"{reader.POSITION} OFFSET $1": "0",
    f"SELECT {COLUMNS} FROM stored_events WHERE {reader.OF_STREAM}": f"'{B}', 0, 5",
    f"{reader.HALVING} SELECT {reader.VERSION}": f"'{A}', 50",
    HEADS: f"'{{{A}}}'",
    ANSWERS: "'{key}'",
    APPEND: f"""
        ARRAY[ROW(1, '{A}', 0, '')]::believed[], ARRAY[ROW(2, gen_random_uuid()::text, '', '{A}')]::keyed[],
        '{{}}', now()
    """,
    output.chunks_statement(OutputSelection(), newest=False): f"'{A}', NULL, NULL, NULL, 50, 100, 10, 10, 10, 1000",
    output.chunks_statement(OF_B, newest=True): f"'{A}', '{B}', NULL, NULL, 0, 50, 10, 10, 10, 1000",
    output.chunks_statement(OF_STEP, newest=True): f"'{A}', '{B}', 'BUILD', 1, 0, 50, 10, 10, 10, 1000",
}
"""Statements with their parameters; of the appends one is refused, and the other keeps a key."""

PRINTED = """
    INSERT INTO output_chunks
    SELECT $1, n, n, gen_random_uuid(), 'BUILD', 1, 'LINE', now(), '["line"]' FROM generate_series(1, 5000) AS n
"""


@pytest.mark.parametrize("is_known", [True, False])
async def test_what_is_read_costs_the_same_however_much_there_is(database: str, is_known: bool) -> None:
    """Also over a connection that planned it when there was nothing, and if the database had looked into that then."""
    async with opened(database) as [log]:
        connection = await postgres_connection.connect(database)
        if is_known:
            await connection.execute("VACUUM ANALYZE")
        reading = [f"EXECUTE reading{n}({parameters})" for n, parameters in enumerate(READ.values())]
        for number, statement in enumerate(READ):
            await connection.execute(f"PREPARE reading{number} AS {statement}")
            await connection.execute(reading[number])  # it is planned now

        async def looked_at() -> list[int]:
            return [await pages(connection, each) for each in reading]

        await log.append([change(A, 0, *"x" * 100), change(B, 0, "b")], ANN)
        await looked_at()  # the first reads the catalogues
        few = await looked_at()
        for start in range(100, 5_000, 700):
            await log.append([change(A, start, *"x" * 700)], ANN)
        await connection.execute("INSERT INTO keys SELECT n, '', $1, 1, 1 FROM generate_series(1, 5000) AS n", A)
        await connection.execute(PRINTED, A)
        for before, after in zip(few, await looked_at(), strict=True):
            assert after < before + 50
        await connection.close()


# Several nodes


@pytest.mark.parametrize("known", [1, 10_000])
async def test_what_others_wrote_is_known_to_who_asked_for_the_position(
    database: str, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ends of streams are remembered."""
    monkeypatch.setattr(ends, "MAX_ENDS", known)
    written = {A: 0, B: 0}
    async with opened(database, database) as (one, other):

        async def write(stream: UUID) -> None:
            for version in range(60):
                await one.append([change(stream, version, "a")], ANN)
                written[stream] = version + 1

        async def read(stream: UUID) -> None:
            version = 0
            while version < 60:
                least = written[stream]
                await other.position()
                if not other.ends_at(stream, version):
                    version += len(await other.events(stream, after=version))
                assert version >= least

        await asyncio.gather(read(A), read(A), read(B), write(A), write(B))
        await other.position()  # what is passed over for nobody wants it is forgotten
        await asyncio.gather(other.read(A), other.read(B))
        assert [other.ends_at(stream, 60) for stream in (A, B)].count(True) == min(known, 2)


@pytest.mark.parametrize("kinds", [None, [EnvironmentRenamed]])
async def test_a_node_waits_at_an_event_that_only_a_newer_one_knows_and_says_so(
    database: str,
    kinds: list[type[Event]] | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[RecordedEvent] = []
    revoked = TokenRevoked(token=TokenId(ids.new()))

    def of_an_older_version(row: asyncpg.Record) -> RecordedEvent:
        if row["topic"] == codec.name(revoked):
            raise codec.UnknownEvent("A newer one wrote it.")
        return event_from_row(row)

    async with opened(database, database) as (newer, older):
        older.watch(told.extend, kinds)
        with monkeypatch.context() as patch:
            patch.setattr("store.postgres.rows.event_from_row", of_an_older_version)
            await newer.append([StreamChange(stream=B, expected=0, events=(revoked,))], ANN)
            with pytest.raises(LogUnavailable, match="A newer one wrote it"):
                await older.position()
            async with asyncio.timeout(30):
                while "Cannot read events after" not in caplog.text:
                    await asyncio.sleep(0.01)
            assert told == []
        await newer.append([change(A, 0, "a1")], ANN)
        async with asyncio.timeout(30):
            while names(told[-1:]) != ["a1"]:
                await asyncio.sleep(0.01)
        assert caplog.text.count("Cannot read events after") == 1


async def test_a_conflict_with_another_node_says_where_the_stream_is(database: str) -> None:
    async with opened(database, database) as (one, other):
        await one.append([change(A, 0, "a1")], ANN)
        await other.append([change(A, 1, "a2", "a3"), change(B, 0, "b1")], ANN)
        with pytest.raises(StreamMoved) as refused:
            await one.append([change(C, 0, "c1"), change(A, 1, "a4")], ANN)
        assert (refused.value.stream, refused.value.expected, refused.value.current) == (A, 1, 3)
        assert (await one.append([change(A, 3, "a4")], ANN)).position == 5
        assert names(await other.read_all()) == ["a1", "a2", "a3", "b1", "a4"]


async def test_a_conflict_with_another_node_refuses_its_own_append_and_no_other(database: str) -> None:
    async with opened(database, database) as (one, other):
        streams = [ids.new() for _ in range(20)]
        for stream in streams:
            await one.append([change(stream, 0, "1")], ANN)
        for stream in streams[::2]:
            await other.append([change(stream, 1, "2")], ANN)
        appends = [one.append([change(stream, 1, f"{stream}")], ANN) for stream in streams]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert [isinstance(outcome, StreamMoved) for outcome in outcomes] == [True, False] * 10
        written = [receipt.recorded[0] for receipt in outcomes if isinstance(receipt, Receipt)]
        assert written == list(await other.read_all(after=30))
        assert names(written) == [f"{stream}" for stream in streams[1::2]]


async def test_of_two_appends_that_check_what_the_other_writes_one_is_refused(database: str) -> None:
    async with opened(database) as [log]:
        crossed = [[change(A, 0, "a1"), change(B, 0)], [change(B, 0, "b1"), change(A, 0)]]
        outcomes = await asyncio.gather(*(log.append(each, ANN) for each in crossed), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Receipt, StreamMoved]


async def test_a_key_that_another_node_has_seen_gives_the_first_answer_again(database: str) -> None:
    key = IdempotencyKey(key="k", request="r", subject=A)
    async with opened(database, database) as (one, other):
        receipts = await asyncio.gather(*(log.append([change(A, 0, "a1")], ANN, key) for log in (one, other) * 10))
        assert sorted(receipt.is_repeat for receipt in receipts) == [False] + [True] * 19
        assert {(receipt.position, receipt.subject, receipt.version) for receipt in receipts} == {(1, A, 1)}
        with pytest.raises(IdempotencyKeyReused):
            await other.append([change(A, 1)], ANN, IdempotencyKey(key="k", request="another", subject=A))
        assert await one.append([change(A, 1)], ANN, IdempotencyKey(key="silent", request="r", subject=A)) == Receipt(
            position=1, subject=A, version=1
        )
        await one.append([change(A, 1, "a2")], ANN)
        again = await other.append([change(A, 1)], ANN, IdempotencyKey(key="silent", request="r", subject=A))
        assert again == Receipt(position=1, subject=A, version=1, is_repeat=True)


async def test_followers_on_every_node_miss_nothing_of_what_any_of_them_writes(database: str) -> None:
    async with opened(database, database, database) as logs:
        following = [asyncio.create_task(take(log.follow(), 300)) for log in logs for _ in range(2)]

        async def write(log: PostgresLog) -> None:
            stream = ids.new()
            for version in range(100 // 4):
                await log.append([change(stream, version, "e")], ANN)

        await asyncio.gather(*(write(log) for log in logs for _ in range(4)))
        every = list(await logs[0].read_all())
        assert [recorded.position for recorded in every] == list(range(1, 301))
        assert await asyncio.gather(*following) == [every] * 6


async def test_a_node_hears_of_what_others_write_without_looking(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "POLL", 1e9)
    told: list[RecordedEvent] = []
    heard = asyncio.Event()

    def hear(events: Sequence[RecordedEvent]) -> None:
        told.extend(events)
        heard.set()

    async with opened(database, database) as (one, other), asyncio.timeout(30):
        other.watch(hear)
        for version in range(3):
            await one.append([change(A, version, f"a{version}")], ANN)
            await heard.wait()
            heard.clear()
        assert names(told) == ["a0", "a1", "a2"]


async def test_what_was_built_on_another_history_is_refused(database: str) -> None:
    """As when the database is put back under a node that runs: the version alone would not tell."""
    async with opened(database, database) as (one, other):
        await one.append([change(A, 0, "lost")], ANN)
        with psycopg.connect(database) as connection:
            connection.execute("ALTER TABLE stored_events DISABLE TRIGGER USER")
            connection.execute("DELETE FROM stored_events")
        await other.append([change(A, 0, "kept")], ANN)
        with pytest.raises(StreamMoved):
            await one.append([change(A, 1, "a2")], ANN)
        await one.append([change(A, 1, "a2")], ANN)
        first, second = await other.read(A)
        assert (names([first, second]), second.previous) == (["kept", "a2"], first.hash)


async def test_streams_that_several_nodes_write_to_are_chained_and_their_times_in_order(database: str) -> None:
    async with opened(database, database, database) as logs:

        async def write(log: PostgresLog, count: int = 20) -> None:
            while count:
                version = len(await log.events(A))
                try:
                    await log.append([change(A, version, "a"), change(B, version, "b")], BOB)
                except StreamMoved:
                    continue
                count -= 1

        await asyncio.gather(*map(write, logs))
        for stream in (A, B):
            events = await logs[0].read(stream)
            assert [event.version for event in events] == list(range(1, 61))
            previous = b""
            for r in events:
                state = codec.encode(r.event)
                link = codec.digest(previous, r.id, r.stream, r.version, r.name, state, r.recorded_at, r.by)
                assert (r.previous, r.hash) == (previous, link)
                previous = r.hash
            assert [r.recorded_at for r in events] == sorted(r.recorded_at for r in events)


@pytest.mark.parametrize("kinds", [None, [TokenRevoked]])
async def test_a_node_whose_clock_is_behind_dates_no_event_before_the_one_that_it_follows(
    database: str, kinds: list[type[Event]] | None
) -> None:
    """This does not depend on the kinds of events that it watches."""
    async with opened(database) as [one]:
        behind = await PostgresLog.open(database, lambda: now() - timedelta(hours=1))
        behind.watch(lambda _: None, kinds)
        for version in range(0, 6, 2):
            await one.append([change(A, version, "in time")], ANN)
            await behind.append([change(A, version + 1, "late")], ANN)
        await one.append([change(A, 6, "in time")], ANN)
        await behind.position()
        await behind.append([change(B, 0, "late")], ANN)  # after what it has only heard of
        times = [recorded.recorded_at for recorded in await one.read_all()]
        assert times == sorted(times)
        await behind.close()


async def test_what_the_database_can_not_store_refuses_no_other_append(database: str) -> None:
    unwritable = Author(actor="ann", origin=Origin.API, reason="no text has a \0 in it")
    async with opened(database) as [log]:
        appends = [log.append([change(stream, 0, "e")], by) for stream, by in ((A, ANN), (B, unwritable), (C, ANN))]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert [isinstance(outcome, Receipt) for outcome in outcomes] == [True, False, True]
        assert await log.position() == 2


# The tables


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET topic = 'x'",
        "DELETE FROM stored_events",
        "TRUNCATE stored_events",
        "UPDATE keys SET request = 'x'",
        "TRUNCATE keys",
    ],
)
async def test_what_is_written_stays(database: str, statement: str) -> None:
    async with opened(database) as [log]:
        await log.append([change(A, 0, "a1")], ANN)
        with psycopg.connect(database) as connection, pytest.raises(psycopg.errors.RaiseException, match="are kept"):
            connection.execute(statement.encode())
        assert names(await log.read_all()) == ["a1"]


async def test_nodes_that_start_at_once_make_the_tables_once(postgres: str) -> None:
    with created(postgres, "template0") as dsn:
        assert len(set(await asyncio.gather(*(migrate(dsn) for _ in range(5))))) == 1
        async with opened(dsn, dsn) as (one, other):
            await one.append([change(A, 0, "a1")], ANN)
            assert names(await other.read_all()) == ["a1"]
            assert one.epoch == other.epoch


async def test_a_database_of_a_newer_version_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = [*migrations(), "CREATE TABLE newer ()"]
    monkeypatch.setattr(schema, "migrations", lambda: newer)
    await migrate(database)
    monkeypatch.undo()
    known = len(migrations())
    with pytest.raises(LogUnavailable, match=rf"newer version .* schema is {known + 1}, this version knows {known}"):
        await PostgresLog.open(database)


async def test_tables_of_the_first_version_are_brought_up_to_date_with_what_is_in_them(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = migrations()[:1]
    with created(postgres, "template0") as dsn:
        monkeypatch.setattr(schema, "migrations", lambda: first)
        epoch = await migrate(dsn)
        with psycopg.connect(dsn) as connection:
            connection.execute(OLD.encode())
        monkeypatch.undo()
        async with opened(dsn) as [log]:
            assert log.epoch == epoch
            assert (await log.append([change(A, 1, "a2")], ANN)).position == 2
            assert names(await log.read(A)) == ["a1", "a2"]


async def test_a_node_whose_tables_another_version_has_changed_says_so(database: str) -> None:
    async with opened(database) as [log]:
        with psycopg.connect(database) as connection:
            connection.execute("DROP FUNCTION append(believed[], keyed[], stored_events[], timestamptz)")
        with pytest.raises(LogUnavailable, match=r"another version of Stageline has changed the tables: run the same"):
            await log.append([change(A, 0, "a1")], ANN)


async def test_a_database_that_is_not_there_is_asked_for(database: str) -> None:
    with pytest.raises(
        LogUnavailable, match=r"The database nothing at 127\.0\.0\.1:.*: the database does not exist: create it"
    ):
        await PostgresLog.open(named(database, "nothing"))


async def test_a_database_with_tables_of_others_is_left_to_them(postgres: str) -> None:
    with created(postgres, "template0") as dsn:
        with psycopg.connect(dsn) as theirs:
            theirs.execute("CREATE TABLE stored_events ()")
        with pytest.raises(LogUnavailable, match="tables of another program: name a database of its own"):
            await migrate(dsn)


async def test_a_database_is_asked_for_in_words_that_say_what_to_do(database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    for dsn, words in {
        f"postgresql://127.0.0.1:{free}/shop": rf"The database shop at 127\.0\.0\.1:{free}: connection refused: check",
        "postgresql://no.such.host.invalid/shop": "The database shop at .*: unknown host name",
        "postgresql:///shop?host=/no/such/folder": "the socket, or a file that the address names, does not exist",
        "mysql://ann:secret@127.0.0.1/shop": "Invalid database address .*: use postgresql://",
        "postgresql://ann:secret@127.0.0.1:99999/shop": "Invalid database address",
        f"postgresql://ann:secret@{database.partition('@')[2]}": r'.*: role "ann" does not exist\.',
    }.items():
        with pytest.raises(LogUnavailable, match=words) as refused:
            await migrate(dsn)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            asyncpg.InvalidPasswordError("password authentication failed"),
            "wrong user or password: check the user and the",
        ),
        (
            asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry for host"),
            "no pg_hba.conf entry for host",
        ),
    ],
)
def test_who_is_not_let_in_is_told_why(error: Exception, words: str) -> None:
    """The password is right, where it is pg_hba.conf that doesn't name the machine."""
    with (
        pytest.raises(LogUnavailable, match=f"The database shop at db:5432: {words}"),
        translate_errors("postgresql://db/shop"),
    ):
        raise error


async def test_a_database_that_can_not_keep_every_text_is_refused_as_long_as_it_is_empty(postgres: str) -> None:
    name = f"latin_{os.getpid()}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        made = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(made.encode())
        try:
            with pytest.raises(
                LogUnavailable, match=r"has the encoding LATIN1; .*: create the database with createdb --encoding UTF8"
            ):
                await migrate(named(postgres, name))
        finally:
            connection.execute(f"DROP DATABASE {name}".encode())


async def test_an_address_that_makes_no_sense_is_not_waited_for(database: str) -> None:
    with pytest.raises(LogUnavailable, match="`sslmode` parameter must be one of"):
        await PostgresLog.open(f"{database}?sslmode=nonsense")


async def test_what_is_acknowledged_is_on_the_disk_though_the_database_is_set_up_otherwise(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database.rpartition('/')[2]} SET synchronous_commit = off".encode())
    pool, listener = await Pool.open(database, 1), Listener(database, [], lambda _: None)
    for rows in (
        await pool.fetch("SHOW synchronous_commit"),
        await listener.connection.fetch("SHOW synchronous_commit"),
    ):
        assert [tuple(row) for row in rows] == [("on",)]
    await listener.close()
    await pool.close()


async def test_nobody_waits_or_holds_something_for_ever_however_the_database_is_set_up(database: str) -> None:
    """And whoever appends sees what was committed before it had the lock."""
    with psycopg.connect(database, autocommit=True) as connection:
        for setting in ("default_transaction_isolation = 'serializable'", "lock_timeout = 0"):
            connection.execute(f"ALTER DATABASE {database.rpartition('/')[2]} SET {setting}".encode())
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "default_transaction_isolation")
    pool, listener = await Pool.open(database, 1), Listener(database, [], lambda _: None)
    statement = f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}"
    for rows in (await pool.fetch(statement), await listener.connection.fetch(statement)):
        assert [tuple(row) for row in rows] == [("5s", "10s", "read committed")]
    await listener.close()
    await pool.close()


async def test_a_database_that_can_only_be_read_any_more_is_read_and_says_why_nothing_is_written(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that follows another."""
    monkeypatch.setattr(writer, "DOUBT_TIMEOUT", 0.1)
    said = "the database is read-only: name the primary, not a replica"
    async with far(database) as (proxy, dsn), opened(dsn) as [log]:
        await log.append([change(A, 0, "a1")], ANN)
        with psycopg.connect(database, autocommit=True) as connection:
            name = database.rpartition("/")[2]
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        proxy.cut()
        with pytest.raises(LogUnavailable, match=said):
            await log.append([change(A, 1, "a2")], ANN)
        assert names(await log.read(A)) == ["a1"]
        with pytest.raises(LogUnavailable, match=said):
            await PostgresLog.open(database)


# A connection that breaks


async def test_a_batch_whose_answer_is_lost_is_found_and_not_written_twice(database: str) -> None:
    async with far(database) as (proxy, dsn), opened(dsn) as [log]:
        told: list[RecordedEvent] = []
        log.watch(told.extend)
        await log.append([change(A, 0, "a1")], ANN)
        proxy.swallows = b"base"
        key = IdempotencyKey(key="k", request="r", subject=C)
        changes = [[change(A, 1, "a2", "a3")], [change(C, 0, "c1")], [change(B, 0, "b1")], [change(B, 7, "b8")]]
        appends = [log.append(each, ANN, key if number == 1 else None) for number, each in enumerate(changes)]
        first, second, third, refused = await asyncio.gather(*appends, return_exceptions=True)
        assert proxy.has_swallowed.is_set()
        assert isinstance(first, Receipt)
        assert isinstance(third, Receipt)
        assert isinstance(refused, StreamMoved)
        every = list(await log.read_all())
        assert names(every) == ["a1", "a2", "a3", "c1", "b1"]
        assert [*first.recorded, *third.recorded] == [every[1], every[2], every[4]]
        assert second == Receipt(position=4, recorded=(every[3],), subject=C, version=1)
        assert (await log.append([change(A, 3, "a4")], ANN)).position == 6
        assert told == list(await log.read_all())  # those who follow miss nothing of it


async def test_what_another_wrote_while_a_connection_was_broken_is_not_taken_for_ones_own(database: str) -> None:
    async with far(database) as (proxy, dsn), opened(dsn, database) as (one, other):
        await one.append([change(A, 0, "a1")], ANN)
        proxy.hushes = b"mine"
        append = asyncio.create_task(one.append([change(A, 1, "mine")], ANN))
        await proxy.has_hushed.wait()
        await other.append([change(A, 1, "theirs")], ANN)
        proxy.cut()
        proxy.speak()
        with pytest.raises(StreamMoved):
            await append
        assert names(await one.read(A)) == ["a1", "theirs"]


@pytest.mark.parametrize("doubt", [60.0, 0.0])
async def test_as_long_as_the_database_lets_nobody_in_an_answer_that_was_lost_is_in_doubt(
    database: str, doubt: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never said to be of something that wasn't written."""
    monkeypatch.setattr(writer, "DOUBT_TIMEOUT", doubt)
    key = IdempotencyKey(key="k", request="r", subject=A)
    server, name = named(database, "postgres"), database.rpartition("/")[2]
    async with far(database) as (proxy, dsn), opened(dsn) as [log]:
        await log.append([change(A, 0, "a1")], ANN)
        admin = await asyncpg.connect(server)
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        proxy.swallows = b"base"
        append = asyncio.create_task(log.append([change(A, 1, "a2")], ANN, key))
        await proxy.has_swallowed.wait()
        connections = proxy.connections
        while proxy.connections < connections + 4 and not append.done():  # half of them are whose who listens
            await asyncio.sleep(0.01)
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()
        if doubt:
            assert (await append).position == 2
        else:
            with pytest.raises(OutcomeUnknown, match="The change may have been recorded: try again"):
                await append
        again = await log.append([change(A, 1, "a2")], ANN, key)
        assert (again.position, again.is_repeat) == (2, True)


async def test_a_batch_whose_connection_breaks_before_it_arrives_is_written_once(database: str) -> None:
    async with far(database) as (proxy, dsn), opened(dsn) as [log]:
        for version in range(5):
            proxy.cut()
            receipt = await log.append([change(A, version, "a")], ANN)
            assert receipt.position == version + 1
        assert len(await log.read(A)) == 5


async def test_who_listens_to_a_wire_that_has_gone_silent_listens_to_another_soon(database: str) -> None:
    async with far(database) as (proxy, dsn), opened(dsn, database, probe=0.1) as (deaf, other):
        following = asyncio.create_task(take(deaf.follow(), 2))
        await other.append([change(A, 0, "a1")], ANN)
        while not proxy.lose():  # it may only just begin to listen
            await asyncio.sleep(0.01)
        connections = proxy.connections
        await other.append([change(A, 1, "a2")], ANN)
        while proxy.connections == connections:
            await asyncio.sleep(0.01)
        assert names(await following) == ["a1", "a2"]


async def test_who_listens_on_a_connection_that_breaks_listens_on_another_and_hears_of_what_came_meanwhile(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "POLL", 1e9)
    heard = asyncio.Event()
    async with (
        far(database) as (proxy, dsn),
        opened(dsn, database, probe=1e9) as (one, other),
        asyncio.timeout(30),
    ):
        one.watch(lambda _: heard.set())
        await other.append([change(A, 0, "a1")], ANN)
        await heard.wait()
        heard.clear()
        proxy.hush()
        proxy.cut()
        await other.append([change(A, 1, "a2")], ANN)
        proxy.speak()
        await heard.wait()


async def test_what_is_said_over_the_line_that_listens_is_not_heard(database: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = Listener(database, ["stored_events"], lambda _: heard.put_nowait("a word"))
    await heard.get()  # it begins to listen
    await listener.connection.fetch("NOTIFY stored_events")
    await listener.connection.fetch("SELECT")
    assert heard.empty()
    other = await asyncpg.connect(database)
    await other.execute("NOTIFY stored_events")
    assert await heard.get() == "a word"
    await other.close()
    await listener.close()


async def test_a_database_that_does_not_answer_is_not_waited_for_twice(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "STATEMENT_TIMEOUT", 1.0)
    async with far(database) as (proxy, dsn), opened(dsn) as [log]:
        await log.append([change(A, 0, "a1")], ANN)
        assert await log.position() == 1
        proxy.lose(all_of_them=True)
        connections = proxy.connections
        with pytest.raises(LogUnavailable, match="no response in time"):
            await log.read_all()
        assert (await log.append([change(A, 1, "a2")], ANN)).position == 2
        assert names(await log.read_all()) == ["a1", "a2"]
        assert proxy.connections > connections


async def test_of_connections_that_have_gone_silent_one_is_waited_for(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "STATEMENT_TIMEOUT", 1.0)
    async with far(database) as (proxy, dsn):
        pool = await Pool.open(dsn, 4)
        await asyncio.gather(*(pool.fetch("SELECT pg_sleep(0.1)") for _ in range(4)))
        assert proxy.lose(all_of_them=True) == 4
        with pytest.raises(LogUnavailable, match="no response in time"):
            await pool.fetch("SELECT")
        assert len(await asyncio.gather(*(pool.fetch("SELECT") for _ in range(4)))) == 4
        await pool.close()


async def test_who_waits_no_more_for_a_silent_database_is_let_go(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "CANCEL_TIMEOUT", 0.1)
    async with far(database) as (proxy, dsn):
        pool = await Pool.open(dsn, 1)
        await pool.fetch("SELECT")
        proxy.hushes = b"SELECT 1"
        waiting = asyncio.create_task(pool.fetch("SELECT 1"))
        await proxy.has_hushed.wait()
        waiting.cancel()
        done, _ = await asyncio.wait([waiting], timeout=postgres_connection.STATEMENT_TIMEOUT / 2)
        assert done
        assert waiting.cancelled()
        await pool.close()


async def as_it_is(_: object) -> None:
    """Nothing is to be prepared."""


async def pid_of(pool_or_line: Pool | DedicatedConnection) -> int:
    """The number of the database's process at the other end of the connection that comes next."""
    [(pid,)] = await pool_or_line.fetch("SELECT pg_backend_pid()")
    return int(pid)


async def end_of(pid: int, database: str) -> None:
    """Returns when nobody is connected to the process *pid* any more."""
    connection = await asyncpg.connect(database)
    async with asyncio.timeout(30):
        while await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid):
            await asyncio.sleep(0.01)
    await connection.close()


SLEEP = "SELECT pg_sleep(60)"
BREAK_OFF = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
"""Cancels a statement, as an administrator does if it takes too long; its connection stays."""


async def test_a_connection_on_which_a_statement_was_broken_off_is_closed_and_another_made(database: str) -> None:
    admin = await asyncpg.connect(database)
    pool, line = await Pool.open(database, 1), DedicatedConnection(database, as_it_is)
    for each in (pool, line):
        pid = await pid_of(each)
        sleeping = asyncio.create_task(each.fetch(SLEEP))
        while not await admin.fetchval(BREAK_OFF, pid):
            await asyncio.sleep(0.01)
        with pytest.raises(InDoubt, match="canceling statement"):
            await sleeping
        await end_of(pid, database)
        another = await pid_of(each)
        assert another != pid
        assert await pid_of(each) == another
    line.close()
    await pool.close()
    await admin.close()


async def test_when_one_connection_has_gone_silent_none_that_was_made_before_is_used_again(database: str) -> None:
    """Be it at rest or in use just then."""
    pool = await Pool.open(database, 3)
    before: list[int] = []

    async def fall_silent(used: "Connection") -> None:
        async with pool.connection() as silent:
            async with pool.connection() as resting:
                before.extend(each.get_server_pid() for each in (used, resting))
            await silent.fetch(SLEEP, timeout=0.1)

    async with pool.connection() as used:
        with pytest.raises(InDoubt, match="no response in time"):
            await fall_silent(used)
    async with pool.connection() as one, pool.connection() as two, pool.connection() as three:
        after = [each.get_server_pid() for each in (one, two, three)]
    assert not set(after).intersection(before)
    for pid in before:
        await end_of(pid, database)
    assert await pid_of(pool) in after
    await pool.close()


async def test_a_line_is_not_used_before_it_is_prepared(database: str) -> None:
    admin = await asyncpg.connect(database)
    begun: list[int] = []
    preparing, goes_on = asyncio.Event(), asyncio.Event()

    async def prepare(connection: "Connection") -> None:
        begun.append(connection.get_server_pid())
        preparing.set()
        await goes_on.wait()
        await connection.execute("CREATE TEMPORARY TABLE kept AS SELECT FROM prepared")

    line = DedicatedConnection(database, prepare)
    given_up = asyncio.create_task(line.fetch("SELECT FROM kept"))
    await preparing.wait()
    given_up.cancel()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    with pytest.raises(LogUnavailable, match="run the same version everywhere"):  # there is no such table
        await line.fetch("SELECT FROM kept")
    await admin.execute("CREATE TABLE prepared ()")
    await line.fetch("SELECT FROM kept")
    for pid in begun[:2]:
        await end_of(pid, database)
    assert await pid_of(line) == begun[2]
    line.close()
    await admin.close()


async def test_a_connection_that_ends_between_preparing_and_carrying_out_is_broken_like_any_other(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg says so by an `AttributeError`."""
    prepare = asyncpg.Connection._get_statement  # type: ignore[attr-defined]  # its own, which the stubs don't have

    async def prepare_and_end(connection: Any, *arguments: Any, **named: Any) -> Any:
        statement = await prepare(connection, *arguments, **named)
        connection.terminate()
        return statement

    pool, line = await Pool.open(database, 1), DedicatedConnection(database, as_it_is)
    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_get_statement", prepare_and_end)
        for reading in (pool.fetch("SELECT 1"), line.fetch("SELECT 1")):
            with pytest.raises(InDoubt, match="closed during the statement"):
                await reading
        with pytest.raises(InDoubt):
            async with pool.transaction() as connection:
                await connection.fetch("SELECT 1")
    assert len([*await pool.fetch("SELECT 1"), *await line.fetch("SELECT 1")]) == 2
    with pytest.raises(AttributeError):  # one of ours
        async with pool.connection():
            raise AttributeError
    line.close()
    await pool.close()


async def test_what_is_read_over_a_connection_that_had_broken_is_read_over_another(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = asyncpg.Connection._get_statement  # type: ignore[attr-defined]  # its own, which the stubs don't have
    broken: list[str] = []

    async def prepare_and_end_once(connection: Any, statement: str, *arguments: Any, **named: Any) -> Any:
        prepared = await prepare(connection, statement, *arguments, **named)
        if "stored_events" in statement and not broken:
            broken.append(statement)
            connection.terminate()
        return prepared

    async with opened(database) as [log]:
        await log.append([change(A, 0, "a1")], ANN)
        monkeypatch.setattr(asyncpg.Connection, "_get_statement", prepare_and_end_once)
        assert names(await log.read(A)) == ["a1"]
        assert broken


# A database that is away


async def test_while_the_database_is_away_nothing_is_written_and_followers_wait(
    postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "DOUBT_TIMEOUT", 0.1)
    monkeypatch.setattr(postgres, "POLL", 0.01)
    with created(postgres_server.dsn, "template0") as dsn:
        async with opened(dsn, dsn) as (one, other):
            await one.append([change(A, 0, "a1")], ANN)
            followers = [log.follow(after) for log in (one, other) for after in (0, 1)]
            following = [asyncio.create_task(take(followers[n], 3 - n % 2)) for n in range(4)]
            late, watching = [await PostgresLog.open(dsn) for _ in range(2)]
            heard = asyncio.Event()
            watching.watch(lambda _: heard.set(), [EnvironmentRenamed])
            postgres_server.stop("immediate")
            from_the_store = asyncio.create_task(take(late.follow(), 3))  # it begins behind a1
            with pytest.raises(LogUnavailable, match=r"The database stageline_\w+ at 127.0.0.1:\d+: "):
                await one.append([change(B, 0, "never")], ANN)
            for reading in (one.read(A), one.position(), one.find("k", "r"), one.events(A), one.read_all()):
                with pytest.raises(LogUnavailable):
                    await reading
            with pytest.raises(LogUnavailable):
                await watching.position()
            assert not any(task.done() for task in (*following, from_the_store))
            postgres_server.start()
            await other.append([change(A, 1, "a2")], ANN)
            await one.append([change(A, 2, "a3")], ANN)
            for number, events in enumerate(await asyncio.gather(*following)):
                assert names(events) == ["a1", "a2", "a3"][number % 2 :]
            assert names(await from_the_store) == ["a1", "a2", "a3"]
            async with asyncio.timeout(30):
                await heard.wait()
            for log in (late, watching):
                await log.close()


async def test_a_server_waits_for_its_database_and_says_so(
    postgres_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with created(postgres_server.dsn, "template0") as dsn:
        await migrate(dsn)
        postgres_server.stop()
        with pytest.raises(LogUnavailable, match="The database"):
            await PostgresLog.open(dsn, patience=0)
        with caplog.at_level(logging.WARNING):
            opening = asyncio.create_task(PostgresLog.open(dsn, patience=60))
            while not caplog.messages:
                await asyncio.sleep(0.01)
        assert not opening.done()
        postgres_server.start()
        log = await opening
        assert caplog.messages[0].startswith("Waiting for the database stageline_")
        assert len(caplog.messages) == 1
        await log.close()


async def test_who_waits_too_long_for_another_to_write_is_told_to_try_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres_connection.SETTINGS, "lock_timeout", "100ms")
    async with opened(database) as [log]:
        holder = await asyncpg.connect(database)
        async with holder.transaction():
            await holder.execute(LOCK_APPENDS)
            with pytest.raises(LogUnavailable, match="holds a lock"):
                await log.append([change(A, 0, "a1")], ANN)
        assert (await log.append([change(A, 0, "a1")], ANN)).position == 1
        await holder.close()


async def test_a_connection_that_must_not_be_used_is_waited_for_by_nobody(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg would close it in order, and forget if it is cancelled meanwhile."""
    were_closed: list[bool] = []
    close = asyncpg.Connection.close

    async def noted(connection: Any, **named: Any) -> None:
        were_closed.append(connection.is_closed())
        await close(connection, **named)

    async def prepare(_: object) -> None:
        raise LogUnavailable("It must not be used.")

    monkeypatch.setattr(asyncpg.Connection, "close", noted)
    pool = await Pool.open(database, 1, prepare)
    with pytest.raises(LogUnavailable, match="must not be used"):
        await pool.fetch("SELECT")
    assert were_closed == [True]
    await pool.close()
