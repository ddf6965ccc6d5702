"""
Contract of the store of read models, for every database.

1. A row is a document with a kind and a key. A row with a place is listed under its parent, ordered by (sort, key).
   Tags narrow a list. A row with tags is written once, in the order of its list. A row that changes can stand in
   further lists, which are narrower, at places of their own.
2. One transaction writes rows, parked events and their checkpoint.
3. A checkpoint only moves forward, and only from the place that its writer names.
4. The rows of a kind are replaced all at once. New rows belong to a generation that is not read until a checkpoint
   names it.
5. A read sees one state of the store: rows of one generation, and whole transactions.

The store is no source of truth: all of it can be rebuilt from the log.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.errors import InvalidArgument
from store.log import LogUnavailable

Node = TypeVar("Node")

PAGE = 50
"""Rows of a page for which no size is given."""


class ListPlace(Struct, frozen=True):
    """The place of a row in a list: under *parent*, ordered by the code points of *sort*."""

    parent: str
    sort: str


class ViewRow(Struct, frozen=True, kw_only=True):
    """A view as it is stored; *position* is that of its last event. A row without a *place* is in no list.

    *tags* narrow a list. They are distinct, and consist of letters and digits. *places* are the places of the row in
    further lists, with distinct parents. A row that has some keeps some until it is deleted.
    """

    key: UUID
    place: ListPlace | None
    position: int
    document: bytes
    tags: tuple[str, ...] = ()
    places: tuple[ListPlace, ...] = ()


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The state of the rows of *kind*: generation, projection version, and the log with its last event in the rows.

    *position* and *hash* are those of the last event. The hash tells a log that was restored to an earlier state and
    has new events since.
    """

    kind: str
    version: int
    generation: int
    epoch: str
    position: int = 0
    hash: bytes = b""


class ParkedEvent(Struct, frozen=True, kw_only=True):
    """An event that the projection of *kind* failed to fold, with its error. The row continues without it."""

    kind: str
    position: int
    stream: UUID
    name: str
    error: str


class Advance(Struct, frozen=True, kw_only=True):
    """The move of one kind from checkpoint *before* (None: no checkpoint yet) to *after*, with all changes."""

    before: Checkpoint | None
    after: Checkpoint
    rows: Sequence[ViewRow] = ()
    removed: Sequence[UUID] = ()
    parked: Sequence[ParkedEvent] = ()


class Slice(Struct, frozen=True, kw_only=True):
    """A part of a list, as in Relay: the *first* rows after a cursor, or the *last* rows before one.

    Without a number it is the first 50 rows; both numbers together are invalid. Cursors are those of a `Page`.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    @property
    def is_backward(self) -> bool:
        """Whether rows are counted from the end."""
        return self.last is not None

    @property
    def size(self) -> int:
        """Maximum number of rows; raises `ValueError` if both numbers are given."""
        if self.first is not None and self.last is not None:
            raise ValueError("a slice takes the first rows or the last rows, not both")
        if self.last is not None:
            return self.last
        return PAGE if self.first is None else self.first

    @property
    def has_cursor(self) -> bool:
        """Whether it begins or ends at a cursor."""
        return self.after is not None or self.before is not None


FIRST = Slice()
"""The first page of a list."""


class RowFilter(Struct, frozen=True, kw_only=True):
    """A filter of rows: those with a tag of each group in *tags*, and a sort from *since* to *until*, inclusive.

    A tag that ends in an asterisk matches all tags with that prefix.
    """

    tags: tuple[tuple[str, ...], ...] = ()
    since: str | None = None
    until: str | None = None


LAST = "\U0010ffff"
"""Sort after all others with the same prefix."""


class SortRange(Struct, frozen=True, kw_only=True):
    """Sorts from *since* to *until*, inclusive; None is no limit."""

    since: str | None = None
    until: str | None = None

    @classmethod
    def starting_with(cls, prefix: str) -> "SortRange":
        """Return the range of the sorts with that prefix."""
        return cls(since=prefix, until=prefix + LAST) if prefix else EVERYTHING


EVERYTHING = SortRange()
"""All sorts."""


class PageEdge(Struct, Generic[Node], frozen=True):
    """A node of a page with its cursor."""

    cursor: str
    node: Node


class Page(Struct, Generic[Node], frozen=True, kw_only=True):
    """A part of a list in the order of the list, and whether the list continues on either side."""

    edges: tuple[PageEdge[Node], ...] = ()
    has_previous: bool = False
    has_next: bool = False


class ViewsUnavailable(LogUnavailable):
    """The store of read models can't be read or written to; its message says what to do."""


class ViewsDamaged(ViewsUnavailable):
    """The store was damaged. An empty one replaces it, and can be read after the next save."""


