"""The log on SQLite: its file, its table, and how it comes through a crash."""

import asyncio
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from eventsourcing.application import LocalNotificationLog
from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from store import codec, ends, ids
from store.batch import PendingAppend
from store.log import Event, IdempotencyKey, LogUnavailable, Receipt, RecordedEvent
from store.sqlite import log as sqlite
from store.sqlite.log import SqliteLog
from tests.store.sample import ANN, BOB, A, B, change, names, take


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(path)
    yield log
    await log.close()


# Its memory of streams


@pytest.mark.parametrize("known", [(0, 10_000), (0, 1), (10_000, 10_000)])
async def test_what_was_written_or_seen_is_read_by_whoever_reads_afterwards(
    log: SqliteLog, known: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much or little of streams' heads and ends is remembered."""
    monkeypatch.setattr(sqlite, "CACHED_HEADS", known[0])
    monkeypatch.setattr(ends, "MAX_ENDS", known[1])
    seen = {A: 0, B: 0}

    async def write(stream: UUID) -> None:
        for version in range(60):
            await log.append([change(stream, version, "a")], ANN)
            seen[stream] = max(seen[stream], version + 1)

    async def read(stream: UUID, after: int) -> None:
        while seen[stream] < 60:
            least = seen[stream]
            begun = max(0, least - after)
            found = begun + len(await log.events(stream, after=begun))
            assert found >= least
            seen[stream] = max(seen[stream], found)
            await asyncio.sleep(0)

    await asyncio.gather(*(read(stream, after) for stream in (A, B) for after in (0, 1, 60)), write(A), write(B))
    assert [len(await log.read(stream)) for stream in (A, B)] == [60, 60]


async def test_a_slow_reader_takes_nothing_back_that_another_has_seen_meanwhile(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though what the other has seen isn't published yet, nor remembered any longer."""
    monkeypatch.setattr(sqlite, "CACHED_HEADS", 0)
    monkeypatch.setattr(ends, "MAX_ENDS", 1)
    await log.append([change(A, 0, "a1"), change(B, 0, "b1")], ANN)
    decode, write_batch = codec.decode, log._write_batch
    has_read, may_go_on, is_written, may_be_told = (threading.Event() for _ in range(4))

    def slow(topic: str, state: bytes) -> Event:
        monkeypatch.setattr(codec, "decode", decode)
        has_read.set()
        may_go_on.wait(10)
        return decode(topic, state)

    def unpublished(pending: Sequence[PendingAppend]) -> tuple[Sequence[RecordedEvent], Sequence[Receipt | Exception]]:
        outcome = write_batch(pending)
        is_written.set()
        may_be_told.wait(10)
        return outcome

    monkeypatch.setattr(codec, "decode", slow)
    monkeypatch.setattr(log, "_write_batch", unpublished)
    reading = asyncio.create_task(log.events(A))
    await asyncio.to_thread(has_read.wait, 10)
    writing = asyncio.create_task(log.append([change(A, 1, "a2")], ANN))
    await asyncio.to_thread(is_written.wait, 10)
    seen = [len(await log.read(A)), len(await log.read(B))]
    may_go_on.set()
    assert [*seen, len(await reading), len(await log.read(A, after=1))] == [2, 1, 1, 1]
    may_be_told.set()
    await writing


# Its files


async def test_a_log_opened_again_is_the_same(path: Path, log: SqliteLog) -> None:
    await log.append([change(A, 0, "a1", "a2")], BOB, IdempotencyKey(key="k", request="r", subject=A))
    written = await log.read_all()
    await log.close()
    again = await SqliteLog.open(path)
    assert again.epoch == log.epoch
    assert written == await again.read_all()
    assert await again.position() == 2
    assert await again.find("k", "r") == Receipt(position=2, subject=A, version=2, is_repeat=True)
    [third] = (await again.append([change(A, 2, "a3")], ANN)).recorded
    assert (third.position, third.version, third.previous) == (3, 3, written[-1].hash)
    assert third.recorded_at >= written[-1].recorded_at
    await again.close()


async def test_only_its_owner_may_read_it(path: Path, log: SqliteLog) -> None:
    await log.append([change(A, 0, "a1")], ANN)
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["log.db", "log.db-lock", "log.db-shm", "log.db-wal"], "0o600")


async def test_a_second_server_on_the_same_folder_is_refused(path: Path, log: SqliteLog) -> None:
    with pytest.raises(LogUnavailable, match=f"Another Stageline server uses the data folder {path.parent} "):
        await SqliteLog.open(path)
    await log.append([change(A, 0, "a1")], ANN)
    await log.close()
    again = await SqliteLog.open(path)
    assert names(await again.read_all()) == ["a1"]
    await again.close()


async def test_a_log_of_a_newer_version_is_refused(path: Path, log: SqliteLog) -> None:
    await log.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE meta SET value = '2' WHERE name = 'schema'")
    for _ in range(2):  # the refusal lets go of the lock
        with pytest.raises(LogUnavailable, match="newer version of Stageline"):
            await SqliteLog.open(path)


async def test_a_database_of_others_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE stored_events (id)")
    with pytest.raises(LogUnavailable, match="without a Stageline log"):
        await SqliteLog.open(path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await asyncio.to_thread(path.write_text, "Dear diary, " * 1000)
    with pytest.raises(LogUnavailable, match="not an SQLite database"):
        await SqliteLog.open(path)


async def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "data").write_text, "a file")
    with pytest.raises(LogUnavailable, match="data"):
        await SqliteLog.open(tmp_path / "data" / "log.db")


