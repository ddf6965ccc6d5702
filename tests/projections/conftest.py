"""Logs, and stores of read models."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.engine.views import Views
from projections.postgres.views import PostgresViews
from projections.sqlite.views import SqliteViews
from store.log import EventLog
from store.memory import MemoryLog
from store.postgres.log import PostgresLog
from store.sqlite.log import SqliteLog
from tests.projections.world import Clock


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    log: EventLog
    match request.param:
        case "memory":
            log = MemoryLog(Clock())
        case "sqlite":
            log = await SqliteLog.open(tmp_path / "log.db", Clock())
        case _:
            log = await PostgresLog.open(request.getfixturevalue("database"), Clock())
    yield log
    await log.close()


@pytest.fixture
async def memory() -> AsyncIterator[MemoryLog]:
    """A log for tests that need no particular one."""
    log = MemoryLog(Clock())
    yield log
    await log.close()


@pytest.fixture
async def views(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Views]:
    """A store on PostgreSQL if the log is on PostgreSQL, else on SQLite."""
    views: Views
    if isinstance("log" in request.fixturenames and request.getfixturevalue("log"), PostgresLog):
        views = await PostgresViews.open(request.getfixturevalue("database"))
    else:
        views = await SqliteViews.open(tmp_path / "views.db")
    yield views
    await views.close()


@pytest.fixture
async def in_memory() -> AsyncIterator[SqliteViews]:
    views = await SqliteViews.open(":memory:")
    yield views
    await views.close()
