"""
Pages of a list in SQLite that is narrowed by tags, from an index of its full-text search (FTS5).

Rows with tags are written once and in the order of their list, so that the order of their ids is the list's. The index
holds nothing but tags, each behind a `t`, and as `g7` that a row is of generation 7.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from uuid import UUID

from projections.views import PAGE, Edge, Filter, Page, Slice, cursor

INDEXED = "'g' || generation || ' t' || replace(tags, ' ', ' t')"
LOWEST, HIGHEST = UUID(int=0), UUID(int=2**128 - 1)


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
    """The rows under one parent that *only* lets through."""

    def __init__(self, kind: str, parent: str, is_descending: bool, only: Filter) -> None:
        self._kind = kind
        self._parent = parent
        self._is_descending = is_descending
        self._only = only

    def page(
        self, db: sqlite3.Connection, part: Slice, after: tuple[str, UUID] | None, before: tuple[str, UUID] | None
    ) -> Page[bytes]:
        """Whoever gives a cursor of this list has seen that there is something on its other side."""
        if part.first is not None and part.last is not None:
            raise ValueError("the first ones or the last ones, not both")
        is_backward = part.last is not None
        count = part.last if part.last is not None else PAGE if part.first is None else part.first
        found = list(self._found(db, after, before, self._is_descending is not is_backward, count + 1))
        rows = found[:count][::-1] if is_backward else found[:count]
        has_more = len(found) > count
        return Page(
            edges=tuple(Edge(cursor(sort, UUID(bytes=key)), document) for sort, key, document in rows),
            has_previous=has_more if is_backward else after is not None,
            has_next=before is not None if is_backward else has_more,
        )

    def _found(
        self,
        db: sqlite3.Connection,
        after: tuple[str, UUID] | None,
        before: tuple[str, UUID] | None,
        is_downward: bool,
        count: int,
    ) -> Iterator[tuple[str, bytes, bytes]]:
        checkpoint = db.execute("SELECT generation FROM checkpoints WHERE kind = ?", (self._kind,)).fetchone()
        if checkpoint is None:
            return
        generation = int(checkpoint[0])
        lower, upper = (before, after) if self._is_descending else (after, before)
        since, until = self._only.since, self._only.until
        bounds = (
            self._id(db, generation, ">", lower),
            self._id(db, generation, ">", None if since is None else (since, LOWEST)),
            self._id(db, generation, "<", upper),
            self._id(db, generation, "<", None if until is None else (until, HIGHEST)),
        )
        order = "DESC" if is_downward else "ASC"
        yield from db.execute(
            "SELECT sort, key, document FROM tagged JOIN rows ON rows.id = tagged.rowid WHERE tagged MATCH ?"
            " AND tagged.rowid BETWEEN max(?, ?) AND min(?, ?) AND parent = ?"
            f" ORDER BY tagged.rowid {order} LIMIT ?",
            (self._match(generation), *bounds, self._parent, count),
        )

    def _id(self, db: sqlite3.Connection, generation: int, sign: str, bound: tuple[str, UUID] | None) -> int:
        """The id of the first row beyond *bound*; one that no row has if there is none."""
        none = 2**62 if sign == ">" else 0
        if bound is None:
            return 2**62 - none
        order = "ASC" if sign == ">" else "DESC"
        row = db.execute(
            f"SELECT id FROM rows WHERE generation = ? AND parent = ? AND (sort, key) {sign} (?, ?)"
            f" ORDER BY sort {order}, key {order} LIMIT 1",
            (generation, self._parent, bound[0], bound[1].bytes),
        ).fetchone()
        return none if row is None else int(row[0])

    def _match(self, generation: int) -> str:
        groups = [" OR ".join(map(_quoted, group)) for group in self._only.tags]
        return " AND ".join([f"g{generation}", *(f"({group})" for group in groups)])


def _quoted(tag: str) -> str:
    return f'"t{tag[:-1]}" *' if tag.endswith("*") else f'"t{tag}"'
