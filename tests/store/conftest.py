from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.batch import Clock, now
from store.log import EventLog
from store.memory import MemoryLog
from store.postgres.log import PostgresLog
from store.sqlite.log import SqliteLog

KINDS = ["memory", "sqlite", "postgres"]


async def opened(kind: str, request: pytest.FixtureRequest, tmp_path: Path, clock: Clock = now) -> EventLog:
    """An empty log."""
    match kind:
        case "memory":
            return MemoryLog(clock)
        case "sqlite":
            return await SqliteLog.open(tmp_path / "log.db", clock)
        case _:
            return await PostgresLog.open(request.getfixturevalue("database"), clock)


@pytest.fixture(params=KINDS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    """An empty log of each kind."""
    log = await opened(request.param, request, tmp_path)
    yield log
    await log.close()
