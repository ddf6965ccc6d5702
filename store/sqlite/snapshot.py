"""The snapshot of a log in an SQLite file: a read transaction, so that a server may write meanwhile."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from store import archive
from store.archive import Archive, ArchivedEvents
from store.log import ExportPage, LogUnavailable, RecordedEvent
from store.sqlite import disk, tables
from store.sqlite.tables import EXPIRED_KEYS, expiry

LOG = "log.db"
OUTPUT = "output.db"

T = TypeVar("T")

EVENTS = "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"


class SqliteSnapshot:
    """See `LogSnapshot` and `ExportSource`."""

    def __init__(self, database: sqlite3.Connection, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._archive = Archive(folder / archive.FOLDER)
        (self.epoch,) = database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()

    async def events(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        return await asyncio.to_thread(self._select, tables.events_from_rows, after, limit)

    async def position(self) -> int:
        (position,) = self._database.execute("SELECT coalesce(max(rowid), 0) FROM stored_events").fetchone()
        return int(position)

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        rows = await asyncio.to_thread(self._select, tables.export_lines_from_rows, after, limit)
        return ExportPage(position=rows[-1][0] if rows else 0, lines=b"".join(line for _, line in rows))

    def _select(
        self, convert: Callable[[Sequence[tuple[Any, ...]], ArchivedEvents], list[T]], after: int, limit: int
    ) -> list[T]:
        rows = self._execute(EVENTS, (after, limit))
        return convert(rows, tables.archived_events(self._execute, self._archive, rows))

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, parameters).fetchall()

    def archive_findings(self) -> list[str]:
        """Return what is wrong with the files of the archive."""
        return archive.findings(self._folder / archive.FOLDER, tables.segments(self._execute))

    async def expired_keys(self, before: datetime, count: int) -> Sequence[str]:
        """See `PrunableKeys`."""
        return [key for (key,) in self._database.execute(EXPIRED_KEYS, expiry(before, count))]

    async def forget_keys(self, keys: Collection[str]) -> None:
        raise LogUnavailable("A snapshot is not written to.")

    def has_stream(self, stream: UUID) -> bool:
        """Return whether the log has an event of *stream*."""
        found = self._database.execute("SELECT 1 FROM stored_events WHERE originator_id = ? LIMIT 1", (stream.hex,))
        return found.fetchone() is not None


def check_folder(data: Path) -> None:
    """Raise `LogUnavailable` if *data* is no data folder, or if its log was moved to a database."""
    path = data / LOG
    if not path.is_file():
        raise LogUnavailable(f"{data} holds no log ({LOG}): name the data folder of a server.")
    with read_only(path) as log:
        tables = {name for (name,) in log.execute("SELECT name FROM sqlite_master")}
        if not {"stored_events", "meta"} <= tables:
            raise LogUnavailable(
                f"{path} holds no events: it is empty, or was copied without its write-ahead log ({LOG}-wal)."
            )
        moved = log.execute("SELECT value FROM meta WHERE name = 'moved'").fetchone()
    if moved is not None:
        raise LogUnavailable(f"The log in {data} was moved to {moved[0]}: name that database.")


def deployments_with_output(path: Path) -> Sequence[UUID]:
    """Return the deployments in the file *path* of outputs; raise `LogUnavailable`."""
    with read_only(path) as output:
        return [UUID(hex=deployment) for (deployment,) in output.execute("SELECT DISTINCT deployment FROM attempts")]


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Read the SQLite file *path* in one transaction; raise `LogUnavailable`, also for errors while it is open."""
    with disk.translate_errors(path):
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as database:
            database.execute("BEGIN")
            database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # the transaction begins here
            yield database
