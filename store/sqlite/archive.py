"""The archiving of events of a log in an SQLite file, which no server may use meanwhile."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from store import archive
from store.archive import ArchivableEvent, SealedFile, Segment
from store.log import LogUnavailable
from store.sqlite import disk, tables
from store.sqlite.snapshot import LOG, check_folder, read_only
from store.sqlite.tables import Datastore, SqliteRecorder

ENDED = f"""
    SELECT originator_id FROM stored_events WHERE rowid > ? AND rowid <= ?
    AND topic IN ({", ".join(f"'{name}'" for name in archive.CLOSED)}) AND substr(state, 1, 1) = x'7b' ORDER BY rowid
"""

ARCHIVABLE = """
    SELECT * FROM stored_events WHERE originator_id = ? AND originator_version > ? AND rowid <= ?
    AND substr(state, 1, 1) = x'7b' ORDER BY originator_version LIMIT ?
"""
"""The events of a stream with a body: a number takes its place in the archived ones."""

EMPTY = """
    UPDATE stored_events SET state = CAST(CAST(? AS TEXT) AS BLOB), id = '', actor = '', origin = '', token = NULL,
    correlation = NULL, causation = NULL, reason = NULL, previous = x'' WHERE rowid = ?
"""
EMPTIED = (4, 5, 7, 8, 9, 10, 11, 12, 13)
"""Indexes of these columns in a row."""


class SqliteArchiving:
    """See `ArchivableLog`; *database* is a connection to the log."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._path = path

    async def segments(self) -> Sequence[Segment]:
        return tables.segments(lambda statement: self._database.execute(statement).fetchall())

    async def end(self, before: datetime) -> int:
        return self._one(f"{tables.BEFORE} SELECT {tables.LAST_BEFORE}", tables.stored_time(before))

    async def closed(self, after: int, until: int) -> Sequence[UUID]:
        return [UUID(stream) for (stream,) in self._database.execute(ENDED, (after, until))]

    async def archivable(self, stream: UUID, after: int, until: int) -> Sequence[ArchivableEvent]:
        rows = self._database.execute(ARCHIVABLE, (stream.hex, after, until, archive.PAGE))
        return [_archivable(row) for row in rows]

    async def record(self, sealed: SealedFile, positions: Sequence[int]) -> None:
        with disk.translate_errors(self._path), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            if not self._database.execute(tables.HAS_SEGMENTS).fetchall():
                for statement in tables.ARCHIVING:
                    self._database.execute(statement)
            first, last = positions[0], positions[-1]
            self._database.execute(
                "INSERT INTO segments (digest, first, last, events, size) VALUES (?, ?, ?, ?, ?)",
                (sealed.digest, first, last, len(positions), sealed.size),
            )
            number = self._one("SELECT max(number) FROM segments")
            self._database.executemany(EMPTY, [(number, position) for position in positions])

    async def size(self) -> int:
        """Return the size of the log's file, with its write-ahead log, in bytes."""
        paths = self._path, self._path.with_name(f"{self._path.name}-wal")
        return sum(path.stat().st_size for path in paths if path.exists())

    async def shrink(self) -> None:
        """Return the free space of the file to the disk, if it is a twentieth or more."""
        with disk.translate_errors(self._path):
            if self._one("PRAGMA freelist_count") * 20 >= self._one("PRAGMA page_count"):
                self._database.execute("VACUUM")
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _one(self, statement: str, *parameters: object) -> int:
        (found,) = self._database.execute(statement, parameters).fetchone()
        return int(found)


@contextmanager
def archiving(data: Path, *, is_dry_run: bool) -> Iterator[SqliteArchiving]:
    """Open the log in the folder *data*; a server may use it during a dry run only. Raises `LogUnavailable`."""
    check_folder(data)
    path = data / LOG
    with ExitStack() as stack:
        if is_dry_run:
            database = stack.enter_context(read_only(path))
        else:
            stack.enter_context(disk.translate_errors(path))
            try:
                stack.callback(os.close, disk.lock(path.with_name(f"{LOG}-lock")))
            except LogUnavailable as fault:
                raise LogUnavailable(f"{fault} A dry run needs no stop.") from fault
            recorder = SqliteRecorder(Datastore(path, size=1))
            stack.callback(recorder.datastore.close)
            recorder.begin(path)
            database = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            for pragma in tables.PRAGMAS:
                database.execute(f"PRAGMA {pragma}")
        yield SqliteArchiving(database, path)


def _archivable(row: tuple[Any, ...]) -> ArchivableEvent:
    position, line = tables.export_line_from_row(*row)
    version, hash_ = row[2], row[-1]
    return archive.archivable(position, version, hash_, line, sum(len(row[column] or "") for column in EMPTIED))