class CheckpointMoved(Exception):
    """Another writer moved the checkpoint of *kind*; nothing was saved."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"The checkpoint of {kind!r} has moved: another process writes its rows, too.")
        self.kind = kind


def encode_cursor(sort: str, key: UUID) -> str:
    """Return the opaque cursor of a row in its list."""
    return urlsafe_b64encode(msgspec.json.encode((sort, key))).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[str, UUID]:
    """Return the sort and key of a cursor; raise `InvalidArgument` if it is invalid."""
    try:
        document = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(document, type=tuple[str, UUID])
    except (binascii.Error, ValueError) as fault:
        raise InvalidArgument(argument="cursor", why="it is damaged, or belongs to another list") from fault


def first_page(rows: Sequence[PageEdge[Node]], part: Slice) -> Page[Node]:
    """Return the page of *part*, which has no cursors; *rows* are in the order of reading, one more than it has."""
    has_more = len(rows) > part.size
    edges = rows[: part.size][::-1] if part.is_backward else rows[: part.size]
    return Page(
        edges=tuple(edges),
        has_previous=part.is_backward and has_more,
        has_next=has_more and not part.is_backward,
    )


def merged_page(rows: Sequence[tuple[str, UUID, bytes]], part: Slice, *, is_descending: bool) -> Page[bytes]:
    """Return the page of *part* of several lists as one.

    *rows* are the sorts, keys and documents of the rows of each list within the bounds of *part*, one more than a page
    has. A bound implies rows on its other side, because its cursor was one of them.
    """
    ordered = sorted(rows, key=lambda row: row[:2], reverse=is_descending is not part.is_backward)
    found = [PageEdge(encode_cursor(sort, key), document) for sort, key, document in ordered]
    page = first_page(found, part)
    return Page(
        edges=page.edges,
        has_previous=page.has_previous or part.after is not None,
        has_next=page.has_next or part.before is not None,
    )


class Views(Protocol):
    """The store of read models. Its methods raise `ViewsUnavailable` when the database can't be read or written to."""

    async def get(self, kind: str, key: UUID) -> bytes | None:
        """Return the document of a row, or None."""
        ...

    async def find(self, kind: str, keys: Collection[UUID]) -> Mapping[UUID, bytes]:
        """Return the documents of the rows that exist, with one statement."""
        ...

    async def list(
        self, kind: str, parent: str, part: Slice, *, is_descending: bool = False, only: RowFilter | None = None
    ) -> Page[bytes]:
        """Return the documents listed under *parent*; raise `InvalidArgument` for an invalid cursor."""
        ...

    async def list_each(
        self, kind: str, parents: Sequence[str], part: Slice, *, is_descending: bool = False
    ) -> Sequence[Page[bytes]]:
        """Return the same *part*, which has no cursors, of the list under each of *parents*, with one statement."""
        ...

    async def list_merged(
        self,
        kind: str,
        groups: Sequence[Sequence[str]],
        part: Slice,
        *,
        is_descending: bool = False,
        within: SortRange = EVERYTHING,
    ) -> Sequence[Page[bytes]]:
        """Return the same *part* of the further lists of each group of parents, as one list, with one statement.

        A row stands in at most one list of a group. Raises `InvalidArgument` for an invalid cursor.
        """
        ...

    async def list_all(
        self, kind: str, parent: str, part: Slice, filters: Sequence[RowFilter], *, is_descending: bool = False
    ) -> Sequence[Page[bytes]]:
        """Return the same *part* of the list for each filter.

        If every filter has tags, it takes as many statements as one filter.
        """
        ...

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        """Return the checkpoint of each kind."""
        ...

    async def parked(self, limit: int = 10) -> Sequence[ParkedEvent]:
        """Return the first *limit* parked events of each kind, by position, in the generations that are read."""
        ...

    async def load(self, wanted: Mapping[int, Collection[UUID]]) -> Mapping[int, Mapping[UUID, bytes]]:
        """Return the documents of the wanted keys that exist, by generation."""
        ...

    async def save(self, advances: Sequence[Advance]) -> None:
        """Save all *advances* or none; raise `CheckpointMoved`. An advance to another generation replaces all rows."""
        ...

    async def begin(self, kind: str) -> int:
        """Return a new, empty generation of *kind*, which is not read."""
        ...

    async def fill(self, generation: int, rows: Sequence[ViewRow], removed: Sequence[UUID] = ()) -> None:
        """Put rows into a generation that is not read, and delete the *removed* rows."""
        ...

    async def forget(self, kind: str) -> None:
        """Delete the checkpoint of *kind*, and its rows."""
        ...

    async def prune(self, only: Collection[int] | None = None) -> None:
        """Delete the generations that no checkpoint names, or *only* those of them, in small steps.

        No generation may be filled meanwhile.
        """
        ...

    async def close(self) -> None: ...
