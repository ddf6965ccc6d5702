"""Both logs, and a store of rows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.sqlite import SqliteViews
from store.log import EventLog
from store.memory import MemoryLog
from store.sqlite import SqliteLog
from tests.projections.world import Clock


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    log: EventLog
    if request.param == "memory":
        log = MemoryLog(Clock())
    else:
        log = await SqliteLog.open(tmp_path / "log.db", Clock())
    yield log
    await log.close()


@pytest.fixture
async def views(tmp_path: Path) -> AsyncIterator[SqliteViews]:
    views = await SqliteViews.open(tmp_path / "views.db")
    yield views
    await views.close()
