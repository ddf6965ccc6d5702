"""
Pages of a list in SQLite that tags narrow, found in an index of its full-text search (FTS5).

Rows with tags are written once and in the order of their list, so the order of their ids is that of the list. The index
holds tags only, each with the prefix `t`, and `g7` for a row of generation 7.
"""

import json
import sqlite3
from collections.abc import Sequence
from uuid import UUID

from projections.engine.views import Page, PageEdge, RowFilter, Slice, encode_cursor
from projections.sqlite.listing import Bound

INDEXED = "'g' || generation || ' t' || replace(tags, ' ', ' t')"
"""Text of a row in the index."""

FIRST_SORT, LAST_SORT = "", "\U0010ffff"
"""Sorts before and after all others."""

MAX_ID = 2**62
"""Id after all ids of rows."""

# The ids of the rows of each filter, with one statement for all filters.
FIND = """
    SELECT (
        SELECT json_group_array(id) FROM (
            SELECT tagged.rowid AS id FROM tagged JOIN rows ON rows.id = tagged.rowid
            WHERE tagged MATCH json_extract(only.value, '$[0]') AND rows.parent = :parent
            AND tagged.rowid >= max(:lower, ifnull((
                SELECT id FROM rows r WHERE r.generation = :generation AND r.parent = :parent
                AND r.sort >= json_extract(only.value, '$[1]') ORDER BY r.sort, r.key LIMIT 1
            ), :max_id))
            AND tagged.rowid <= min(:upper, ifnull((
                SELECT id FROM rows r WHERE r.generation = :generation AND r.parent = :parent
                AND r.sort <= json_extract(only.value, '$[2]') ORDER BY r.sort DESC, r.key DESC LIMIT 1
            ), 0))
            ORDER BY tagged.rowid {order} LIMIT :count
        )
    ) FROM json_each(:filters) only ORDER BY only.key
"""
READ = "SELECT id, sort, key, document FROM rows WHERE id IN (SELECT value FROM json_each(?))"


def index(db: sqlite3.Connection, generation: int, keys: Sequence[UUID]) -> None:
    """Add the rows with those *keys* to the index."""
    db.executemany(
        f"INSERT INTO tagged (rowid, tags) SELECT id, {INDEXED} FROM rows WHERE generation = ? AND key = ?",
        [(generation, key.bytes) for key in keys],
    )


def unindex(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove the rows with those *ids* from the index; they must still exist."""
    db.executemany(
        f"INSERT INTO tagged (tagged, rowid, tags) SELECT 'delete', id, {INDEXED} FROM rows"
        " WHERE id = ? AND tags IS NOT NULL",
        [(id_,) for id_ in ids],
    )


class SqliteSearch:
    """The rows under one parent, narrowed by each of several filters."""

    def __init__(self, kind: str, parent: str, is_descending: bool, filters: Sequence[RowFilter]) -> None:
        self._kind = kind
        self._parent = parent
        self._is_descending = is_descending
        self._filters = filters

    def pages(self, db: sqlite3.Connection, part: Slice, after: Bound, before: Bound) -> list[Page[bytes]]:
        """Read a page for each filter. A bound implies rows on its other side, because its cursor is one of them."""
        is_backward, size = part.is_backward, part.size
        found = self._find(db, after, before, self._is_descending is not is_backward, size + 1)
        ids = sorted({id_ for each in found for id_ in each[:size]})
        rows = {
            id_: PageEdge(encode_cursor(sort, UUID(bytes=key)), document)
            for id_, sort, key, document in db.execute(READ, (json.dumps(ids),))
        }
        return [
            Page(
                edges=tuple(rows[id_] for id_ in (each[:size][::-1] if is_backward else each[:size])),
                has_previous=len(each) > size if is_backward else after is not None,
                has_next=before is not None if is_backward else len(each) > size,
            )
            for each in found
        ]

    def _find(
        self, db: sqlite3.Connection, after: Bound, before: Bound, is_downward: bool, count: int
    ) -> list[list[int]]:
        """Return the ids of the rows of each filter."""
        checkpoint = db.execute("SELECT generation FROM checkpoints WHERE kind = ?", (self._kind,)).fetchone()
        if checkpoint is None:
            return [[] for _ in self._filters]
        generation = int(checkpoint[0])
        lower, upper = (before, after) if self._is_descending else (after, before)
        filters = [
            (_match(generation, each), each.since or FIRST_SORT, each.until or LAST_SORT) for each in self._filters
        ]
        found = db.execute(
            FIND.format(order="DESC" if is_downward else "ASC"),
            {
                "parent": self._parent,
                "generation": generation,
                "lower": self._id(db, generation, ">", lower),
                "upper": self._id(db, generation, "<", upper),
                "max_id": MAX_ID,
                "count": count,
                "filters": json.dumps(filters),
            },
        )
        return [json.loads(ids) for (ids,) in found]

    def _id(self, db: sqlite3.Connection, generation: int, sign: str, bound: Bound) -> int:
        """Return the id of the first row beyond *bound*, or an id that no row has."""
        none = MAX_ID if sign == ">" else 0
        if bound is None:
            return MAX_ID - none
        order = "ASC" if sign == ">" else "DESC"
        row = db.execute(
            f"SELECT id FROM rows WHERE generation = ? AND parent = ? AND (sort, key) {sign} (?, ?)"
            f" ORDER BY sort {order}, key {order} LIMIT 1",
            (generation, self._parent, bound[0], bound[1].bytes),
        ).fetchone()
        return none if row is None else int(row[0])


def _match(generation: int, only: RowFilter) -> str:
    groups = [" OR ".join(map(_quoted, group)) for group in only.tags]
    return " AND ".join([f"g{generation}", *(f"({group})" for group in groups)])


def _quoted(tag: str) -> str:
    return f'"t{tag[:-1]}" *' if tag.endswith("*") else f'"t{tag}"'
