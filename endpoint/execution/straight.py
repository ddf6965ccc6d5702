"""
What a document selects of an object, written out as one Python expression.

It looks at no value, which saves a third of the time. So it is for what is kept and given again, and never changes: the
first time each value that is selected was looked at. Of a service `{ key: id isSkipped stage { name } ports }` is

    Service(v.id, v.is_skipped, None if (v1 := v.stage) is None else StageRef(v1.name), v.ports)

where Service and StageRef are structs, which msgspec encodes under the document's keys.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakSet

import msgspec
from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
)
from msgspec import Raw, Struct

from endpoint.execution.selection import Unsupported

MAX_FLOATS = 1000
"""Floats whose JSON is known."""

Make = Callable[[Any], Any]
"""Makes its part of the answer of what a field gives."""


class Part(Struct, frozen=True):
    """What is selected of an object; *type* is a text for __typename, which is that."""

    key: str
    attribute: str
    type: GraphQLOutputType | str
    nodes: list[FieldNode]


Parts = Callable[[GraphQLObjectType, list[FieldNode]], Sequence[Part]]
"""What some nodes select of an object of a type."""

Leaf = Callable[[GraphQLScalarType | GraphQLEnumType], Make | None]
"""What values of a type are made by; None where they stay as they are."""


class Lasting:
    """A base of types whose objects may be given again, and never change, nor does anything below them."""

    @cached_property
    def seen_by(self) -> WeakSet["Once"]:
        return WeakSet()


class Once:
    """Makes its part of the answer of a `Lasting` object by *look*, which looks at each value, and from then on by
    *make*."""

    def __init__(self, look: Make, make: Make) -> None:
        self._look = look
        self._make = make

    def __call__(self, value: Lasting | None) -> Any:
        if value is None:
            return self._look(value)
        if self in value.seen_by:
            return self._make(value)
        made = self._look(value)
        value.seen_by.add(self)
        return made


def written(type_: GraphQLObjectType, nodes: list[FieldNode], parts: Parts, leaf: Leaf) -> Make:
    """Makes what *nodes* select of an object of the type; raises `Unsupported` for interfaces and unions below it."""
    writer = _Writer(parts, leaf)
    text = f"lambda v: {writer.object(type_, nodes, 'v')}"
    make: Make = eval(text, writer.known)  # the document has no word in it
    return make


class _Floats(dict[float, Raw]):
    """Floats as JSON. To write one takes three times as long as to look it up, and most are among a few timeouts."""

    def __missing__(self, value: float) -> Raw:
        made = Raw(msgspec.json.encode(float(value)))
        if value and len(self) < MAX_FLOATS:  # 0.0 and -0.0 are equal, but not written so
            self[value] = made
        return made


_floats = _Floats()


class _Writer:
    """Writes expressions, which refer to what is *known* by its name."""

    def __init__(self, parts: Parts, leaf: Leaf) -> None:
        self.known: dict[str, Any] = {"floats": _floats}
        self._parts = parts
        self._leaf = leaf
        self._variables = 0

    def object(self, type_: GraphQLObjectType, nodes: list[FieldNode], value: str) -> str:
        parts = self._parts(type_, nodes)
        keys = {f"field{number}": part.key for number, part in enumerate(parts)}
        struct = self._name(msgspec.defstruct(type_.name, list(keys), rename=keys, gc=False))
        return f"{struct}({', '.join(self._of(part.type, part.nodes, f'{value}.{part.attribute}') for part in parts)})"

    def _of(self, type_: GraphQLOutputType | str, nodes: list[FieldNode], value: str) -> str:
        """What is made of *value*, which is an expression; that it isn't null where it mustn't be was seen."""
        if isinstance(type_, str):
            return self._name(type_)
        if isinstance(type_, GraphQLNonNull):
            return self._of_some(type_.of_type, nodes, value)
        own = self._variable()
        made = self._of_some(type_, nodes, own)
        return value if made == own else self._unless_null(value, own, made)

    def _of_some(self, type_: GraphQLOutputType, nodes: list[FieldNode], value: str) -> str:
        match type_:
            case GraphQLObjectType():
                if value.isidentifier():
                    return self.object(type_, nodes, value)
                own = self._variable()
                return self._unless_null(value, own, self.object(type_, nodes, own))
            case GraphQLList():
                item = self._variable()
                made = self._of(type_.of_type, nodes, item)
                return value if made == item else f"[{made} for {item} in {value}]"
            case GraphQLScalarType(name="Float"):
                return f"floats[{value}]"
            case GraphQLScalarType() | GraphQLEnumType():
                make = self._leaf(type_)
                return value if make is None else f"{self._name(make)}({value})"
            case _:
                raise Unsupported

    def _unless_null(self, value: str, own: str, made: str) -> str:
        return f"(None if ({own} := {value}) is None else {made})"

    def _name(self, known: Any) -> str:
        name = f"known{len(self.known)}"
        self.known[name] = known
        return name

    def _variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"
