"""
What the store of read models promises, whatever database it stands on.

1. A row is a document, found by its kind and key, and listed under its parent in the order of (sort, key). A list is
   narrowed by its rows' tags; rows with tags are written once, in the order of their list.
2. Rows, parked events and the checkpoint that speaks of them are written in one transaction.
3. A checkpoint only moves forward, and only from where its writer believes it to be.
4. A kind's rows are replaced all at once: new ones are made under a generation of their own that nobody reads
   until a checkpoint names it.
5. A read sees one moment: never rows of two generations, never half of a transaction.

Nothing here is the only copy of anything: all of it can be made again from the log.
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


class Place(Struct, frozen=True):
    """Where a row is listed: under *parent*, in the order of *sort* by code points."""

    parent: str
    sort: str


class Row(Struct, frozen=True, kw_only=True):
    """A view as it is stored; *position* is that of the last event in it. Without a *place* it is in no list.

    *tags*, by which a list is narrowed, are of letters and digits only, and each is there once.
    """

    key: UUID
    place: Place | None
    position: int
    document: bytes
    tags: tuple[str, ...] = ()


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The rows of *kind* are those of *generation*, made by *version* of its projection from the log of *epoch*.

    *position* is the last one they contain, and *hash* that event's, by which a log is known that was put back to an
    earlier day and has gone another way since.
    """

    kind: str
    version: int
    generation: int
    epoch: str
    position: int = 0
    hash: bytes = b""


class Parked(Struct, frozen=True, kw_only=True):
    """An event that the projection of *kind* could not fold, and why; its rows go on without it."""

    kind: str
    position: int
    stream: UUID
    name: str
    error: str


class Progress(Struct, frozen=True, kw_only=True):
    """One kind's step from checkpoint *before* (None: it has none yet) to *after*, with everything that changed."""

    before: Checkpoint | None
    after: Checkpoint
    rows: Sequence[Row] = ()
    removed: Sequence[UUID] = ()
    parked: Sequence[Parked] = ()


class Slice(Struct, frozen=True, kw_only=True):
    """The part of a list that is asked for, as Relay has it: the *first* ones after, or the *last* ones before.

    The first 50 if neither number is given; both can't be. Cursors are those of a `Page`'s edges.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None


FIRST = Slice()


class Filter(Struct, frozen=True, kw_only=True):
    """Narrows a list to rows that have a tag of each group of *tags*, and a sort from *since* up to *until*.

    A tag that ends in an asterisk stands for every tag with that beginning.
    """

    tags: tuple[tuple[str, ...], ...] = ()
    since: str | None = None
    until: str | None = None


class Edge(Struct, Generic[Node], frozen=True):
    cursor: str
    node: Node


class Page(Struct, Generic[Node], frozen=True, kw_only=True):
    """A part of a list, in the list's order, and whether there is more of it on either side."""

    edges: tuple[Edge[Node], ...] = ()
    has_previous: bool = False
    has_next: bool = False


class ViewsUnavailable(LogUnavailable):
    """The same of the store of read models, which is a database too."""


class CheckpointMoved(Exception):
    """Somebody else has written the rows of *kind*; nothing was saved."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the rows of {kind!r} are not where they were left: somebody else writes them too")
        self.kind = kind


def cursor(sort: str, key: UUID) -> str:
    """The opaque form of a row's place in its list."""
    return urlsafe_b64encode(msgspec.json.encode((sort, key))).decode().rstrip("=")


def place_of(cursor: str) -> tuple[str, UUID]:
    """What `cursor` was made from; raises `InvalidArgument`."""
    try:
        document = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(document, type=tuple[str, UUID])
    except (binascii.Error, ValueError) as fault:
        raise InvalidArgument(argument="The cursor", why="it is damaged, or belongs to another list") from fault


class Views(Protocol):
    """The store of read models. Methods raise `ViewsUnavailable` when the database can't be read or written to."""

    async def get(self, kind: str, key: UUID) -> bytes | None:
        """The document of a row."""
        ...

    async def find(self, kind: str, keys: Collection[UUID]) -> Mapping[UUID, bytes]:
        """The documents of those rows that are there, by one statement."""
        ...

    async def list(
        self, kind: str, parent: str, part: Slice, *, is_descending: bool = False, only: Filter | None = None
    ) -> Page[bytes]:
        """The documents listed under *parent*; raises `InvalidArgument` for what is no cursor."""
        ...

    async def list_all(
        self, kind: str, parent: str, part: Slice, narrowed: Sequence[Filter], *, is_descending: bool = False
    ) -> Sequence[Page[bytes]]:
        """The same *part* of the list for each of the filters; if all have tags, by as many statements as for one."""
        ...

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        """How far each kind is."""
        ...

    async def parked(self, limit: int = 10) -> Sequence[Parked]:
        """The first *limit* events of each kind, by position, that are parked in the generations being read."""
        ...

    async def load(self, wanted: Mapping[int, Collection[UUID]]) -> Mapping[int, Mapping[UUID, bytes]]:
        """The documents of the wanted keys that are there, by generation."""
        ...

    async def save(self, steps: Sequence[Progress]) -> None:
        """Takes all *steps* or none; raises `CheckpointMoved`. Who steps to another generation replaces all rows."""
        ...

    async def begin(self, kind: str) -> int:
        """A new generation of *kind*, empty and read by nobody."""
        ...

    async def fill(self, generation: int, rows: Sequence[Row], removed: Sequence[UUID] = ()) -> None:
        """Puts rows into a generation that nobody reads yet, and takes out what is *removed*."""
        ...

    async def forget(self, kind: str) -> None:
        """From now on there is no such kind."""
        ...

    async def prune(self, only: Collection[int] | None = None) -> None:
        """Removes the generations that no checkpoint names, or *only* these of them, a little at a time.

        Nobody may be filling one.
        """
        ...

    async def close(self) -> None: ...
