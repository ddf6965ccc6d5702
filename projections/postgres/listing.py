"""Pages of a list in PostgreSQL, found by the places of their first and last rows."""

from collections.abc import Sequence
from uuid import UUID

from projections.engine.views import (
    Page,
    PageEdge,
    Slice,
    SortRange,
    decode_cursor,
    encode_cursor,
    first_page,
    merged_page,
)
from store.postgres.connection import Record

# One statement sees one state of the database. It returns a row without a key if the page is empty.
SELECT = """
    SELECT {has_before} AS has_before, {has_beyond} AS has_beyond, page.*
    FROM (SELECT generation, position FROM checkpoints WHERE kind = {kind}) AS list
    LEFT JOIN LATERAL ({page}) AS page ON true ORDER BY sort {order}, key {order}
"""
ROWS = "SELECT sort, key, document FROM {rows} ORDER BY sort {order}, key {order} LIMIT {limit}"
LISTED = "documents d WHERE {scope} {bounds}"
EXISTS = "EXISTS (SELECT 1 FROM documents d WHERE {scope} AND (d.sort, d.key) {sign}= {place})"


EACH = """
    SELECT parent.number, one.* FROM unnest($1::text[]) WITH ORDINALITY AS parent (id, number)
    CROSS JOIN LATERAL (
        SELECT sort, key, document FROM documents
        WHERE generation = (SELECT generation FROM checkpoints WHERE kind = $2) AND parent = parent.id
        ORDER BY sort {order}, key {order} LIMIT $3
    ) AS one ORDER BY parent.number, one.sort {order}, one.key {order}
"""
"""The first rows under each of several parents."""

MERGED = """
    SELECT parent.number, one.sort, one.key, documents.document
    FROM checkpoints c CROSS JOIN unnest($1::text[]) WITH ORDINALITY AS parent (id, number)
    CROSS JOIN LATERAL (
        SELECT sort, key FROM places WHERE generation = c.generation AND parent = parent.id {bounds}
        ORDER BY sort {order}, key {order} LIMIT $3
    ) AS one JOIN documents ON documents.generation = c.generation AND documents.key = one.key WHERE c.kind = $2
"""
"""The first rows at further places under each of several parents."""


def each_statement(part: Slice, is_descending: bool) -> str:
    """Return the statement that reads the same part, without bounds, of several lists."""
    return EACH.format(order="DESC" if is_descending is not part.is_backward else "ASC")


def each_page(found: Sequence[Record], count: int, part: Slice) -> list[Page[bytes]]:
    """Return the pages of the rows that the statement returned for *count* lists."""
    by_parent: list[list[PageEdge[bytes]]] = [[] for _ in range(count)]
    for row in found:
        by_parent[row["number"] - 1].append(PageEdge(encode_cursor(row["sort"], row["key"]), row["document"]))
    return [first_page(rows, part) for rows in by_parent]


class MergedListing:
    """The same part of the further lists of each group of parents, as one statement with its parameters."""

    def __init__(
        self, kind: str, groups: Sequence[Sequence[str]], part: Slice, is_descending: bool, within: SortRange
    ) -> None:
        self._part, self._is_descending = part, is_descending
        self._owners = [number for number, group in enumerate(groups) for _ in group]
        self._count = len(groups)
        self.parameters: list[object] = [[parent for group in groups for parent in group], kind, part.size + 1]
        bounds = ""
        for sign, sort in ((">=", within.since), ("<=", within.until)):
            if sort is not None:
                self.parameters.append(sort)
                bounds += f" AND sort {sign} ${len(self.parameters)}"
        beyond, before = ("<", ">") if is_descending else (">", "<")
        for sign, cursor in ((beyond, part.after), (before, part.before)):
            if cursor is not None:
                self.parameters += decode_cursor(cursor)
                bounds += f" AND (sort, key) {sign} (${len(self.parameters) - 1}::text, ${len(self.parameters)}::uuid)"
        order = "DESC" if is_descending is not part.is_backward else "ASC"
        self.statement = MERGED.format(bounds=bounds, order=order)

    def pages(self, found: Sequence[Record]) -> list[Page[bytes]]:
        """Return the page of each group, of the rows that the statement returned."""
        rows: list[list[tuple[str, UUID, bytes]]] = [[] for _ in range(self._count)]
        for row in found:
            rows[self._owners[row["number"] - 1]].append((row["sort"], row["key"], row["document"]))
        return [merged_page(some, self._part, is_descending=self._is_descending) for some in rows]


class PostgresListing:
    """A part of a list, as one statement with its parameters.

    Subclasses narrow the list by `_conditions` and `_page`.
    """

    is_narrowed = False

    def __init__(self, kind: str, parent: str, part: Slice, is_descending: bool) -> None:
        self._is_backward, self._size = part.is_backward, part.size
        self.parameters: list[object] = []
        beyond, before = ("<", ">") if is_descending else (">", "<")
        scope = f"d.generation = list.generation AND d.parent = {self._parameter(parent)}{self._conditions()}"
        bounds, has = "", {}
        for bound, sign, other in ((part.after, beyond, before), (part.before, before, beyond)):
            if bound is not None:
                sort, key = decode_cursor(bound)
                place = f"({self._parameter(sort)}::text, {self._parameter(key)}::uuid)"
                bounds += f" AND (d.sort, d.key) {sign} {place}"
                # A cursor of a narrowed list is a row of it, so there are rows on that side.
                has[other] = "true" if self.is_narrowed else EXISTS.format(scope=scope, sign=other, place=place)
        self._order = "ASC" if is_descending is self._is_backward else "DESC"
        limit = self._parameter(self._size + 1)
        self.statement = SELECT.format(
            has_before=has.get(before, "false"),
            has_beyond=has.get(beyond, "false"),
            kind=self._parameter(kind),
            page=self._page({"scope": scope, "bounds": bounds, "order": self._order, "limit": limit}),
            order=self._order,
        )

    def page(self, found: Sequence[Record]) -> Page[bytes]:
        """Return the page of the rows that the statement returned."""
        rows = [row for row in found if row["key"] is not None]
        has_more = len(rows) > self._size
        rows = rows[: self._size][::-1] if self._is_backward else rows[: self._size]
        return Page(
            edges=tuple(PageEdge(encode_cursor(row["sort"], row["key"]), row["document"]) for row in rows),
            has_previous=(self._is_backward and has_more) or any(row["has_before"] for row in found[:1]),
            has_next=(not self._is_backward and has_more) or any(row["has_beyond"] for row in found[:1]),
        )

    def _parameter(self, value: object) -> str:
        """Add a parameter, and return its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def _conditions(self) -> str:
        return ""

    def _page(self, words: dict[str, str]) -> str:
        return rows(LISTED, words)


def rows(source: str, words: dict[str, str]) -> str:
    """Return the statement that reads the rows of a page from *source*."""
    return ROWS.format(rows=source.format(**words), **words)
