"""A store of read models on each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.engine.views import Views
from projections.postgres.views import PostgresViews
from projections.sqlite.views import SqliteViews


@pytest.fixture(params=["memory", "file", "postgres"])
async def views(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Views]:
    """SQLite has one thread for a store in memory, and several for a file."""
    store: Views
    if request.param == "postgres":
        store = await PostgresViews.open(request.getfixturevalue("database"))
    else:
        store = await SqliteViews.open(":memory:" if request.param == "memory" else tmp_path / "views.db")
    yield store
    await store.close()
