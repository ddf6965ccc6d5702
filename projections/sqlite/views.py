"""
The store of read models on SQLite, in a file of its own beside the log.

One thread writes. A few threads read, each with its own connection, so that no read waits for the writer. A commit does
not wait for the disk (WAL, synchronous=NORMAL). A power cut may lose the last commits, rows together with their
checkpoint; the projector then writes them again.
"""

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar
from uuid import UUID

from projections.engine.views import (
    EVERYTHING,
    Advance,
    Checkpoint,
    CheckpointMoved,
    Page,
    ParkedEvent,
    RowFilter,
    Slice,
    SortRange,
    ViewRow,
    Views,
    ViewsDamaged,
    ViewsUnavailable,
    decode_cursor,
)
from projections.sqlite import search, tables
from projections.sqlite.listing import SqliteListing, each_page, merged_pages
from projections.sqlite.search import SqliteSearch
from projections.sqlite.tables import transaction
from store.log import LogUnavailable
from store.round_trip import in_thread
from store.sqlite import disk

Result = TypeVar("Result")

MEMORY = ":memory:"
"""Path of a store in memory."""

PAGES_KIB = 500
"""Maximum size of the pages that a connection caches, in KiB."""

READERS = 3
"""Threads that read."""

PRUNED = 500
"""Rows that are pruned in one transaction; more would let a save wait."""

DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""SQLite's result codes for a damaged file, https://www.sqlite.org/rescode.html."""

ADVICE = "If the file is damaged, stop the server and delete it. Its content is rebuilt from the log."

PUT = """
    INSERT INTO rows (generation, key, parent, sort, position, document, tags) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (generation, key) DO UPDATE SET
        parent = excluded.parent, sort = excluded.sort, position = excluded.position, document = excluded.document
"""
LEAVE = """
    DELETE FROM places WHERE id = (SELECT id FROM rows WHERE generation = :generation AND key = :key)
    AND (parent, sort) NOT IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:places))
"""
ENTER = """
    INSERT OR IGNORE INTO places (generation, parent, sort, key, id)
    SELECT generation, json_extract(value, '$[0]'), json_extract(value, '$[1]'), rows.key, rows.id
    FROM rows, json_each(:places) WHERE generation = :generation AND rows.key = :key
"""
PARKED = """
    SELECT kind, parked.position, stream, name, error FROM checkpoints JOIN parked ON parked.rowid IN (
        SELECT rowid FROM parked WHERE parked.generation = checkpoints.generation ORDER BY position LIMIT ?
    ) ORDER BY parked.position, kind
"""


logger = logging.getLogger(__name__)


