"""Relay connections: lists in pages, both ways."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import strawberry

from domain.errors import InvalidArgument
from projections.engine import views
from projections.engine.views import Slice

T = TypeVar("T")
V = TypeVar("V")

DEFAULT_PAGE = 50
MAX_PAGE = 500


@strawberry.type(description="Whether there is more on either side of a page.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None = None
    end_cursor: str | None = None


@strawberry.type(description="One thing of a list, and its place there.")
class Edge(Generic[T]):
    cursor: str
    node: T


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]]
    page_info: PageInfo


def part(first: int | None, after: str | None, last: int | None, before: str | None) -> Slice:
    """What the paging arguments ask for; raises `InvalidArgument` beyond 500 at once."""
    if first is not None and last is not None:
        raise InvalidArgument(argument="first", why="it can't be given together with last")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 1 <= size <= MAX_PAGE:
            raise InvalidArgument(argument=name, why=f"1 to {MAX_PAGE} at once")
    return Slice(first=DEFAULT_PAGE if last is None and first is None else first, after=after, last=last, before=before)


def connection(page: views.Page[V], show: Callable[[V], T]) -> Connection[T]:
    edges = [Edge(cursor=edge.cursor, node=show(edge.node)) for edge in page.edges]
    info = PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection(edges=edges, page_info=info)


def cut(things: Sequence[V], asked: Slice, cursor: Callable[[V], str]) -> views.Page[V]:
    """The part of the whole list *things* that *asked* is about; raises `InvalidArgument` for a cursor of another."""
    cursors = [cursor(thing) for thing in things]

    def index(of: str) -> int:
        if of not in cursors:
            raise InvalidArgument(argument="cursor", why="it is damaged, or belongs to another list")
        return cursors.index(of)

    start = 0 if asked.after is None else index(asked.after) + 1
    end = len(things) if asked.before is None else index(asked.before)
    if asked.last is not None:
        start = max(start, end - asked.last)
    elif asked.first is not None:
        end = min(end, start + asked.first)
    return views.Page(
        edges=tuple(views.PageEdge(cursors[place], things[place]) for place in range(start, end)),
        has_previous=start > 0,
        has_next=end < len(things),
    )
