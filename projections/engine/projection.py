"""A read model as data: the row of an event, and the view of that row after the event."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from projections.engine.views import EVERYTHING, ListPlace, Page, PageEdge, Slice, SortRange, ViewRow, Views
from store.log import RecordedEvent

View = TypeVar("View", bound=msgspec.Struct)
Part = TypeVar("Part")


@dataclass(frozen=True)
class Projection(Generic[View]):
    """A read model. *name* is the kind of its rows.

    *key* returns the row that an event touches, or None. All events of a row belong to one stream, unless it is read
    from the store only, never replayed from the log. *fold* returns the view after an event, or None to delete the row.
    It is pure, and gets the events of a row in order. *place* returns the place of a row in a list, or None.

    Raise *version* with every change to the shape of the view or to *fold*: all rows are then rebuilt.

    *places* returns the places of a row in further lists.

    *beside* returns rows of the same kind that are written once, next to the row of an event. It gets the view before
    and after the event. A check of the rows compares them at once, and need not keep them.

    *parts* gets the same, and returns the rows of the same kind of what the view consists of, as far as the event
    changes them; None deletes a row. Their keys are those of no other rows.

    *fold_all* has the same result as *fold* on one event after another, but is faster.
    """

    name: str
    version: int
    view: type[View]
    key: Callable[[RecordedEvent], UUID | None]
    fold: Callable[[View | None, RecordedEvent], View | None]
    place: Callable[[View], ListPlace | None]
    beside: Callable[[View | None, View | None, RecordedEvent], Sequence[ViewRow]] | None = None
    fold_all: Callable[[View | None, Sequence[RecordedEvent]], View | None] | None = None
    places: Callable[[View], Sequence[ListPlace]] | None = None
    parts: Callable[[View | None, View | None, RecordedEvent], Mapping[UUID, ViewRow | None]] | None = None

    def replay(self, events: Sequence[RecordedEvent], view: View | None = None) -> View | None:
        """Return *view* with *events* of one row folded in."""
        own = [recorded for recorded in events if self.key(recorded) is not None]
        if self.fold_all is not None:
            return self.fold_all(view, own)
        for recorded in own:
            view = self.fold(view, recorded)
        return view

    def encode(self, view: View) -> bytes:
        return _encoder.encode(view)

    def decode(self, document: bytes) -> View:
        view: View = _decoder(self.view).decode(document)
        return view


_encoder = msgspec.json.Encoder()


@cache
def _decoder(view: type[View]) -> msgspec.json.Decoder[View]:
    return msgspec.json.Decoder(view)


class Reader(Generic[View]):
    """The rows of one projection, as views."""

    def __init__(self, views: Views, projection: Projection[View]) -> None:
        self._views = views
        self._projection = projection

    async def get(self, key: UUID) -> View | None:
        """Return the view of a row, or None."""
        document = await self._views.get(self._projection.name, key)
        return None if document is None else self._projection.decode(document)

    async def find(self, keys: Collection[UUID]) -> Mapping[UUID, View]:
        """Return the views of the rows that exist."""
        found = await self._views.find(self._projection.name, keys)
        return {key: self._projection.decode(document) for key, document in found.items()}

    async def list(self, parent: str, part: Slice, *, is_descending: bool = False) -> Page[View]:
        """Return a part of the list under *parent*; raise `InvalidArgument` for an invalid cursor."""
        return await self.read_list(parent, part, self._projection.decode, is_descending=is_descending)

    async def read_list(
        self, parent: str, part: Slice, decode: Callable[[bytes], Part], *, is_descending: bool = False
    ) -> Page[Part]:
        """Return the same as `list`, with each row decoded by *decode*."""
        page = await self._views.list(self._projection.name, parent, part, is_descending=is_descending)
        return _decoded(page, decode)

    async def read_each(
        self, parents: Sequence[str], part: Slice, decode: Callable[[bytes], Part], *, is_descending: bool = False
    ) -> Sequence[Page[Part]]:
        """Return the same part of the list under each of *parents*; only that of one parent may have cursors."""
        if len(parents) == 1:
            return [await self.read_list(parents[0], part, decode, is_descending=is_descending)]
        pages = await self._views.list_each(self._projection.name, parents, part, is_descending=is_descending)
        return [_decoded(page, decode) for page in pages]

    async def read_merged(
        self,
        groups: Sequence[Sequence[str]],
        part: Slice,
        decode: Callable[[bytes], Part],
        *,
        is_descending: bool = False,
        within: SortRange = EVERYTHING,
    ) -> Sequence[Page[Part]]:
        """Return the same part of the further lists of each group of parents; only that of one may have cursors."""
        name = self._projection.name
        pages = await self._views.list_merged(name, groups, part, is_descending=is_descending, within=within)
        return [_decoded(page, decode) for page in pages]


def _decoded(page: Page[bytes], decode: Callable[[bytes], Part]) -> Page[Part]:
    edges = tuple(PageEdge(edge.cursor, decode(edge.node)) for edge in page.edges)
    return Page(edges=edges, has_previous=page.has_previous, has_next=page.has_next)
