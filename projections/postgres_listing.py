"""Pages of a list in PostgreSQL, by the places of their first and last rows and never by counting."""

from typing import TYPE_CHECKING

from projections.views import PAGE, Edge, Filter, Page, Slice, cursor, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.postgres_connection import Record

# One statement, so that it sees one moment. It gives a row without a key when the page is empty.
SELECT = """
    SELECT {has_before} AS has_before, {has_beyond} AS has_beyond, page.*
    FROM (SELECT generation FROM checkpoints WHERE kind = {kind}) AS list
    LEFT JOIN LATERAL (
        SELECT sort, key, document FROM documents d WHERE {scope} {bounds}
        ORDER BY sort {order}, key {order} LIMIT {limit}
    ) AS page ON true ORDER BY sort {order}, key {order}
"""
EXISTS = "EXISTS (SELECT 1 FROM documents d WHERE {scope} AND (d.sort, d.key) {sign}= {place})"


class Listing:
    """The part of a list that is asked for, as a statement with its parameters."""

    def __init__(
        self,
        kind: str,
        parent: str,
        part: Slice,
        is_descending: bool,
        only: Filter | None,
        parameters: list[object] | None = None,
    ) -> None:
        if part.first is not None and part.last is not None:
            raise ValueError("the first ones or the last ones, not both")
        self.parameters = [] if parameters is None else parameters
        self._is_backward = part.last is not None
        self._count = part.last if part.last is not None else PAGE if part.first is None else part.first
        beyond, before = ("<", ">") if is_descending else (">", "<")
        scope = f"d.generation = list.generation AND d.parent = {self._given(parent)}{self._only(only)}"
        bounds, has = "", {}
        for bound, sign, other in ((part.after, beyond, before), (part.before, before, beyond)):
            if bound is not None:
                sort, key = place_of(bound)
                place = f"({self._given(sort)}::text, {self._given(key)}::uuid)"
                bounds += f" AND (d.sort, d.key) {sign} {place}"
                # who gives a cursor of a narrowed list has seen what it stands for
                has[other] = EXISTS.format(scope=scope, sign=other, place=place) if only is None else "true"
        self.statement = SELECT.format(
            has_before=has.get(before, "false"),
            has_beyond=has.get(beyond, "false"),
            kind=self._given(kind),
            scope=scope,
            bounds=bounds,
            order="ASC" if is_descending is self._is_backward else "DESC",
            limit=self._given(self._count + 1),
        )

    def page(self, found: "Sequence[Record]") -> Page[bytes]:
        rows = [row for row in found if row["key"] is not None]
        has_more = len(rows) > self._count
        rows = rows[: self._count][::-1] if self._is_backward else rows[: self._count]
        return Page(
            edges=tuple(Edge(cursor(row["sort"], row["key"]), row["document"]) for row in rows),
            has_previous=(self._is_backward and has_more) or any(row["has_before"] for row in found[:1]),
            has_next=(not self._is_backward and has_more) or any(row["has_beyond"] for row in found[:1]),
        )

    def _given(self, parameter: object) -> str:
        self.parameters.append(parameter)
        return f"${len(self.parameters)}"

    def _only(self, only: Filter | None) -> str:
        conditions = ""
        if only is None:
            return conditions
        if only.tags:
            groups = " & ".join(f"({' | '.join(map(_quoted, group))})" for group in only.tags)
            conditions += f" AND d.tagged @@ {self._given(groups)}::text::tsquery"
        if only.since is not None:
            conditions += f" AND d.sort >= {self._given(only.since)}"
        if only.until is not None:
            conditions += f" AND d.sort <= {self._given(only.until)}"
        return conditions


class Listings:
    """The same part of a list for each of the filters *narrowed*, as one statement."""

    def __init__(self, kind: str, parent: str, part: Slice, is_descending: bool, narrowed: "Sequence[Filter]") -> None:
        self.parameters: list[object] = []
        self._listings = [Listing(kind, parent, part, is_descending, only, self.parameters) for only in narrowed]
        self.statement = " UNION ALL ".join(
            f"SELECT {number} AS number, row_number() OVER () AS place, one.* FROM ({each.statement}) AS one"
            for number, each in enumerate(self._listings)
        )

    def pages(self, found: "Sequence[Record]") -> list[Page[bytes]]:
        rows: list[list[Record]] = [[] for _ in self._listings]
        for row in sorted(found, key=lambda row: (row["number"], row["place"])):
            rows[row["number"]].append(row)
        return [listing.page(of_one) for listing, of_one in zip(self._listings, rows, strict=True)]


def _quoted(tag: str) -> str:
    return f"'{tag[:-1]}':*" if tag.endswith("*") else f"'{tag}'"
