"""A log whose old deployments are archived reads as before, on both databases; also after a crash of the archiving."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.deployment.state import DeploymentCancelled, DeploymentSucceeded
from server.fsck import check
from server.settings import Settings
from store import archive, ids
from store.archive import ArchivableLog, Archived, SegmentUnreadable
from store.log import Event, EventLog, IdempotencyKey, LogUnavailable, StreamChange, StreamMoved
from store.postgres import archive as postgres
from store.postgres.log import PostgresLog
from store.sqlite import archive as sqlite
from store.sqlite import backup
from store.sqlite.log import SqliteLog
from tests.store.archiving import LATER, POINTS, SMALL
from tests.store.sample import ANN, BOB, A, B, change, names, take

NOON = LATER - timedelta(days=400)

FIRST, SECOND, THIRD, OPEN = (ids.new() for _ in range(4))
"""Deployments: two that ended long ago, one that ended a year later, and one that still runs."""


class Store:
    """A log of one kind in *folder*, its *archive*, and a clock."""

    def __init__(self, kind: str, folder: Path, dsn: str) -> None:
        self.kind, self.folder, self.dsn, self.archive = kind, folder, dsn, folder / archive.FOLDER
        self.time = NOON
        self.settings = Settings(data=folder, database=dsn or None, archive=self.archive if dsn else None)

    def now(self) -> datetime:
        return self.time

    async def open(self) -> EventLog:
        if self.kind == "sqlite":
            return await SqliteLog.open(self.folder / "log.db", self.now)
        return await PostgresLog.open(self.dsn, self.now, archive=self.archive)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[EventLog]:
        log = await self.open()
        try:
            yield log
        finally:
            await log.close()

    @asynccontextmanager
    async def archiving(self) -> AsyncIterator[ArchivableLog]:
        async with AsyncExitStack() as stack:
            if self.kind == "sqlite":
                yield stack.enter_context(sqlite.archiving(self.folder, is_dry_run=False))
            else:
                yield await stack.enter_async_context(postgres.archiving(self.dsn))

    async def archived(self, before: datetime = LATER, *, is_dry_run: bool = False) -> Archived:
        async with self.archiving() as log:
            return await archive.archive(log, None if is_dry_run else self.archive, before, lambda share: None)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement with POSITION for the column of positions."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.folder / "log.db", isolation_level=None)) as database:
                return database.execute(statement.replace("POSITION", "rowid")).fetchall()
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute(statement.replace("POSITION", "notification_id").encode())
            return found.fetchall() if found.description else []

    def segments(self) -> list[Path]:
        return sorted(self.archive.iterdir())


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(archive, "SEGMENT_BYTES", SMALL)
    dsn = request.getfixturevalue("database") if request.param == "postgres" else ""
    return Store(request.param, tmp_path, dsn)


async def write(store: Store) -> None:
    """Four deployments among other events; the second one has more than a segment."""
    key = IdempotencyKey(key="k", request="r", subject=FIRST)
    ended: tuple[Event, ...] = (DeploymentSucceeded(),)
    async with store.opened() as log:
        await log.append([change(A, 0, "a1"), change(FIRST, 0, "f1", "f2")], BOB, key)
        await log.append([change(SECOND, 0, "s1"), change(OPEN, 0, "o1")], ANN)
        await log.append([change(FIRST, 2, "f3 – ö\x00"), change(SECOND, 1, *map(str, range(30)))], ANN)
        await log.append([StreamChange(stream=FIRST, expected=3, events=ended), change(B, 0, "b1")], BOB)
        store.time += timedelta(days=1)
        await log.append([change(OPEN, 1, "o2"), change(SECOND, 31, "s32")], ANN)
        await log.append([StreamChange(stream=SECOND, expected=32, events=(DeploymentCancelled(),))], ANN)
        store.time = LATER
        await log.append([change(THIRD, 0, "t1")], ANN)
        await log.append([StreamChange(stream=THIRD, expected=1, events=ended), change(A, 1, "a2")], ANN)


async def readings(log: EventLog) -> list[object]:
    """Read the log in every way, from everywhere."""
    end = await log.position()
    streams = A, B, FIRST, SECOND, THIRD, OPEN
    found: list[object] = [list(await log.read_all(after, 7)) for after in range(end + 1)]
    found += [await log.export(after, 9) for after in range(end + 1)]
    for stream in streams:
        for after, until in ((0, None), (1, None), (2, 3), (0, 2), (31, 40), (99, None)):
            found.append(list(await log.read(stream, after, until)))
            found.append(list(await log.events(stream, after, until)))
        found += [await log.version(stream, position) for position in (None, *range(end + 1))]
        for after in (0, 5, 20, end - 1):
            events = [each for each in await log.read(stream) if each.position > after]
            assert events == (await take(log.follow(after, stream), len(events)) if events else [])
    found += [await take(log.follow(after), end - after) for after in range(0, end, 5)]
    found.append(await log.find("k", "r"))
    return found


async def test_a_log_reads_the_same_with_its_deployments_archived(store: Store) -> None:
    await write(store)
    async with store.opened() as log:
        before, epoch, position = await readings(log), log.epoch, await log.position()
    archived = await store.archived()
    assert (archived.deployments, archived.events) == (2, 37)
    assert archived.segments == len(list(store.archive.iterdir())) > 2
    async with store.opened() as log:
        assert (await readings(log), log.epoch, await log.position()) == (before, epoch, position)
        assert [found[0] for found in store.execute("SELECT count(*) FROM stored_events")] == [position]
        with pytest.raises(StreamMoved) as moved:
            await log.append([change(FIRST, 3, "f4")], ANN)
        assert moved.value.current == 4
        [added] = (await log.append([change(FIRST, 4, "f5")], ANN)).recorded
        assert (added.position, added.version) == (position + 1, 5)
        assert names(await log.read(FIRST)) == ["f1", "f2", "f3 – ö\x00", "f5"]
    assert await store.archived() == Archived()
    last = await store.archived(LATER + timedelta(days=1))
    assert (last.deployments, last.events) == (1, 2)


def run(store: Store, point: str) -> int:
    """Archive in a process that kills itself at *point* of its first segment; return what it ended with."""
    command = [sys.executable, "-m", "tests.store.archiving", str(store.folder), store.dsn, point]
    return subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode


async def test_an_archiving_that_is_killed_loses_nothing_and_is_completed(store: Store) -> None:
    await write(store)
    async with store.opened() as log:
        before = await readings(log)
    for point in POINTS:
        assert await asyncio.to_thread(run, store, point) == -signal.SIGKILL
        async with store.opened() as log:
            assert await readings(log) == before
        _, findings = await check(store.settings)
        assert [each for each in findings if "does not list the file" not in each] == []
    assert await asyncio.to_thread(run, store, "none") == 0
    assert await store.archived() == Archived()
    async with store.opened() as log:
        assert await readings(log) == before
    assert (await check(store.settings))[1] == []


@pytest.mark.parametrize("damage", ["missing", "altered"])
async def test_a_segment_that_is_missing_or_altered_is_named(store: Store, damage: str) -> None:
    await write(store)
    await store.archived()
    _, lost, *_ = store.segments()
    content = bytearray(lost.read_bytes())
    content[-9] ^= 1
    if damage == "missing":
        lost.unlink()
    else:
        lost.write_bytes(content)
    async with store.opened() as log:
        with pytest.raises(
            SegmentUnreadable, match=rf"Segment \d of the archive (is|was) {damage}: copy .*{lost.name}"
        ):
            await log.read_all()
        assert names(await log.read(A)) == ["a1", "a2"]
        assert (await log.append([change(A, 2, "a3")], ANN)).position == await log.position()
    first, second, *_ = (await check(store.settings))[1]
    assert f"{damage}: copy {lost} from a backup" in first
    assert "can't be read: Segment" in second
    with (
        pytest.raises(LogUnavailable, match=r"lacks 1 of the \d files") if damage == "missing" else closing(lost.open())
    ):
        await store.archived(LATER + timedelta(days=1))


async def test_an_event_that_does_not_match_its_hash_is_not_archived(store: Store) -> None:
    await write(store)
    if store.kind == "sqlite":
        store.execute("DROP TRIGGER stored_events_update")
    else:
        store.execute("ALTER TABLE stored_events DISABLE TRIGGER USER")
    store.execute("UPDATE stored_events SET actor = 'eve' WHERE POSITION = 2")
    with pytest.raises(LogUnavailable, match="position 2 does not match its hash"):
        await store.archived()
    async with store.opened() as log:
        assert names(await log.read(FIRST)) == ["f1", "f2", "f3 – ö\x00"]


async def test_an_archived_log_is_only_changed_by_an_archiving(store: Store) -> None:
    await write(store)
    await store.archived()
    for statement in (
        "UPDATE stored_events SET state = '{}' WHERE POSITION = 1",
        "UPDATE stored_events SET state = '1', hash = '' WHERE POSITION = 4",
        "UPDATE stored_events SET state = '1x' WHERE POSITION = 4",
        "UPDATE stored_events SET state = '{}' WHERE POSITION = 2",
        "UPDATE stored_events SET state = '2' WHERE POSITION = 2",
        "DELETE FROM stored_events WHERE POSITION = 2",
        "UPDATE segments SET first = 1",
        "DELETE FROM segments",
    ):
        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException), match=r"are (never|kept)"):
            store.execute(statement)


async def test_a_dry_run_says_what_an_archiving_does(store: Store) -> None:
    await write(store)
    found = await store.archived(is_dry_run=True)
    assert not store.archive.exists()
    assert found == await store.archived()
    assert found.size == sum(path.stat().st_size for path in store.segments())
    assert {path.stat().st_mode & 0o777 for path in store.segments()} == {0o600}


async def test_a_file_that_the_log_does_not_list_is_found(store: Store) -> None:
    await write(store)
    await store.archived()
    (store.archive / "stray").touch()
    (finding,) = (await check(store.settings))[1]
    assert f"does not list the file {store.archive / 'stray'}" in finding


async def test_a_backup_has_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SEGMENT_BYTES", SMALL)
    store, restored = Store("sqlite", tmp_path / "data", ""), Store("sqlite", tmp_path / "restored", "")
    await write(store)
    await store.archived()
    (store.archive / "stray").touch()
    backup.copy(store.folder, tmp_path / "backup", lambda share: None)
    backup.copy(tmp_path / "backup", restored.folder, lambda share: None, is_restore=True)
    async with store.opened() as log, restored.opened() as copy:
        assert await readings(copy) == await readings(log)
    assert (await check(restored.settings))[1] == []
    store.segments()[0].unlink()
    with pytest.raises(SegmentUnreadable, match="is missing"):
        backup.copy(store.folder, tmp_path / "second", lambda share: None)
    assert list((tmp_path / "second").iterdir()) == []


async def test_a_node_without_the_folder_says_what_it_lacks(database: str, tmp_path: Path) -> None:
    store = Store("postgres", tmp_path, database)
    await write(store)
    await store.archived()
    log = await PostgresLog.open(database)
    assert names(await log.read(A)) == ["a1", "a2"]
    with pytest.raises(LogUnavailable, match="give it with --archive, or in STAGELINE_ARCHIVE"):
        await log.read(FIRST)
    await log.close()
    assert (await check(Settings(data=tmp_path, database=database)))[1][0].startswith("the archive can't be checked")


async def test_one_archiving_at_a_time_uses_a_database(database: str, tmp_path: Path) -> None:
    store = Store("postgres", tmp_path, database)
    await write(store)
    async with store.archiving():
        with pytest.raises(LogUnavailable, match="Another `stageline archive` uses the database"):
            await store.archived()
    assert (await store.archived()).deployments == 2