# Its table


NEEDED = "originator_id, originator_version, topic, state, id, recorded_at, actor, origin, previous, hash"
LATER = NEEDED.replace("_version", "_version + 1")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET state = '{}' WHERE rowid = 1",
        "UPDATE stored_events SET rowid = 9 WHERE rowid = 2",
        "DELETE FROM stored_events WHERE rowid = 2",
        "DELETE FROM stored_events",
        "INSERT OR REPLACE INTO stored_events SELECT * FROM stored_events WHERE rowid = 1",
        f"REPLACE INTO stored_events (rowid, {NEEDED}) SELECT 3, {NEEDED} FROM stored_events WHERE rowid = 1",
        f"INSERT INTO stored_events (rowid, {NEEDED}) SELECT 7, {LATER} FROM stored_events WHERE rowid = 2",
    ],
    ids=["update", "renumber", "delete one", "delete all", "replace", "replace by version", "leave a gap"],
)
async def test_events_are_never_changed_or_taken_away(path: Path, log: SqliteLog, statement: str) -> None:
    await log.append([change(A, 0, "a1", "a2")], ANN)
    written = await log.read_all()
    with closing(sqlite3.connect(path)) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute(statement)
    assert written == await log.read_all()


async def test_positions_outlive_a_vacuum(path: Path, log: SqliteLog) -> None:
    await log.append([change(A, 0, "a1"), change(B, 0, "b1"), change(A, 1, "a2")], ANN)
    written = await log.read_all()
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM")
    assert written == await log.read_all()
    assert (await log.append([change(A, 2, "a3")], ANN)).position == 4


async def test_a_stream_is_followed_without_going_through_the_whole_log(path: Path, log: SqliteLog) -> None:
    statements: list[str] = []
    with log._datastore.get_connection(commit=False) as connection:
        connection._sqlite_conn.set_trace_callback(statements.append)
    await log._fetch(1, 10, A)
    await log.version(A, 1)
    selects = [each for each in statements if "SELECT" in each]
    assert len(selects) == 2
    with closing(sqlite3.connect(path)) as database:
        plans = [plan for each in selects for _, _, _, plan in database.execute(f"EXPLAIN QUERY PLAN {each}")]
    read = [plan for plan in plans if "stored_events" in plan]
    assert all(plan.startswith("SEARCH stored_events USING") for plan in read), read
    by_version = "(originator_id=? AND originator_version{}?)".format
    assert [plan.endswith((by_version("="), by_version(">"))) for plan in read].count(True) == 3, read


# The library that others read it with


class Follower:
    """A program made with the library, which knows nothing of Stageline."""

    def __init__(self, path: Path) -> None:
        self.recorder = SQLiteApplicationRecorder(SQLiteDatastore(str(path)))
        self.recorder.create_table()


async def test_a_program_made_with_the_library_reads_the_log(path: Path, log: SqliteLog) -> None:
    await log.append([change(A, 0, "a1"), change(B, 0, "b1"), change(A, 1, "a2")], BOB)
    recorder = Follower(path).recorder
    assert recorder.max_notification_id() == 3
    assert [
        StoredEvent(A, 1, "pipeline.EnvironmentRenamed", b'{"name":"a1"}'),
        StoredEvent(A, 2, "pipeline.EnvironmentRenamed", b'{"name":"a2"}'),
    ] == recorder.select_events(A)
    [last] = recorder.select_events(A, desc=True, limit=1)
    assert last.originator_version == 2
    [second] = recorder.select_notifications(start=2, limit=1)
    assert (second.id, second.originator_id, second.state) == (2, B, b'{"name":"b1"}')
    none = recorder.select_notifications(start=1, limit=9, topics=["pipeline.StageMoved"])
    assert none == []


