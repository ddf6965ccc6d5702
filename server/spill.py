"""A spill file for the rows of a read model under rebuild, which bounds the memory of a check."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

import msgspec

from projections.engine.views import ListPlace, ViewRow

BATCH = 1_000
"""Maximum number of rows that are read at once."""


class Spill:
    """Rows without tags, by key, in a temporary file of SQLite that ends with the process."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute(
            "CREATE TABLE rows (key BLOB PRIMARY KEY, parent TEXT, sort TEXT, position INTEGER, document BLOB,"
            " places TEXT)"
        )
        self._file.execute("BEGIN")  # never committed, since nothing outlives the process

    def put(self, rows: Sequence[ViewRow]) -> None:
        values = [
            (
                row.key.bytes,
                row.place and row.place.parent,
                row.place and row.place.sort,
                row.position,
                row.document,
                msgspec.json.encode(row.places).decode(),
            )
            for row in rows
        ]
        self._file.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", values)

    def remove(self, keys: Collection[UUID]) -> None:
        self._file.executemany("DELETE FROM rows WHERE key = ?", [(key.bytes,) for key in keys])

    def documents(self, keys: Collection[UUID]) -> dict[UUID, bytes]:
        """Return the documents of those *keys* that have a row."""
        found = ((key, self._file.execute("SELECT document FROM rows WHERE key = ?", (key.bytes,))) for key in keys)
        return {key: row[0] for key, rows in found for row in rows}

    def rows(self) -> Iterator[list[ViewRow]]:
        """Yield all rows, in batches of `BATCH`."""
        found = self._file.execute("SELECT key, parent, sort, position, document, places FROM rows")
        while batch := found.fetchmany(BATCH):
            yield [
                ViewRow(
                    key=UUID(bytes=key),
                    place=None if parent is None else ListPlace(parent, sort),
                    position=position,
                    document=document,
                    places=_places.decode(places),
                )
                for key, parent, sort, position, document, places in batch
            ]


_places = msgspec.json.Decoder(tuple[ListPlace, ...])
