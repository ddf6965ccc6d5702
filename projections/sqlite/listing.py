"""Pages of a list in SQLite, found by the places of their first and last rows."""

import json
import sqlite3
from collections.abc import Sequence
from uuid import UUID

from projections.engine.views import Page, PageEdge, Slice, SortRange, encode_cursor, first_page, merged_page

Bound = tuple[str, UUID] | None
"""The sort and key of a decoded cursor, or None."""


EACH = """
    SELECT parent.key, r.sort, r.key, r.document FROM json_each(:parents) parent JOIN rows r ON r.id IN (
        SELECT id FROM rows WHERE generation = (SELECT generation FROM checkpoints WHERE kind = :kind)
        AND parent = parent.value ORDER BY sort {order}, key {order} LIMIT :limit
    ) ORDER BY parent.key, r.sort {order}, r.key {order}
"""
"""The first rows under each of several parents."""

MERGED = """
    SELECT parent.key, p.sort, p.key, r.document
    FROM json_each(:parents) parent CROSS JOIN checkpoints c CROSS JOIN places p JOIN rows r ON r.id = p.id
    WHERE c.kind = :kind AND p.generation = c.generation AND p.parent = parent.value AND (p.sort, p.key) IN (
        SELECT sort, key FROM places WHERE generation = c.generation AND parent = parent.value {bounds}
        ORDER BY sort {order}, key {order} LIMIT :limit
    )
"""
"""The first rows at further places under each of several parents."""


def each_page(
    db: sqlite3.Connection, kind: str, parents: Sequence[str], part: Slice, is_descending: bool
) -> list[Page[bytes]]:
    """Read the same part, without bounds, of several lists with one statement."""
    order = "DESC" if is_descending is not part.is_backward else "ASC"
    found: list[list[PageEdge[bytes]]] = [[] for _ in parents]
    given = {"parents": json.dumps(parents), "kind": kind, "limit": part.size + 1}
    for number, sort, key, document in db.execute(EACH.format(order=order), given):
        found[number].append(PageEdge(encode_cursor(sort, UUID(bytes=key)), document))
    return [first_page(rows, part) for rows in found]


def merged_pages(
    db: sqlite3.Connection,
    kind: str,
    groups: Sequence[Sequence[str]],
    part: Slice,
    within: SortRange,
    after: Bound,
    before: Bound,
    is_descending: bool,
) -> list[Page[bytes]]:
    """Read the same part of the further lists of each group of parents with one statement."""
    given: dict[str, str | bytes | int] = {"kind": kind, "limit": part.size + 1}
    given["parents"] = json.dumps([parent for group in groups for parent in group])
    lower, upper = (before, after) if is_descending else (after, before)
    bounds = ""
    for name, sign, sort in (("since", ">=", within.since), ("until", "<=", within.until)):
        if sort is not None:
            bounds += f" AND sort {sign} :{name}"
            given[name] = sort
    for name, sign, bound in (("lower", ">", lower), ("upper", "<", upper)):
        if bound is not None:
            bounds += f" AND (sort, key) {sign} (:{name}, :{name}_key)"
            given |= {name: bound[0], f"{name}_key": bound[1].bytes}
    order = "DESC" if is_descending is not part.is_backward else "ASC"
    owners = [number for number, group in enumerate(groups) for _ in group]
    found: list[list[tuple[str, UUID, bytes]]] = [[] for _ in groups]
    for number, sort, key, document in db.execute(MERGED.format(order=order, bounds=bounds), given):
        found[owners[number]].append((sort, UUID(bytes=key), document))
    return [merged_page(rows, part, is_descending=is_descending) for rows in found]


class SqliteListing:
    """The rows under one parent; forward is the direction of the list."""

    def __init__(self, kind: str, parent: str, is_descending: bool) -> None:
        self._scope = (kind, parent)
        self._is_forward = not is_descending

    def page(self, db: sqlite3.Connection, part: Slice, after: Bound, before: Bound) -> Page[bytes]:
        """Read a page with one statement, and one more for each bound of *part*, however long the list is."""
        conditions = "kind = ? AND parent = ?"
        parameters: list[str | bytes] = [*self._scope]
        for bound, is_beyond in ((after, True), (before, False)):
            if bound is not None:
                conditions += f" AND (sort, key) {self._sign(is_beyond)} (?, ?)"
                parameters += [bound[0], bound[1].bytes]
        order = "ASC" if self._is_forward is not part.is_backward else "DESC"
        found = db.execute(
            f"SELECT sort, key, document FROM documents WHERE {conditions} ORDER BY sort {order}, key {order} LIMIT ?",
            (*parameters, part.size + 1),
        ).fetchall()
        rows = found[: part.size][::-1] if part.is_backward else found[: part.size]
        has_more = len(found) > part.size
        return Page(
            edges=tuple(PageEdge(encode_cursor(sort, UUID(bytes=key)), document) for sort, key, document in rows),
            has_previous=(part.is_backward and has_more) or self._has(db, after, is_beyond=False),
            has_next=(not part.is_backward and has_more) or self._has(db, before, is_beyond=True),
        )

    def _has(self, db: sqlite3.Connection, bound: Bound, *, is_beyond: bool) -> bool:
        """Return whether there are rows at *bound* or on that side of it."""
        if bound is None:
            return False
        ((has,),) = db.execute(
            "SELECT EXISTS (SELECT 1 FROM documents WHERE kind = ? AND parent = ?"
            f" AND (sort, key) {self._sign(is_beyond)}= (?, ?))",
            (*self._scope, bound[0], bound[1].bytes),
        )
        return bool(has)

    def _sign(self, is_beyond: bool) -> str:
        return ">" if self._is_forward is is_beyond else "<"
