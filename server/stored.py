"""The stored data of a server, opened for a check: nothing is created, and a server may run meanwhile."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from os import close
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from projections.engine.rows import RowReader
from projections.postgres.rows import PostgresRowReader
from projections.sqlite.rows import SqliteRowReader
from server.settings import Settings
from store.log import LogUnavailable
from store.postgres.archive import archive_findings
from store.postgres.log import PostgresLog
from store.postgres.snapshot import snapshot
from store.snapshot import ExportSource, LogSnapshot
from store.sqlite import disk
from store.sqlite.snapshot import LOG, OUTPUT, SqliteSnapshot, check_folder, deployments_with_output, read_only

VIEWS = "views.db"


class StoreSnapshot(Struct, frozen=True):
    """A snapshot of the log and of the read models; other processes can open it by its *name*."""

    name: str | None
    log: LogSnapshot
    read_models: RowReader


class StoredData(Struct, frozen=True):
    """The *log*, and its *snapshot* with the read models, or None if there are none.

    Other processes can open the same snapshot if it *is_shared*. *findings* are problems that were found so far.
    """

    log: ExportSource
    snapshot: StoreSnapshot | None
    is_shared: bool
    findings: Sequence[str]


@asynccontextmanager
async def open_data(settings: Settings) -> AsyncIterator[StoredData]:
    """Open the data of *settings*; raise `LogUnavailable` if there is none."""
    if settings.database is None:
        with _on_sqlite(settings.data) as data:
            yield data
        return
    log = await PostgresLog.open(settings.database, archive=settings.archive)
    try:
        async with snapshot(settings.database, None, settings.archive) as found:
            stored = StoreSnapshot(found.name, found, PostgresRowReader(found.connection))
            findings = await archive_findings(found.connection, settings.archive)
            yield StoredData(log, stored, is_shared=True, findings=findings)
    finally:
        await log.close()


@asynccontextmanager
async def open_snapshot(settings: Settings, name: str | None = None) -> AsyncIterator[StoreSnapshot]:
    """Open the snapshot *name*, or a new one; raise `LogUnavailable`."""
    if settings.database is not None:
        async with snapshot(settings.database, name, settings.archive) as stored:
            yield StoreSnapshot(stored.name, stored, PostgresRowReader(stored.connection))
    else:
        with read_only(settings.data / VIEWS) as views, read_only(settings.data / LOG) as log:
            yield StoreSnapshot(None, SqliteSnapshot(log, settings.data), SqliteRowReader(views))


@contextmanager
def _on_sqlite(data: Path) -> Iterator[StoredData]:
    check_folder(data)
    findings: list[str] = []
    with ExitStack() as stack:
        is_locked = _lock(data, stack)
        # Output and read models follow the log, so they are read before it.
        deployments, views = _deployments(data, findings), _views(data, findings, stack)
        log = SqliteSnapshot(stack.enter_context(read_only(data / LOG)), data)
        lost = [each for each in deployments if not log.has_stream(each)]
        if lost:
            findings.append(f"the log lacks deployments that have output: {len(lost)}, such as {lost[0]}")
        findings += log.archive_findings()
        stored = None if views is None else StoreSnapshot(None, log, views)
        yield StoredData(log, stored, is_shared=is_locked, findings=findings)


def _lock(data: Path, stack: ExitStack) -> bool:
    """Keep servers from using the folder meanwhile; return whether that succeeded."""
    try:
        stack.callback(close, disk.lock(data / f"{LOG}-lock"))
    except LogUnavailable:  # a server uses it, or it is read-only
        return False
    return True


def _deployments(data: Path, findings: list[str]) -> Sequence[UUID]:
    try:
        return deployments_with_output(data / OUTPUT) if (data / OUTPUT).exists() else ()
    except LogUnavailable as fault:
        findings.append(f"the output of steps can't be read: {fault}")
        return ()


def _views(data: Path, findings: list[str], stack: ExitStack) -> RowReader | None:
    path = data / VIEWS
    if not path.exists():
        return None
    try:
        with read_only(path) as views:
            views.execute("SELECT 1 FROM checkpoints LIMIT 1").fetchone()
    except LogUnavailable as fault:
        findings.append(f"the read models can't be read, and the next start of the server rebuilds them: {fault}")
        return None
    return SqliteRowReader(stack.enter_context(read_only(path)))
