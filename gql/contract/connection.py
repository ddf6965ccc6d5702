"""Relay connections: lists in pages, in both directions."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Annotated, Generic, TypeVar

import msgspec
import strawberry
from msgspec import Struct

from domain.errors import InvalidArgument
from projections.engine import views
from projections.engine.views import Slice

T = TypeVar("T")
V = TypeVar("V")

DEFAULT_PAGE = 50
"""Size of a page if none is given, in edges."""

MAX_PAGE = 500
"""Maximum size of a page, in edges."""

First = Annotated[
    int | None,
    strawberry.argument(
        description=f"Number of edges from the start, 1 to {MAX_PAGE}; {DEFAULT_PAGE} without first and last."
    ),
]
After = Annotated[
    str | None, strawberry.argument(description="Return the edges after this cursor: that of an edge, or endCursor.")
]
Last = Annotated[
    int | None,
    strawberry.argument(description=f"Number of edges from the end, 1 to {MAX_PAGE}; first must not be given."),
]
Before = Annotated[
    str | None, strawberry.argument(description="Return the edges before this cursor: that of an edge, or startCursor.")
]


@strawberry.type(description="The ends of a page, and whether there are more edges beyond them.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there are edges after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there are edges before this page.")
    start_cursor: str | None = strawberry.field(
        default=None, description="Cursor of the first edge; null on an empty page."
    )
    end_cursor: str | None = strawberry.field(
        default=None, description="Cursor of the last edge, for after; null on an empty page."
    )


@strawberry.type(description="An element of a list, with its position.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(
        description="Position in the list, for after and before. Events and log lines have the same cursor."
    )
    node: T = strawberry.field(description="The element.")


@strawberry.type(description="A page of a list that has its own way to count.")
class UncountedConnection(Generic[T]):
    nodes: list[T] = strawberry.field(description="The elements of the page, in the order of the list.")
    edges: list[Edge[T]] = strawberry.field(description="The same elements, each with its cursor.")
    page_info: PageInfo = strawberry.field(description="The ends of the page.")


@strawberry.type(description="A page of a list.")
class Connection(UncountedConnection[T]):
    total_count: int | None = strawberry.field(
        default=None,
        description="Number of elements of the whole list; null for a list that would have to be scanned to count it.",
    )


class ListName(Struct, frozen=True):
    """The list that a cursor belongs to: its *name*, and the UUID or text of the object that *owner* names, if any."""

    name: str
    owner: str = ""

    def narrowed(self, query: Struct | None) -> "ListName":
        """Return the list of the elements that match *query*, which accepts no cursors of another query."""
        if query is None:
            return self
        digest = blake2b(msgspec.json.encode(query, order="deterministic"), digest_size=6).hexdigest()
        return ListName(self.name, f"{self.owner}-{digest}")

    def cursor(self, place: str) -> str:
        """Return the cursor of a *place* in this list."""
        return f"{self.name}.{self.owner}.{place}"

    def place(self, argument: str, cursor: str | None) -> str | None:
        """Return the place of *cursor*, given as *argument*; raises `InvalidArgument` if it is another list's."""
        if cursor is None:
            return None
        name, _, rest = cursor.partition(".")
        owner, _, place = rest.partition(".")
        if not place or not name.isidentifier():
            raise InvalidArgument(argument=argument, why="it is damaged, or belongs to another list")
        if name != self.name:
            raise InvalidArgument(
                argument=argument, why=f"it is a cursor of {name:.50}; {self.name} accepts only cursors of its own"
            )
        if owner != self.owner:
            raise InvalidArgument(
                argument=argument,
                why=f"it is a cursor of other {name}: use a cursor of the same list, filter and order",
            )
        return place


def part(
    first: int | None, after: str | None, last: int | None, before: str | None, of: ListName | None = None
) -> Slice:
    """Return the slice that the arguments select; raises `InvalidArgument` beyond `MAX_PAGE`.

    Raises it also for a cursor of another list than *of*; the cursors of a list without a name are places in the log.
    """
    if of is not None:
        after, before = of.place("after", after), of.place("before", before)
    if first is not None and last is not None:
        raise InvalidArgument(argument="first", why="it must not be given together with last")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 1 <= size <= MAX_PAGE:
            raise InvalidArgument(argument=name, why=f"{size} is not between 1 and {MAX_PAGE}")
    return Slice(first=DEFAULT_PAGE if last is None and first is None else first, after=after, last=last, before=before)


def connection(
    page: views.Page[V], convert: Callable[[V], T], of: ListName | None = None, total: int | None = None
) -> Connection[T]:
    """Return *page* of the list *of* as a connection, each element converted."""
    nodes = [convert(edge.node) for edge in page.edges]
    cursors = [edge.cursor if of is None else of.cursor(edge.cursor) for edge in page.edges]
    edges = [Edge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)]
    info = PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection(nodes=nodes, edges=edges, page_info=info, total_count=total)


def cut(elements: Sequence[V], slice_: Slice, cursor: Callable[[V], str]) -> views.Page[V]:
    """Return the page that *slice_* selects of a whole list; raises `InvalidArgument` for a cursor of another list."""
    cursors = [cursor(element) for element in elements]

    def index(of: str) -> int:
        if of not in cursors:
            raise InvalidArgument(argument="cursor", why="it is damaged, or belongs to another list")
        return cursors.index(of)

    start = 0 if slice_.after is None else index(slice_.after) + 1
    end = len(elements) if slice_.before is None else index(slice_.before)
    if slice_.last is not None:
        start = max(start, end - slice_.last)
    elif slice_.first is not None:
        end = min(end, start + slice_.first)
    return views.Page(
        edges=tuple(views.PageEdge(cursors[place], elements[place]) for place in range(start, end)),
        has_previous=start > 0,
        has_next=end < len(elements),
    )
