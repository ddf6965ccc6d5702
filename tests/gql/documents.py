"""Valid documents over our schema, and values for their fields, as hypothesis makes them up."""

from collections.abc import Callable
from datetime import UTC, timedelta, timezone
from itertools import count
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)
from hypothesis import strategies as st

from endpoint.execution.edge import load_of
from gql.schema import schema

CORE = schema._schema
VARIABLES = {"yes": True, "no": False}
"""What the documents' variables are given as."""

Draw = Callable[[st.SearchStrategy[Any]], Any]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3))]))
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "Boolean": st.booleans(),
    "DateTime": moments,
    "Float": st.floats(allow_nan=False, allow_infinity=False),
    "ID": texts,
    "LogPosition": st.integers(0, 2**53 - 1),
    "Int": st.integers(-(2**31), 2**31 - 1),
    "String": texts,
}


class Selections:
    """One document's; each field has a key of its own unless it is said twice the same way.

    Edges are selected only if it *has_edges*.
    """

    def __init__(self, draw: Draw, *, has_edges: bool = False) -> None:
        self._draw = draw
        self._has_edges = has_edges
        self._aliases = count(1)
        self.fragments: list[str] = []

    def document(self, roots: list[str]) -> str:
        """Asks for some of *roots*, which are root fields with their arguments."""
        chosen = self._draw(st.lists(st.sampled_from(roots), max_size=3))
        asked = [f"r{next(self._aliases)}: {each}{self._condition()} {self._root(each)}" for each in chosen]
        used = f"used: {roots[0]} {{ __typename @include(if: $yes) @skip(if: $no) }}"
        return " ".join(["query ($yes: Boolean!, $no: Boolean!) {", used, *asked, "}", *self.fragments])

    def _root(self, asked: str) -> str:
        assert CORE.query_type is not None
        return self._below(CORE.query_type.fields[asked.partition("(")[0]], 5)

    def _below(self, field: GraphQLField, depth: int) -> str:
        type_ = get_named_type(field.type)
        return f"{{ {self.of(type_, depth)} }}" if is_composite_type(type_) else ""

    def of(self, type_: GraphQLNamedType, depth: int) -> str:
        if is_abstract_type(type_):
            kinds = self._draw(st.lists(st.sampled_from(CORE.get_possible_types(type_)), max_size=3, unique=True))
            parts = [f"... on {kind.name}{self._condition()} {{ {self._fields(kind, depth)} }}" for kind in kinds]
            return " ".join(["__typename", *parts])
        assert isinstance(type_, GraphQLObjectType)
        asked = self._fields(type_, depth)
        match self._draw(st.sampled_from(["plain", "plain", "inline", "interface", "named"])):
            case "inline":
                return f"__typename ... {self._condition()} {{ {asked} }}"
            case "interface" if type_.interfaces:
                wider = self._draw(st.sampled_from(type_.interfaces))
                return (
                    f"__typename ... on {wider.name} {{ {next(iter(wider.fields))} }} ... on {type_.name} {{ {asked} }}"
                )
            case "named":
                name = f"F{next(self._aliases)}"
                self.fragments.append(f"fragment {name} on {type_.name} {{ {asked} }}")
                return f"t{next(self._aliases)}: __typename ...{name}{self._condition()} ...{name}"
            case _:
                return asked

    def _fields(self, type_: GraphQLObjectType, depth: int) -> str:
        open_ = [
            name
            for name, field in type_.fields.items()
            if (is_attribute(field) or (self._has_edges and load_of(field.extensions["strawberry-definition"])))
            and (depth or not is_composite_type(get_named_type(field.type)))
        ]
        names = self._draw(st.lists(st.sampled_from(["__typename", *open_]), min_size=1, max_size=5))
        return " ".join(self._field(type_, name, depth - 1) for name in names)

    def _field(self, type_: GraphQLObjectType, name: str, depth: int) -> str:
        alias = f"a{next(self._aliases)}: " if self._draw(st.booleans()) else ""
        below = "" if name == "__typename" else self._below(type_.fields[name], depth)
        page = "(first: 2)" if name != "__typename" and "first" in type_.fields[name].args else ""
        return f"{alias}{name}{page}{self._condition()} {below}"

    def _condition(self) -> str:
        said: str = self._draw(
            st.sampled_from(["", "", "", " @include(if: $yes)", " @skip(if: $no)", " @skip(if: true)"])
        )
        return said


def value(draw: Draw, type_: GraphQLOutputType, depth: int = 5) -> Any:
    """What a resolver might give for a field of *type_*: lists are short, and empty or null further down."""
    if not isinstance(type_, GraphQLNonNull):
        return None if draw(st.booleans()) else value(draw, GraphQLNonNull(type_), depth)
    match type_.of_type:
        case GraphQLList() as inner:
            size = draw(st.integers(0, 2)) if depth else 0
            return [value(draw, inner.of_type, depth - 1) for _ in range(size)]
        case GraphQLScalarType() as inner:
            return draw(SCALARS[inner.name])
        case GraphQLEnumType() as inner:
            return draw(st.sampled_from(list(inner.wrapped_cls)))  # type: ignore[attr-defined]  # strawberry's
        case GraphQLObjectType() as inner:
            return _object(draw, inner, depth)
        case inner:
            return _object(draw, draw(st.sampled_from(CORE.get_possible_types(inner))), depth)


def _object(draw: Draw, type_: GraphQLObjectType, depth: int) -> Any:
    made = object.__new__(type_.extensions["strawberry-definition"].origin)
    for field in type_.fields.values():
        if is_attribute(field):
            name = field.extensions["strawberry-definition"].python_name
            object.__setattr__(made, name, value(draw, field.type, depth - 1))
    return made


def is_attribute(field: GraphQLField) -> bool:
    return bool(getattr(field.resolve, "_is_default", False))
