"""Pages of a list in SQLite, by the places of their first and last rows and never by counting."""

import sqlite3
from uuid import UUID

from projections.engine.views import PAGE, Edge, Page, Slice, cursor


class Listing:
    """The rows under one parent; *forward* is the list's own direction."""

    def __init__(self, kind: str, parent: str, is_descending: bool) -> None:
        self._scope = (kind, parent)
        self._forward = not is_descending

    def page(
        self, db: sqlite3.Connection, part: Slice, after: tuple[str, UUID] | None, before: tuple[str, UUID] | None
    ) -> Page[bytes]:
        """One statement, and one for each side that *part* is bounded on, however long the list and the page are."""
        if part.first is not None and part.last is not None:
            raise ValueError("the first ones or the last ones, not both")
        is_backward = part.last is not None
        count = part.last if part.last is not None else PAGE if part.first is None else part.first
        conditions = "kind = ? AND parent = ?"
        bounds: list[str | bytes] = [*self._scope]
        for bound, is_beyond in ((after, True), (before, False)):
            if bound is not None:
                conditions += f" AND (sort, key) {self._sign(is_beyond)} (?, ?)"
                bounds += [bound[0], bound[1].bytes]
        order = "ASC" if self._forward is not is_backward else "DESC"
        found = db.execute(
            f"SELECT sort, key, document FROM documents WHERE {conditions} ORDER BY sort {order}, key {order} LIMIT ?",
            (*bounds, count + 1),
        ).fetchall()
        rows = found[:count][::-1] if is_backward else found[:count]
        has_more = len(found) > count
        return Page(
            edges=tuple(Edge(cursor(sort, UUID(bytes=key)), document) for sort, key, document in rows),
            has_previous=(is_backward and has_more) or self._has(db, after, is_beyond=False),
            has_next=(not is_backward and has_more) or self._has(db, before, is_beyond=True),
        )

    def _has(self, db: sqlite3.Connection, bound: tuple[str, UUID] | None, *, is_beyond: bool) -> bool:
        """Whether there are rows at *bound* or on that side of it."""
        if bound is None:
            return False
        ((has,),) = db.execute(
            "SELECT EXISTS (SELECT 1 FROM documents WHERE kind = ? AND parent = ?"
            f" AND (sort, key) {self._sign(is_beyond)}= (?, ?))",
            (*self._scope, bound[0], bound[1].bytes),
        )
        return bool(has)

    def _sign(self, is_beyond: bool) -> str:
        return ">" if self._forward is is_beyond else "<"
