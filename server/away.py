"""Rows put away while a read model is made again, so that memory need not hold them all."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

from projections.engine.views import ListPlace, ViewRow

SOME = 1_000


class Away:
    """Rows without tags, by key, in a file that SQLite makes when it needs one, and that is gone with the process."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute(
            "CREATE TABLE rows (key BLOB PRIMARY KEY, parent TEXT, sort TEXT, position INTEGER, document BLOB)"
        )
        self._file.execute("BEGIN")  # for ever: nothing of it is to outlive the process

    def put(self, rows: Sequence[ViewRow]) -> None:
        values = [
            (row.key.bytes, row.place and row.place.parent, row.place and row.place.sort, row.position, row.document)
            for row in rows
        ]
        self._file.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", values)

    def remove(self, keys: Collection[UUID]) -> None:
        self._file.executemany("DELETE FROM rows WHERE key = ?", [(key.bytes,) for key in keys])

    def documents(self, keys: Collection[UUID]) -> dict[UUID, bytes]:
        """Those of *keys* that are there."""
        found = ((key, self._file.execute("SELECT document FROM rows WHERE key = ?", (key.bytes,))) for key in keys)
        return {key: row[0] for key, rows in found for row in rows}

    def rows(self) -> Iterator[list[ViewRow]]:
        """All of them, some at a time."""
        found = self._file.execute("SELECT key, parent, sort, position, document FROM rows")
        while some := found.fetchmany(SOME):
            yield [
                ViewRow(
                    key=UUID(bytes=key),
                    place=None if parent is None else ListPlace(parent, sort),
                    position=position,
                    document=document,
                )
                for key, parent, sort, position, document in some
            ]
