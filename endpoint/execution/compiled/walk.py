"""
The walk of a compiled query along its edges: level by level, each edge loaded once for all objects of its level.

An answer of 20 objects, each with an edge, takes as many loads as one of 200: the number of edges in the document.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from graphql import FieldNode
from msgspec import Struct
from strawberry.types.field import StrawberryField

from endpoint.execution.context import RequestContext
from endpoint.execution.edge import Load, Selected

Make = Callable[[Any], Any]
"""A function from the value of a field to its part of the answer."""


class WalkedEdge(Struct, frozen=True):
    """An edge that a document selects; *node* gives its arguments, and *selected* are the names below it."""

    field: StrawberryField
    core: Any
    node: FieldNode
    load: Load
    selected: Selected


class Run(Struct, frozen=True):
    """One execution: its context, and the arguments of each edge by the id of its node."""

    context: RequestContext
    arguments: Mapping[int, Mapping[str, Any]]


Walk = Callable[[Run, list[Any]], Awaitable[list[Any]]]
"""A function from the values of a field, of all objects of a level, to their parts of the answer."""


class UnexpectedValue(Exception):
    """A value is not of the expected type."""


class WalkedPart(Struct, frozen=True):
    """A part of an object that the walk continues in: an attribute of the value, or an edge."""

    key: str
    attribute: str
    edge: WalkedEdge | None
    walk: Walk

    async def values(self, run: Run, sources: list[Any]) -> list[Any]:
        """Return the parts of the answer, one for each of *sources*."""
        if self.edge is None:
            found: Sequence[Any] = [getattr(source, self.attribute) for source in sources]
        elif sources:
            arguments = run.arguments[id(self.edge.node)]
            found = await self.edge.load(run.context, sources, self.edge.selected, **arguments)
        else:
            found = ()
        if len(found) != len(sources):
            raise UnexpectedValue
        return await self.walk(run, list(found))


def plain(make: Make) -> Walk:
    """Return the walk of values without edges."""

    async def walk(_: Run, values: list[Any]) -> list[Any]:
        return [make(value) for value in values]

    return walk


def or_none(inner: Walk) -> Walk:
    """Return the walk of values that may be None."""

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        made = iter(await inner(run, [value for value in values if value is not None]))
        return [None if value is None else next(made) for value in values]

    return walk


def lists(inner: Walk) -> Walk:
    """Return the walk of lists: the items of all lists are one level."""

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        if not all(type(value) is list or type(value) is tuple for value in values):
            raise UnexpectedValue
        made = iter(await inner(run, list(chain.from_iterable(values))))
        return [list(islice(made, len(value))) for value in values]

    return walk


def objects(fill: Make, parts: Sequence[WalkedPart]) -> Walk:
    """Return the walk of objects: *fill* makes a struct of each value, then *parts* set their attributes."""

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        made = [fill(value) for value in values]
        for part in parts:
            for one, own in zip(made, await part.values(run, values), strict=True):
                setattr(one, part.attribute, own)
        return made

    return walk


def dicts(parts: Sequence[WalkedPart]) -> Walk:
    """Return the walk of objects with the same attribute under two keys, which a struct can't have."""

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        columns = [await part.values(run, values) for part in parts]
        keys = [part.key for part in parts]
        return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]

    return walk
