"""A read model as data: which row an event belongs to, and what the row says after it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from projections.engine.views import Edge, Page, Place, Row, Slice, Views
from store.log import Recorded

View = TypeVar("View", bound=msgspec.Struct)
Part = TypeVar("Part")


@dataclass(frozen=True)
class Projection(Generic[View]):
    """*key* says which row an event touches (None: none), *fold* what the row says after it (None: it is gone).

    *fold* is pure and gets the events of a row in their order. *name* is the kind of its rows. Raising *version*
    has all of them made anew: it is raised with every change to the view's shape or to *fold*. *place* says where
    a row is listed (None: in no list).

    *beside* gives rows that are written once, beside an event's own and of the same kind; it gets what that said before
    the event and after it. *fold_all* comes to the same as *fold* on one event after another, where that can be done
    quicker.
    """

    name: str
    version: int
    view: type[View]
    key: Callable[[Recorded], UUID | None]
    fold: Callable[[View | None, Recorded], View | None]
    place: Callable[[View], Place | None]
    beside: Callable[[View | None, View | None, Recorded], Sequence[Row]] | None = None
    fold_all: Callable[[View | None, Sequence[Recorded]], View | None] | None = None

    def replay(self, events: Sequence[Recorded], view: View | None = None) -> View | None:
        """*events* of one row folded onto *view*."""
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
        document = await self._views.get(self._projection.name, key)
        return None if document is None else self._projection.decode(document)

    async def find(self, keys: Collection[UUID]) -> Mapping[UUID, View]:
        """The rows that are there."""
        found = await self._views.find(self._projection.name, keys)
        return {key: self._projection.decode(document) for key, document in found.items()}

    async def list(self, parent: str, part: Slice, *, is_descending: bool = False) -> Page[View]:
        """Raises `InvalidArgument` for what is no cursor."""
        return await self.read_list(parent, part, self._projection.decode, is_descending=is_descending)

    async def read_list(
        self, parent: str, part: Slice, decode: Callable[[bytes], Part], *, is_descending: bool = False
    ) -> Page[Part]:
        """The same of what *decode* makes of the rows."""
        page = await self._views.list(self._projection.name, parent, part, is_descending=is_descending)
        edges = tuple(Edge(edge.cursor, decode(edge.node)) for edge in page.edges)
        return Page(edges=edges, has_previous=page.has_previous, has_next=page.has_next)
