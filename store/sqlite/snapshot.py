"""The snapshot of a log in an SQLite file: no server may use the file, so nothing changes."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import starmap
from pathlib import Path

from store.log import RecordedEvent
from store.sqlite import disk
from store.sqlite.tables import event_from_row

EVENTS = "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"


class SqliteSnapshot:
    """See `LogSnapshot`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    async def events(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        return list(starmap(event_from_row, self._database.execute(EVENTS, (after, limit))))


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the SQLite file *path* for reading; raises `LogUnavailable`, also for errors while it is open."""
    with disk.translate_errors(path):
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            yield database
