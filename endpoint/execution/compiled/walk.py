"""
The walk of a compiled query along its edges: level by level, each edge loaded once for all objects of its level.

An answer of 20 objects, each with an edge, takes as many loads as one of 200: the number of edges in the document.

The parts of the answer that were made of the same objects in the last run are used again. So an answer after a change
costs what has changed, if the resolvers return cached objects: a page of 20 environments is made in 0.02 ms instead of
0.2 ms (`bench.query`). The values of resolvers must not change; no part of an answer changes once it is made.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain, islice
from operator import is_
from typing import Any

from graphql import FieldNode
from msgspec import Struct
from strawberry.types.field import StrawberryField

from endpoint.execution.compiled.converter import Make, UnexpectedValue
from endpoint.execution.context import RequestContext
from endpoint.execution.edge import Load, Selected


class WalkedEdge(Struct, frozen=True):
    """An edge that a document selects; *node* gives its arguments, and *selected* are the names below it."""

    field: StrawberryField
    core: Any
    node: FieldNode
    load: Load
    selected: Selected


Made = tuple[Sequence[Any], list[Any]]
"""The values of a level, or those of objects and of their parts, and the parts of the answer that were made of them."""


NOTHING: Made = (), []


class Run(Struct, frozen=True):
    """One execution: its context, and the arguments of each edge by the id of its node.

    *before* has what each walk made in the last runs, and *after* gets what it makes of other values in this one.
    """

    context: RequestContext
    arguments: Mapping[int, Mapping[str, Any]]
    before: Mapping[object, Made]
    after: dict[object, Made]


Walk = Callable[[Run, list[Any]], Awaitable[list[Any]]]
"""A function from the values of a field, of all objects of a level, to their parts of the answer."""


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
    key = object()  # the walk itself would be a reference cycle

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        known, before = run.before.get(key, NOTHING)
        if _are_same(values, known):
            return before
        made = [
            before[place] if place < len(known) and known[place] is value else make(value)
            for place, value in enumerate(values)
        ]
        run.after[key] = values, made
        return made

    return walk


def or_none(inner: Walk) -> Walk:
    """Return the walk of values that may be None."""

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        made = iter(await inner(run, [value for value in values if value is not None]))
        return [None if value is None else next(made) for value in values]

    return walk


def lists(inner: Walk) -> Walk:
    """Return the walk of lists: the items of all lists are one level."""
    key = object()  # the walk itself would be a reference cycle

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        if not all(type(value) is list or type(value) is tuple for value in values):
            raise UnexpectedValue
        items = await inner(run, list(chain.from_iterable(values)))
        known, before = run.before.get(key, NOTHING)
        lengths = list(map(len, values))
        if known and known[0] is items and known[1] == lengths:
            return before
        made = iter(items)
        found = [list(islice(made, length)) for length in lengths]
        for place, (now, earlier) in enumerate(zip(found, before, strict=False)):
            if _are_same(now, earlier):
                found[place] = earlier
        run.after[key] = (items, lengths), found
        return found

    return walk


def by_class(walks: Mapping[type, Walk]) -> Walk:
    """Return the walk of values of several classes: those of a class are one level."""

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        levels: dict[type, list[Any]] = {}
        for value in values:
            levels.setdefault(type(value), []).append(value)
        made = {kind: iter(await walks[kind](run, level)) for kind, level in levels.items()}
        return [next(made[type(value)]) for value in values]

    return walk


def _are_same(now: Sequence[Any], before: Sequence[Any]) -> bool:
    return len(now) == len(before) and all(map(is_, now, before))


def objects(fill: Make, parts: Sequence[WalkedPart]) -> Walk:
    """Return the walk of objects: *fill* makes a struct of each value, whose attributes *parts* are then set."""
    key = object()  # the walk itself would be a reference cycle

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        columns = [values, *[await part.values(run, values) for part in parts]]
        known, before = run.before.get(key, NOTHING)
        if known and all(map(_are_same, columns, known)):
            return before
        rows = list(zip(*columns, strict=True))
        earlier = list(zip(*known, strict=True))
        made = [
            before[place] if place < len(earlier) and _are_same(row, earlier[place]) else _filled(fill, parts, row)
            for place, row in enumerate(rows)
        ]
        run.after[key] = columns, made
        return made

    return walk


def _filled(fill: Make, parts: Sequence[WalkedPart], row: Sequence[Any]) -> Any:
    value, *own = row
    made = fill(value)
    for part, one in zip(parts, own, strict=True):
        setattr(made, part.attribute, one)
    return made


def dicts(parts: Sequence[WalkedPart]) -> Walk:
    """Return the walk of objects with the same attribute under two keys, which a struct can't have."""

    async def walk(run: Run, values: list[Any]) -> list[Any]:
        columns = [await part.values(run, values) for part in parts]
        keys = [part.key for part in parts]
        return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]

    return walk
