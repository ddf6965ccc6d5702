"""Pages of a list in PostgreSQL that filters narrow."""

from collections.abc import Sequence

from projections.engine.views import Page, RowFilter, Slice
from projections.postgres.listing import LISTED, PostgresListing, rows
from store.postgres.connection import Record

# Rows that pass a filter are frequent, and soon met on a walk along the list; or rare, and soon found by their tags.
# Nobody knows beforehand: rows may have been frequent once and missing for years, and the statistics may be old. So the
# walk has a limit: as many rows as take as long to walk as the rows of a page take to find by their tags.
WALK_LIMIT = "sqrt({limit}::bigint * list.position)::bigint"
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

# With several filters, the rows of each are found by their tags first, which few rows have.
FILTERS = """
    SELECT filter.number, one.* FROM unnest({queries}::text[], {since}::text[], {until}::text[])
        WITH ORDINALITY AS filter (query, since, until, number)
    CROSS JOIN LATERAL ({list}) AS one ORDER BY filter.number, sort {order}, key {order}
"""
IN_RANGE = """
    AND (filter.since IS NULL OR d.sort >= filter.since) AND (filter.until IS NULL OR d.sort <= filter.until)
"""


class NarrowedListing(PostgresListing):
    """A part of a list that one filter narrows, as one statement."""

    is_narrowed = True

    def __init__(self, kind: str, parent: str, part: Slice, is_descending: bool, only: RowFilter) -> None:
        self._only = only
        super().__init__(kind, parent, part, is_descending)

    def _conditions(self) -> str:
        since, until = self._only.since, self._only.until
        lower = "" if since is None else f" AND d.sort >= {self._parameter(since)}"
        upper = "" if until is None else f" AND d.sort <= {self._parameter(until)}"
        return lower + upper

    def _page(self, words: dict[str, str]) -> str:
        if not self._only.tags:
            return rows(LISTED, words)
        words |= {"query": f"{self._parameter(_query(self._only))}::text", "most": WALK_LIMIT.format(**words)}
        return NARROWED.format(near=rows(WALKED, words), far=rows(TAGGED, words), **words)


class PostgresSearch(PostgresListing):
    """The same part of a list for each of several *filters*, which have tags, as one statement."""

    is_narrowed = True

    def __init__(self, kind: str, parent: str, part: Slice, is_descending: bool, filters: Sequence[RowFilter]) -> None:
        super().__init__(kind, parent, part, is_descending)
        self._count = len(filters)
        self.statement = FILTERS.format(
            list=self.statement,
            order=self._order,
            queries=self._parameter(list(map(_query, filters))),
            since=self._parameter([each.since for each in filters]),
            until=self._parameter([each.until for each in filters]),
        )

    def pages(self, found: Sequence[Record]) -> list[Page[bytes]]:
        """Return the page of each filter, of the rows that the statement returned."""
        by_filter: list[list[Record]] = [[] for _ in range(self._count)]
        for row in found:
            by_filter[row["number"] - 1].append(row)
        return list(map(self.page, by_filter))

    def _conditions(self) -> str:
        return IN_RANGE

    def _page(self, words: dict[str, str]) -> str:
        return rows(TAGGED, words | {"query": "filter.query"})


def _query(only: RowFilter) -> str:
    return " & ".join(f"({' | '.join(map(_quoted, group))})" for group in only.tags)


def _quoted(tag: str) -> str:
    return f"'{tag[:-1]}':*" if tag.endswith("*") else f"'{tag}'"
