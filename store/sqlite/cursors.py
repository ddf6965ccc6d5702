"""The cursors in an SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from store.round_trip import in_thread
from store.sqlite import disk

T = TypeVar("T")


class SqliteCursors:
    """See `Cursors`. One server uses the file, so each claim succeeds."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._path = path
        self._thread = ThreadPoolExecutor(1, "cursors")

    @classmethod
    async def open(cls, path: Path) -> "SqliteCursors":
        """Open the file *path*, or create it; raises `LogUnavailable`."""
        return cls(await asyncio.to_thread(connect, path), path)

    async def get(self, names: Sequence[str]) -> dict[str, bytes]:
        def get() -> dict[str, bytes]:
            marks = ", ".join("?" * len(names))
            rows = self._database.execute(f"SELECT name, value FROM cursors WHERE name IN ({marks})", names)
            return {name: bytes(value) for name, value in rows}

        return await self._run(get)

    async def put(self, name: str, value: bytes) -> None:
        def put() -> None:
            with self._database:
                self._database.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, value))

        await self._run(put)

    async def claim(self, holder: str, seconds: float) -> bool:
        return True

    async def close(self) -> None:
        await self._run(self._database.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        def run() -> T:
            with disk.translate_errors(self._path):
                return work()

        return await in_thread(self._thread, run)


def connect(path: Path) -> sqlite3.Connection:
    """Connect to the file *path*; create the file and its table if they are missing."""
    disk.make_file(path)
    with disk.translate_errors(path):
        database = sqlite3.connect(path, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # after a power failure, the last messages are sent again
        database.execute("CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
        return database
