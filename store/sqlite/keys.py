"""The encryption keys in an SQLite file."""

import asyncio
import json
import secrets
import sqlite3
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from store.keys import KEY_LENGTH
from store.round_trip import in_thread
from store.sqlite import disk

T = TypeVar("T")


class SqliteKeys:
    """See `Keys`. A destroyed key is overwritten in the file, and the journal is truncated."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._path = path
        self._thread = ThreadPoolExecutor(1, "keys")

    @classmethod
    async def open(cls, path: Path) -> "SqliteKeys":
        """Open the file *path*, or create it; raises `LogUnavailable`."""
        return cls(await asyncio.to_thread(connect, path), path)

    async def make(self, id: str) -> bytes:
        def make() -> bytes:
            with self._database:
                self._database.execute(
                    "INSERT OR IGNORE INTO keys VALUES (?, ?)", (id, secrets.token_bytes(KEY_LENGTH))
                )
            ((key,),) = self._database.execute("SELECT key FROM keys WHERE actor = ?", (id,))
            return bytes(key)

        return await self._run(make)

    async def get(self, ids: Collection[str]) -> Mapping[str, bytes]:
        def get() -> Mapping[str, bytes]:
            wanted = json.dumps(list(ids))
            found = self._database.execute(
                "SELECT actor, key FROM keys WHERE actor IN (SELECT value FROM json_each(?))", (wanted,)
            )
            return {actor: bytes(key) for actor, key in found}

        return await self._run(get)

    async def find(self, prefix: str) -> Collection[str]:
        def find() -> Collection[str]:
            found = self._database.execute(
                "SELECT actor FROM keys WHERE substr(actor, 1, ?) = ?", (len(prefix), prefix)
            )
            return [actor for (actor,) in found]

        return await self._run(find)

    async def destroy(self, ids: Collection[str]) -> None:
        def destroy() -> None:
            with self._database:
                self._database.executemany("DELETE FROM keys WHERE actor = ?", [(id_,) for id_ in ids])

        await self._run(destroy)

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
        database.execute("PRAGMA secure_delete = ON")
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = EXTRA")
        database.execute("CREATE TABLE IF NOT EXISTS keys (actor TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID")
        return database
