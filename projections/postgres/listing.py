"""Pages of a list in PostgreSQL, by the places of their first and last rows and never by counting."""

from typing import TYPE_CHECKING

from projections.engine.views import PAGE, Edge, Filter, Page, Slice, cursor, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.postgres.connection import Record

# One statement, so that it sees one moment. It gives a row without a key when the page is empty.
SELECT = """
    SELECT {has_before} AS has_before, {has_beyond} AS has_beyond, page.*
    FROM (SELECT generation, position FROM checkpoints WHERE kind = {kind}) AS list
    LEFT JOIN LATERAL ({page}) AS page ON true ORDER BY sort {order}, key {order}
"""
ROWS = "SELECT sort, key, document FROM {rows} ORDER BY sort {order}, key {order} LIMIT {limit}"
EACH = "documents d WHERE {scope} {bounds}"
EXISTS = "EXISTS (SELECT 1 FROM documents d WHERE {scope} AND (d.sort, d.key) {sign}= {place})"

# What a narrowed list lets through is frequent, and soon met by who walks along the list, or rare, and soon looked up
# by its tags. Nobody can say beforehand: what was frequent once may not have come for years, and what the database
# knows may be old. So the list is walked along as far as a page is of what would be looked up as soon, and no further.
NEAR = "sqrt({limit}::bigint * list.position)::bigint"
NARROWED = """
    WITH near AS ({near}), found AS (
        SELECT count(*) = {limit} OR NOT EXISTS (
            SELECT 1 FROM documents d WHERE {scope} {bounds} ORDER BY sort {order}, key {order} OFFSET {most} LIMIT 1
        ) AS is_all FROM near
    )
    SELECT * FROM near WHERE (SELECT is_all FROM found)
    UNION ALL SELECT * FROM ({far}) AS far WHERE NOT (SELECT is_all FROM found)
"""
WALKED = """
    (SELECT * FROM documents d WHERE {scope} {bounds} ORDER BY sort {order}, key {order} LIMIT {most}) AS d
    WHERE tagged @@ {query}::tsquery
"""
TAGGED = "(SELECT * FROM documents WHERE tagged @@ {query}::tsquery OFFSET 0) AS d WHERE {scope} {bounds}"


class Listing:
    """The part of a list that is asked for, as a statement with its parameters."""

    def __init__(self, kind: str, parent: str, part: Slice, is_descending: bool, only: Filter | None) -> None:
        if part.first is not None and part.last is not None:
            raise ValueError("the first ones or the last ones, not both")
        self.parameters: list[object] = []
        self._is_backward = part.last is not None
        self._count = part.last if part.last is not None else PAGE if part.first is None else part.first
        beyond, before = ("<", ">") if is_descending else (">", "<")
        scope = f"d.generation = list.generation AND d.parent = {self._given(parent)}{self._within(only)}"
        bounds, has = "", {}
        for bound, sign, other in ((part.after, beyond, before), (part.before, before, beyond)):
            if bound is not None:
                sort, key = place_of(bound)
                place = f"({self._given(sort)}::text, {self._given(key)}::uuid)"
                bounds += f" AND (d.sort, d.key) {sign} {place}"
                # who gives a cursor of a narrowed list has seen what it stands for
                has[other] = EXISTS.format(scope=scope, sign=other, place=place) if only is None else "true"
        self._order = "ASC" if is_descending is self._is_backward else "DESC"
        words = {"scope": scope, "bounds": bounds, "order": self._order, "limit": self._given(self._count + 1)}
        self.statement = SELECT.format(
            has_before=has.get(before, "false"),
            has_beyond=has.get(beyond, "false"),
            kind=self._given(kind),
            page=self._page(only, words),
            order=self._order,
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

    def _within(self, only: Filter | None) -> str:
        conditions = ""
        if only is not None and only.since is not None:
            conditions += f" AND d.sort >= {self._given(only.since)}"
        if only is not None and only.until is not None:
            conditions += f" AND d.sort <= {self._given(only.until)}"
        return conditions

    def _page(self, only: Filter | None, words: dict[str, str]) -> str:
        if only is None or not only.tags:
            return _rows(EACH, words)
        words |= {"query": f"{self._given(_query(only))}::text", "most": NEAR.format(**words)}
        return NARROWED.format(near=_rows(WALKED, words), far=_rows(TAGGED, words), **words)


# Here each filter's rows are found by their tags, which few have, and only then looked at.
FILTERS = """
    SELECT filter.number, one.* FROM unnest({queries}::text[], {since}::text[], {until}::text[])
        WITH ORDINALITY AS filter (query, since, until, number)
    CROSS JOIN LATERAL ({list}) AS one ORDER BY filter.number, sort {order}, key {order}
"""
LETS_THROUGH = """
    AND (filter.since IS NULL OR d.sort >= filter.since) AND (filter.until IS NULL OR d.sort <= filter.until)
"""


class Listings(Listing):
    """The same part of a list for each of the filters *narrowed*, which have tags, as one statement."""

    def __init__(self, kind: str, parent: str, part: Slice, is_descending: bool, narrowed: "Sequence[Filter]") -> None:
        super().__init__(kind, parent, part, is_descending, Filter())
        self._filters = len(narrowed)
        self.statement = FILTERS.format(
            list=self.statement,
            order=self._order,
            queries=self._given(list(map(_query, narrowed))),
            since=self._given([each.since for each in narrowed]),
            until=self._given([each.until for each in narrowed]),
        )

    def pages(self, found: "Sequence[Record]") -> list[Page[bytes]]:
        rows: list[list[Record]] = [[] for _ in range(self._filters)]
        for row in found:
            rows[row["number"] - 1].append(row)
        return list(map(self.page, rows))

    def _within(self, only: Filter | None) -> str:
        return LETS_THROUGH

    def _page(self, only: Filter | None, words: dict[str, str]) -> str:
        return _rows(TAGGED, words | {"query": "filter.query"})


def _rows(rows: str, words: dict[str, str]) -> str:
    return ROWS.format(rows=rows.format(**words), **words)


def _query(only: Filter) -> str:
    return " & ".join(f"({' | '.join(map(_quoted, group))})" for group in only.tags)


def _quoted(tag: str) -> str:
    return f"'{tag[:-1]}':*" if tag.endswith("*") else f"'{tag}'"