async def test_a_program_made_with_the_library_follows_the_log(path: Path, log: SqliteLog) -> None:
    notifications = LocalNotificationLog(Follower(path).recorder, section_size=10)
    seen: list[tuple[int, int]] = []
    for version in range(0, 50, 5):
        await log.append([change(A, version, *"abcde")], ANN)
        seen += [(n.id, n.originator_version) for n in notifications.select(start=len(seen) + 1, limit=10)]
    assert seen == [(number, number) for number in range(1, 51)]


async def test_a_program_made_with_the_library_cannot_write_to_the_log(path: Path, log: SqliteLog) -> None:
    await log.append([change(A, 0, "a1")], ANN)
    with pytest.raises(OperationalError, match="15 columns"):
        Follower(path).recorder.insert_events([StoredEvent(A, 2, "pipeline.EnvironmentRenamed", b"{}")])
    assert names(await log.read_all()) == ["a1"]


# Faults


async def test_a_full_disk_fails_what_is_to_be_written_and_nothing_else(log: SqliteLog) -> None:
    await log.append([change(A, 0, "a1")], ANN, IdempotencyKey(key="k", request="r", subject=A))
    with log._recorder.datastore.get_connection(commit=True) as connection:
        connection.cursor().execute("PRAGMA max_page_count = 1")
    follower = log.follow(after=1)
    following = asyncio.create_task(take(follower, 1))
    streams = [ids.new() for _ in range(5)]
    outcomes = await asyncio.gather(
        *(log.append([change(stream, 0, "x" * 10_000)], ANN) for stream in streams), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [LogUnavailable] * 5
    assert "disk is full" in str(outcomes[0])
    assert names(await log.read_all()) == ["a1"]
    assert await log.position() == 1
    # the limit was the connection's, which has been replaced: there is room again
    receipt = await log.append([change(A, 1, "a2")], ANN)
    assert (receipt.position, names(await following)) == (2, ["a2"])


async def test_what_cannot_be_looked_up_fails_what_waits_for_it(path: Path, log: SqliteLog) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE keys RENAME TO lost")
    key = IdempotencyKey(key="k", request="r", subject=A)
    outcomes = await asyncio.gather(
        log.append([change(A, 0, "a1")], ANN, key), log.append([change(B, 0, "b1")], ANN), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [LogUnavailable] * 2
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE lost RENAME TO keys")
    assert (await log.append([change(A, 0, "a1")], ANN, key)).position == 1


async def test_what_another_program_slips_in_is_seen(path: Path, log: SqliteLog) -> None:
    """Nobody should, but who has the file may: the log takes up from there, and writes over nothing."""
    await log.append([change(A, 0, "a1")], ANN)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"INSERT INTO stored_events (rowid, {NEEDED}) SELECT 2, {LATER} FROM stored_events")
    with pytest.raises(LogUnavailable, match="unused version"):
        await log.append([change(A, 1, "a2")], ANN)
    assert (await log.append([change(A, 2, "a3")], ANN)).position == 3
    assert names(await log.read(A)) == ["a1", "a1", "a3"]


# Crashes


async def test_what_was_acknowledged_outlives_a_kill(path: Path) -> None:
    acknowledged: list[list[str]] = []
    for run in range(3):
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.store.crash", path, str(run), stdout=asyncio.subprocess.PIPE
        )
        assert server.stdout is not None
        printed = [await server.stdout.readline() for _ in range(150)]
        server.kill()
        printed += (await server.stdout.read()).splitlines(keepends=True)
        assert await server.wait() == -signal.SIGKILL
        acknowledged += [line.decode().split() for line in printed if line.endswith(b"\n")]

    log = await SqliteLog.open(path)
    every = await log.read_all(limit=1_000_000)
    assert [recorded.position for recorded in every] == list(range(1, len(every) + 1))
    assert len(every) % 3 == 0  # each append had three events, and is there as a whole
    versions: dict[UUID, int] = {}
    for recorded in every:
        assert recorded.version == versions.get(recorded.stream, 0) + 1
        versions[recorded.stream] = recorded.version
    for key, stream, version, position in acknowledged:
        first = Receipt(position=int(position), subject=UUID(stream), version=int(version), is_repeat=True)
        assert await log.find(key, "r") == first
        assert await log.append([change(A, 0, "a")], ANN, IdempotencyKey(key=key, request="r", subject=A)) == first
        assert (every[first.position - 2].stream, every[first.position - 2].version) == (UUID(stream), int(version))
    assert await log.position() == len(every)
    await log.close()
