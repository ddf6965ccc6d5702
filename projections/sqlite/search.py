"""
Pages of a list in SQLite that is narrowed by tags, from an index of its full-text search (FTS5).

Rows with tags are written once and in the order of their list, so that the order of their ids is the list's. The index
holds nothing but tags, each behind a `t`, and as `g7` that a row is of generation 7.
"""

import json
import sqlite3
from collections.abc import Sequence
from uuid import UUID

from projections.engine.views import PAGE, Edge, Filter, Page, Slice, cursor

INDEXED = "'g' || generation || ' t' || replace(tags, ' ', ' t')"
FIRST, LAST = "", "\U0010ffff"  # before and behind every sort
ALL = 2**62

# For each filter the ids of its rows, of all filters in one statement.
FIND = """
    SELECT (
        SELECT json_group_array(id) FROM (
            SELECT tagged.rowid AS id FROM tagged JOIN rows ON rows.id = tagged.rowid
            WHERE tagged MATCH json_extract(only.value, '$[0]') AND rows.parent = :parent
            AND tagged.rowid >= max(:lower, ifnull((
                SELECT id FROM rows r WHERE r.generation = :generation AND r.parent = :parent
                AND r.sort >= json_extract(only.value, '$[1]') ORDER BY r.sort, r.key LIMIT 1
            ), :all))
            AND tagged.rowid <= min(:upper, ifnull((
                SELECT id FROM rows r WHERE r.generation = :generation AND r.parent = :parent
                AND r.sort <= json_extract(only.value, '$[2]') ORDER BY r.sort DESC, r.key DESC LIMIT 1
            ), 0))
            ORDER BY tagged.rowid {order} LIMIT :count
        )
    ) FROM json_each(:filters) only ORDER BY only.key
"""
READ = "SELECT id, sort, key, document FROM rows WHERE id IN (SELECT value FROM json_each(?))"


def tag(db: sqlite3.Connection, generation: int, keys: Sequence[UUID]) -> None:
    """Takes the rows with those *keys* into the index."""
    db.executemany(
        f"INSERT INTO tagged (rowid, tags) SELECT id, {INDEXED} FROM rows WHERE generation = ? AND key = ?",
        [(generation, key.bytes) for key in keys],
    )


def untag(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Takes the rows with those *ids*, which are still there, out of the index."""
    db.executemany(
        f"INSERT INTO tagged (tagged, rowid, tags) SELECT 'delete', id, {INDEXED} FROM rows"
        " WHERE id = ? AND tags IS NOT NULL",
        [(id_,) for id_ in ids],
    )


class Tagged:
    """The rows under one parent that each of the filters *narrowed* lets through."""

    def __init__(self, kind: str, parent: str, is_descending: bool, narrowed: Sequence[Filter]) -> None:
        self._kind = kind
        self._parent = parent
        self._is_descending = is_descending
        self._narrowed = narrowed

    def pages(
        self, db: sqlite3.Connection, part: Slice, after: tuple[str, UUID] | None, before: tuple[str, UUID] | None
    ) -> list[Page[bytes]]:
        """Whoever gives a cursor of such a list has seen that there is something on its other side."""
        if part.first is not None and part.last is not None:
            raise ValueError("the first ones or the last ones, not both")
        is_backward = part.last is not None
        count = part.last if part.last is not None else PAGE if part.first is None else part.first
        found = self._found(db, after, before, self._is_descending is not is_backward, count + 1)
        ids = sorted({id_ for each in found for id_ in each[:count]})
        rows = {
            id_: Edge(cursor(sort, UUID(bytes=key)), document)
            for id_, sort, key, document in db.execute(READ, (json.dumps(ids),))
        }
        return [
            Page(
                edges=tuple(rows[id_] for id_ in (each[:count][::-1] if is_backward else each[:count])),
                has_previous=len(each) > count if is_backward else after is not None,
                has_next=before is not None if is_backward else len(each) > count,
            )
            for each in found
        ]

    def _found(
        self,
        db: sqlite3.Connection,
        after: tuple[str, UUID] | None,
        before: tuple[str, UUID] | None,
        is_downward: bool,
        count: int,
    ) -> list[list[int]]:
        """The ids of each filter's rows."""
        checkpoint = db.execute("SELECT generation FROM checkpoints WHERE kind = ?", (self._kind,)).fetchone()
        if checkpoint is None:
            return [[] for _ in self._narrowed]
        generation = int(checkpoint[0])
        lower, upper = (before, after) if self._is_descending else (after, before)
        filters = [(_match(generation, each), each.since or FIRST, each.until or LAST) for each in self._narrowed]
        found = db.execute(
            FIND.format(order="DESC" if is_downward else "ASC"),
            {
                "parent": self._parent,
                "generation": generation,
                "lower": self._id(db, generation, ">", lower),
                "upper": self._id(db, generation, "<", upper),
                "all": ALL,
                "count": count,
                "filters": json.dumps(filters),
            },
        )
        return [json.loads(ids) for (ids,) in found]

    def _id(self, db: sqlite3.Connection, generation: int, sign: str, bound: tuple[str, UUID] | None) -> int:
        """The id of the first row beyond *bound*; one that no row has if there is none."""
        none = ALL if sign == ">" else 0
        if bound is None:
            return ALL - none
        order = "ASC" if sign == ">" else "DESC"
        row = db.execute(
            f"SELECT id FROM rows WHERE generation = ? AND parent = ? AND (sort, key) {sign} (?, ?)"
            f" ORDER BY sort {order}, key {order} LIMIT 1",
            (generation, self._parent, bound[0], bound[1].bytes),
        ).fetchone()
        return none if row is None else int(row[0])


def _match(generation: int, only: Filter) -> str:
    groups = [" OR ".join(map(_quoted, group)) for group in only.tags]
    return " AND ".join([f"g{generation}", *(f"({group})" for group in groups)])


def _quoted(tag: str) -> str:
    return f'"t{tag[:-1]}" *' if tag.endswith("*") else f'"t{tag}"'
