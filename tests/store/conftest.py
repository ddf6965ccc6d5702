from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.log import EventLog
from store.memory import MemoryLog
from store.sqlite import SqliteLog


@pytest.fixture(params=["sqlite", "memory"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    """An empty log of each kind."""
    log: EventLog = MemoryLog() if request.param == "memory" else await SqliteLog.open(tmp_path / "log.db")
    yield log
    await log.close()
