"""The stores of a server: SQLite in its data folder, or a PostgreSQL that it shares with others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from endpoint.execution.aside import on_current_loop
from projections import audit, deployment, environment, pipeline, project, queue, revision, standing
from projections.engine.projector import Projector
from projections.engine.views import Views
from projections.postgres.projector import SharedProjector
from projections.postgres.views import PostgresViews
from projections.sqlite.views import SqliteViews
from runner import jobs
from store.cursors import Cursors
from store.keys import Keys
from store.postgres.cursors import PostgresCursors
from store.postgres.keys import PostgresKeys
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from store.postgres.schema import migrate
from store.sqlite.backup import check_complete
from store.sqlite.cursors import SqliteCursors
from store.sqlite.keys import SqliteKeys
from store.sqlite.log import SqliteLog
from store.sqlite.output import SqliteOutput

PROJECTIONS = (
    project.projection,
    environment.projection,
    pipeline.projection,
    deployment.projection,
    queue.projection,
    queue.merged,
    standing.unfinished,
    standing.standing,
    revision.projection,
    audit.projection,
)
"""The projections of every read model."""


@dataclass(frozen=True)
class Stores:
    """The open stores, with a projector that is not started yet. The process must end when *lost* is set."""

    log: SqliteLog | PostgresLog
    views: Views
    output: SqliteOutput | PostgresOutput
    keys: Keys
    cursors: Cursors
    projector: Projector
    lost: asyncio.Event

    def elsewhere(self) -> "Stores":
        """Return the same stores for use in another thread."""
        return Stores(
            on_current_loop(self.log),
            on_current_loop(self.views),
            on_current_loop(self.output),
            on_current_loop(self.keys),
            on_current_loop(self.cursors),
            on_current_loop(self.projector),
            self.lost,
        )


@asynccontextmanager
async def on_sqlite(data: Path) -> AsyncIterator[Stores]:
    """Open the stores in the folder *data*, and create missing files; raise `LogUnavailable`."""
    check_complete(data)
    async with AsyncExitStack() as stack:
        log = await SqliteLog.open(data / "log.db")
        stack.push_async_callback(log.close)
        views = await SqliteViews.open(data / "views.db")
        stack.push_async_callback(views.close)
        output = await SqliteOutput.open(data / "output.db")
        stack.push_async_callback(output.close)
        keys = await SqliteKeys.open(data / "keys.db")
        stack.push_async_callback(keys.close)
        cursors = await SqliteCursors.open(data / "cursors.db")
        stack.push_async_callback(cursors.close)
        projector = Projector(log, views, PROJECTIONS)
        views.on_replaced = projector.review
        yield Stores(log, views, output, keys, cursors, projector, asyncio.Event())


@asynccontextmanager
async def on_postgres(dsn: str, archive: Path | None = None) -> AsyncIterator[Stores]:
    """Open the stores in the database *dsn*, and create or update its tables; raise `LogUnavailable`.

    *archive* is the folder of archived events.
    """
    async with AsyncExitStack() as stack:
        log = await PostgresLog.open(dsn, archive=archive)
        check = log.witness.check
        stack.push_async_callback(log.close)
        await jobs.prepare(dsn)
        views = await PostgresViews.open(dsn, check)
        stack.push_async_callback(views.close)
        output = await PostgresOutput.open(dsn, check)
        stack.push_async_callback(output.close)
        keys = await PostgresKeys.open(dsn, check)
        stack.push_async_callback(keys.close)
        cursors = await PostgresCursors.open(dsn, check)
        stack.push_async_callback(cursors.close)
        yield Stores(log, views, output, keys, cursors, SharedProjector(log, views, PROJECTIONS), log.witness.lost)


async def prepare(dsn: str) -> None:
    """Create or update the tables in the database *dsn*; raise `LogUnavailable`."""
    await migrate(dsn)
    await jobs.prepare(dsn)
