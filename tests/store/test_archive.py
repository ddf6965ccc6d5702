"""A log whose old deployments are archived reads as before, on both databases."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.deployment.state import DeploymentCancelled, DeploymentSucceeded
from store import archive, ids
from store.archive import ArchivableLog, Archived
from store.log import Event, EventLog, IdempotencyKey, StreamChange, StreamMoved
from store.postgres import archive as postgres
from store.postgres.log import PostgresLog
from store.sqlite import archive as sqlite
from store.sqlite.log import SqliteLog
from tests.store.sample import ANN, BOB, A, B, change, names, take

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=400)

FIRST, SECOND, THIRD, OPEN = (ids.new() for _ in range(4))
"""Deployments: two that ended long ago, one that ended a year later, and one that still runs."""


class Store:
    """A log of one kind in *folder*, its *archive*, and a clock."""

    def __init__(self, kind: str, folder: Path, dsn: str) -> None:
        self.kind, self.folder, self.dsn, self.archive = kind, folder, dsn, folder / archive.FOLDER
        self.time = NOON

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


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(archive, "SEGMENT_BYTES", 4_000)  # a few events
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
