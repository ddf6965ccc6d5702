"""Relay connections: lists in pages, in both directions."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import strawberry

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


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The elements of the page, in the order of the list.")
    page_info: PageInfo = strawberry.field(description="The ends of the page.")


def part(first: int | None, after: str | None, last: int | None, before: str | None) -> Slice:
    """Return the slice that the arguments select; raises `InvalidArgument` beyond `MAX_PAGE`."""
    if first is not None and last is not None:
        raise InvalidArgument(argument="first", why="it must not be given together with last")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 1 <= size <= MAX_PAGE:
            raise InvalidArgument(argument=name, why=f"{size} is not between 1 and {MAX_PAGE}")
    return Slice(first=DEFAULT_PAGE if last is None and first is None else first, after=after, last=last, before=before)


def connection(page: views.Page[V], convert: Callable[[V], T]) -> Connection[T]:
    """Return *page* as a connection, each element converted."""
    edges = [Edge(cursor=edge.cursor, node=convert(edge.node)) for edge in page.edges]
    info = PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection(edges=edges, page_info=info)


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