class SqliteViews(Views):
    """The store of read models in a file of SQLite.

    A damaged file is set aside and replaced. `on_replaced` is called then, in the event loop. Reads raise
    `ViewsUnavailable` until the first save of new rows.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_closed = False
        self.on_replaced: Callable[[], Awaitable[None]] | None = None
        self._notification: asyncio.Future[None] | None = None
        self._file = 0  # how often the file was replaced
        self._is_empty = False  # since it was replaced
        self._connections: list[sqlite3.Connection] = []
        self._local = threading.local()
        self._writer = ThreadPoolExecutor(1, "views-writer")
        # A database in memory belongs to one connection, so one thread does everything.
        self._readers = self._writer if path == MEMORY else ThreadPoolExecutor(READERS, "views-reader")

    @classmethod
    async def open(cls, path: Path | str) -> Self:
        """Open the store in the file *path*, and create it if it is missing; ":memory:" is a store in memory."""
        views = cls(str(path))
        if str(path) != MEMORY:
            await asyncio.to_thread(disk.make_file, Path(path))  # readable by its owner only, like the log
        try:
            await views._write(tables.make)
        except ViewsDamaged:
            pass  # the new file has its tables
        except BaseException:
            await views.close()
            raise
        return views

    async def close(self) -> None:
        self._is_closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        for connection in self._connections:
            connection.close()

    # Reading

    async def get(self, kind: str, key: UUID) -> bytes | None:
        def get(db: sqlite3.Connection) -> bytes | None:
            row = db.execute("SELECT document FROM documents WHERE kind = ? AND key = ?", (kind, key.bytes)).fetchone()
            return None if row is None else row[0]

        return await self._read(get)

    async def find(self, kind: str, keys: Collection[UUID]) -> Mapping[UUID, bytes]:
        def find(db: sqlite3.Connection) -> Mapping[UUID, bytes]:
            marks = ", ".join("?" * len(keys))
            found = db.execute(
                f"SELECT key, document FROM documents WHERE kind = ? AND key IN ({marks})",
                (kind, *(key.bytes for key in keys)),
            )
            return {UUID(bytes=key): document for key, document in found}

        return await self._read(find)

    async def list(
        self, kind: str, parent: str, part: Slice, *, is_descending: bool = False, only: RowFilter | None = None
    ) -> Page[bytes]:
        if only is not None:
            (found,) = await self.list_all(kind, parent, part, [only], is_descending=is_descending)
            return found
        after = None if part.after is None else decode_cursor(part.after)
        before = None if part.before is None else decode_cursor(part.before)

        def page(db: sqlite3.Connection) -> Page[bytes]:
            with transaction(db, "DEFERRED"):
                return SqliteListing(kind, parent, is_descending).page(db, part, after, before)

        return await self._read(page)

    async def list_each(
        self, kind: str, parents: Sequence[str], part: Slice, *, is_descending: bool = False
    ) -> Sequence[Page[bytes]]:
        return await self._read(lambda db: each_page(db, kind, parents, part, is_descending)) if parents else []

    async def list_merged(
        self,
        kind: str,
        groups: Sequence[Sequence[str]],
        part: Slice,
        *,
        is_descending: bool = False,
        within: SortRange = EVERYTHING,
    ) -> Sequence[Page[bytes]]:
        after = None if part.after is None else decode_cursor(part.after)
        before = None if part.before is None else decode_cursor(part.before)
        return await self._read(lambda db: merged_pages(db, kind, groups, part, within, after, before, is_descending))

    async def list_all(
        self, kind: str, parent: str, part: Slice, filters: Sequence[RowFilter], *, is_descending: bool = False
    ) -> Sequence[Page[bytes]]:
        after = None if part.after is None else decode_cursor(part.after)
        before = None if part.before is None else decode_cursor(part.before)

        def pages(db: sqlite3.Connection) -> Sequence[Page[bytes]]:
            with transaction(db, "DEFERRED"):
                return SqliteSearch(kind, parent, is_descending, filters).pages(db, part, after, before)

        return await self._read(pages) if filters else []

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return await self._write(_checkpoints)

    async def parked(self, limit: int = 10) -> Sequence[ParkedEvent]:
        def parked(db: sqlite3.Connection) -> Sequence[ParkedEvent]:
            found = db.execute(PARKED, (limit,))
            return [
                ParkedEvent(kind=kind, position=position, stream=UUID(bytes=stream), name=name, error=error)
                for kind, position, stream, name, error in found
            ]

        return await self._read(parked)

    async def load(self, wanted: Mapping[int, Collection[UUID]]) -> Mapping[int, Mapping[UUID, bytes]]:
        def load(db: sqlite3.Connection) -> Mapping[int, Mapping[UUID, bytes]]:
            return {generation: dict(_documents(db, generation, keys)) for generation, keys in wanted.items()}

        return await self._write(load)

    # Writing

    async def save(self, advances: Sequence[Advance]) -> None:
        def save(db: sqlite3.Connection) -> None:
            with transaction(db, "IMMEDIATE"):
                for advance in advances:
                    _save(db, advance)

        await self._write(save)
        self._is_empty = False

    async def begin(self, kind: str) -> int:
        def begin(db: sqlite3.Connection) -> int:
            generation = db.execute("INSERT INTO generations (kind) VALUES (?)", (kind,)).lastrowid
            assert generation is not None
            return generation

        return await self._write(begin)

    async def fill(self, generation: int, rows: Sequence[ViewRow], removed: Sequence[UUID] = ()) -> None:
        def fill(db: sqlite3.Connection) -> None:
            with transaction(db, "IMMEDIATE"):
                _put(db, generation, rows)
                _remove(db, generation, removed)

        await self._write(fill)

    async def forget(self, kind: str) -> None:
        def forget(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM checkpoints WHERE kind = ?", (kind,))

        await self._write(forget)
        await self.prune()

    async def prune(self, only: Collection[int] | None = None) -> None:
        while await self._write(partial(_prune, only=only)):
            pass

    # Threads

    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._is_empty:
            raise ViewsDamaged(f"{self._path} was damaged, and its content is being rebuilt from the log.")
        return await self._run(self._readers, work)

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._run(self._writer, work)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._is_closed:
            raise ViewsUnavailable(f"The store of read models {self._path} is closed.")
        file = self._file
        try:
            return await in_thread(threads, lambda: work(self._connection()))
        except (OSError, sqlite3.Error) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGES and self._path != MEMORY:
                await self._replace(file, error)
                raise ViewsDamaged(f"{self._path} was damaged ({error}); it is being rebuilt from the log.") from error
            raise ViewsUnavailable(f"{self._path}: {error}. {ADVICE}") from error

    async def _replace(self, file: int, fault: Exception) -> None:
        """Replace the damaged *file*, unless another task has; raise `ViewsUnavailable`."""
        path, aside = Path(self._path), Path(f"{self._path}-damaged")

        def replace() -> bool:
            if file != self._file:
                return False
            self._is_empty = True
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            path.replace(aside)
            disk.make_file(path)
            self._file += 1
            tables.make(self._connection())
            return True

        try:
            is_new = await asyncio.get_running_loop().run_in_executor(self._writer, replace)
        except (OSError, sqlite3.Error, LogUnavailable) as error:
            raise ViewsUnavailable(f"{path} is damaged ({fault}) and can't be replaced: {error}.") from error
        if is_new:
            logger.error(
                "%(file)s is damaged and was moved to %(aside)s: %(error)s. The read models are rebuilt from the log",
                {"file": path, "aside": aside, "error": fault},
            )
            if self.on_replaced is not None:  # its caller may hold what the projector needs
                self._notification = asyncio.ensure_future(self.on_replaced())

    def _connection(self) -> sqlite3.Connection:
        """Return the connection of this thread."""
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is None or self._local.file != self._file:
            file = self._file
            # `close` closes it from another thread, after this one has ended
            known = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
            known.execute("PRAGMA journal_mode = WAL")
            known.execute("PRAGMA synchronous = NORMAL")
            known.execute(f"PRAGMA cache_size = -{PAGES_KIB}")
            self._local.connection, self._local.file = known, file
            self._connections.append(known)
        return known


def _checkpoints(db: sqlite3.Connection) -> dict[str, Checkpoint]:
    found = db.execute("SELECT kind, version, generation, epoch, position, hash FROM checkpoints")
    return {
        kind: Checkpoint(kind=kind, version=version, generation=generation, epoch=epoch, position=position, hash=hash_)
        for kind, version, generation, epoch, position, hash_ in found
    }


def _documents(db: sqlite3.Connection, generation: int, keys: Collection[UUID]) -> Iterator[tuple[UUID, bytes]]:
    marks = ", ".join("?" * len(keys))
    found = db.execute(
        f"SELECT key, document FROM rows WHERE generation = ? AND key IN ({marks})",
        (generation, *(key.bytes for key in keys)),
    )
    for key, document in found:
        yield UUID(bytes=key), document


def _save(db: sqlite3.Connection, advance: Advance) -> None:
    before, after = advance.before, advance.after
    if _checkpoints(db).get(after.kind) != before:
        raise CheckpointMoved(after.kind)
    if before and before.generation == after.generation and before.position >= after.position:
        raise ValueError(f"A checkpoint only moves forward, not from {before.position} to {after.position}.")
    _put(db, after.generation, advance.rows)
    _remove(db, after.generation, advance.removed)
    db.executemany(
        "INSERT OR REPLACE INTO parked (generation, position, stream, name, error) VALUES (?, ?, ?, ?, ?)",
        [(after.generation, each.position, each.stream.bytes, each.name, each.error) for each in advance.parked],
    )
    db.execute(
        "INSERT OR REPLACE INTO checkpoints (kind, version, generation, epoch, position, hash)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (after.kind, after.version, after.generation, after.epoch, after.position, after.hash),
    )


def _put(db: sqlite3.Connection, generation: int, rows: Sequence[ViewRow]) -> None:
    db.executemany(
        PUT,
        [
            (
                generation,
                row.key.bytes,
                None if row.place is None else row.place.parent,
                None if row.place is None else row.place.sort,
                row.position,
                row.document,
                " ".join(row.tags) or None,
            )
            for row in rows
        ],
    )
    search.index(db, generation, [row.key for row in rows if row.tags])
    moved = [
        {
            "generation": generation,
            "key": row.key.bytes,
            "places": json.dumps([(place.parent, place.sort) for place in row.places]),
        }
        for row in rows
        if row.places
    ]
    db.executemany(LEAVE, moved)
    db.executemany(ENTER, moved)


def _remove(db: sqlite3.Connection, generation: int, keys: Sequence[UUID]) -> None:
    removed = [(generation, key.bytes) for key in keys]
    db.executemany("DELETE FROM places WHERE id = (SELECT id FROM rows WHERE generation = ? AND key = ?)", removed)
    db.executemany("DELETE FROM rows WHERE generation = ? AND key = ?", removed)


def _prune(db: sqlite3.Connection, only: Collection[int] | None) -> bool:
    """Delete some rows of a generation that is not read; return whether there was such a generation."""
    with transaction(db, "IMMEDIATE"):
        unread = db.execute(
            "SELECT generation FROM generations WHERE generation NOT IN (SELECT generation FROM checkpoints)"
        )
        found = next((each for each in unread.fetchall() if only is None or each[0] in only), None)
        if found is None:
            return False
        some = [id_ for (id_,) in db.execute("SELECT id FROM rows WHERE generation = ? LIMIT ?", (*found, PRUNED))]
        search.unindex(db, some)
        db.executemany("DELETE FROM places WHERE id = ?", [(id_,) for id_ in some])
        db.executemany("DELETE FROM rows WHERE id = ?", [(id_,) for id_ in some])
        if not some:
            db.execute("DELETE FROM parked WHERE generation = ?", found)
            db.execute("DELETE FROM generations WHERE generation = ?", found)
        return True
