"""
The compiler from GraphQL documents to Python types: a struct for each object, with the selected fields.

msgspec fills the struct from the attributes of a resolver's value, checks the type of each, and encodes it, all in C.
`{ key: id isDeleted services { name } }` becomes this struct:

    class Stage(Struct, rename={"id": "key", "is_deleted": "isDeleted"}):
        id: str
        is_deleted: bool
        services: list[Service]

Only fields that are plain attributes or edges are compiled; `walk` loads the edges.
A value of another type than its field's raises an exception:
`UnexpectedValue`, or one of Python or msgspec. Then graphql-core executes the query.

For the figure and the switch see `endpoint.execution.compiled.query`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
)
from msgspec import Struct, StructMeta

from endpoint.execution.compiled import converter, walk
from endpoint.execution.compiled.converter import LEAVES, ConvertedType, Make, UnexpectedValue
from endpoint.execution.compiled.dropped import dropped
from endpoint.execution.compiled.field import DEFINITION, SelectedField, SelectedFields
from endpoint.execution.compiled.selection import Selection, Unsupported
from endpoint.execution.compiled.walk import Walk, WalkedEdge, WalkedPart

PIECE = 4
"""Number of items of a list that are converted at once, before other threads can run: at most half a millisecond."""

MAX_STRUCTS = 200
"""Maximum number of structs that a document is compiled to: that takes about 35 ms."""

STRUCT = 3000
"""Size of a struct with its converter, in bytes, as measured."""

FIELD = 300
"""Size of a struct's field, in bytes."""

Type = TypeVar("Type", bound=type)
Part = TypeVar("Part")


class TooManyStructs(Unsupported):
    """The document would be compiled to more structs than are allowed."""


class CompiledRoots(Struct, frozen=True):
    """The root fields of an operation, and the types that were made for them."""

    fields: tuple["CompiledField", ...]
    types: list[type]


class CompiledField(Struct, frozen=True):
    """A root field; *walk* converts its resolver's value to its part of the answer, along its *edges*."""

    key: str
    field: GraphQLField
    nodes: list[FieldNode]
    weight: int
    edges: tuple[WalkedEdge, ...]
    walk: Walk


def roots(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    conditions: Mapping[str, object],
) -> CompiledRoots:
    """Return the root fields of a valid document, if *conditions* are the values of variables in @skip and @include.

    Raises `Unsupported`.
    """
    compiler = _Compiler(schema, Selection(schema, document, conditions))
    try:
        return CompiledRoots(compiler.roots(operation), compiler.types)
    except Unsupported:
        dropped.add(compiler.types)
        raise


class _Compiler:
    def __init__(self, schema: GraphQLSchema, selection: Selection) -> None:
        self._schema = schema
        self._selection = selection
        self._selected = SelectedFields(schema, selection)
        self.types: list[type] = []
        self._structs = 0
        self._fields = 0

    def roots(self, operation: OperationDefinitionNode) -> tuple[CompiledField, ...]:
        query = self._schema.query_type
        assert query is not None
        made = []
        for key, nodes in self._selection.fields(query, [operation.selection_set]).items():
            field = query.fields.get(nodes[0].name.value)
            if field is None or field.resolve is None:  # introspection, and __typename
                raise Unsupported
            before = self._weight
            self._edges: list[WalkedEdge] = []
            walked = self._walk(field.type, nodes)
            made.append(CompiledField(key, field, nodes, self._weight - before, tuple(self._edges), walked))
        return tuple(made)

    @property
    def _weight(self) -> int:
        return self._structs * STRUCT + self._fields * FIELD

    def _walk(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> Walk:
        """Return the walk of a value; its parts without edges are made as everywhere else."""
        if isinstance(type_, str) or not self._selected.has_edge(type_, nodes):
            return walk.plain(self._spine(type_, nodes))
        match type_:
            case GraphQLNonNull(of_type=GraphQLObjectType() as inner):
                return self._walk_of_object(inner, nodes)
            case GraphQLNonNull(of_type=GraphQLList() as inner):
                return walk.lists(self._walk(inner.of_type, nodes))
            case GraphQLNonNull(of_type=GraphQLInterfaceType() | GraphQLUnionType() as inner):
                return walk.by_class(self._by_class(inner, lambda possible: self._walk_of_object(possible, nodes)))
            case _:
                assert not isinstance(type_, GraphQLNonNull), "a leaf has no edges"
                return walk.or_none(self._walk(GraphQLNonNull(type_), nodes))

    def _walk_of_object(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Walk:
        parts = self._selected.of(type_, nodes)
        plain = [part.attribute for part in parts if part.edge is None]
        if len(set(plain)) < len(plain):  # see `_struct`
            return walk.dicts([self._walked(part) for part in parts])
        apart = [part for part in parts if part.edge is not None or self._selected.has_edge(part.type, part.nodes)]
        walked = [self._walked(part) for part in apart]
        return walk.objects(self._converter(self._open_struct(type_, nodes, apart)), walked)

    def _walked(self, part: SelectedField) -> WalkedPart:
        if part.edge is not None:
            self._edges.append(part.edge)
        return WalkedPart(part.key, part.attribute, part.edge, self._walk(part.type, part.nodes))

    def _open_struct(self, type_: GraphQLObjectType, nodes: list[FieldNode], apart: Sequence[SelectedField]) -> Any:
        """Return the struct of a type, in which the fields *apart* are set later."""
        later = {part.key for part in apart}
        fields: list[Any] = []
        keys = {}
        for part in self._counted(type_, nodes):
            keys[part.attribute] = part.key
            if part.key in later:
                fields.append((part.attribute, Any, None))
            else:
                fields.append((part.attribute, self._type(part.type, part.nodes)))
        return self._own(msgspec.defstruct(type_.name, fields, rename=keys, gc=False, kw_only=True))

    def _spine(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> Make:
        if not self._selected.has_list(type_, nodes):
            if isinstance(type_, GraphQLNonNull | str):
                return self._converter(self._type(type_, nodes))
            return partial(_or_none, self._converter(self._type(GraphQLNonNull(type_), nodes)))
        match type_:
            case GraphQLNonNull(of_type=GraphQLObjectType() as inner):
                return self._spine_of_object(inner, nodes)
            case GraphQLNonNull():
                return partial(_in_pieces, self._converter(self._type(type_, nodes)))
            case _:
                assert not isinstance(type_, str)
                return partial(_or_none, self._spine(GraphQLNonNull(type_), nodes))

    def _spine_of_object(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Make:
        parts = self._selected.of(type_, nodes)
        if len({part.attribute for part in parts}) < len(parts):  # see `_struct`
            makes = [(part.key, part.attribute, self._spine(part.type, part.nodes)) for part in parts]
            return partial(_object, partial(converter.as_dict, makes), ())
        apart = [part for part in parts if self._selected.has_list(part.type, part.nodes)]
        fill = self._converter(self._struct(type_, nodes, {part.key for part in apart}))
        later = [(part.attribute, self._spine(part.type, part.nodes)) for part in apart]
        return partial(_object, fill, later)

    def _type(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> Any:
        """Return the Python type of the selected part of a value."""
        if isinstance(type_, str):
            return converter.typename(type_)
        if not isinstance(type_, GraphQLNonNull):
            return self._type(GraphQLNonNull(type_), nodes) | None  # `Optional` would keep it in a cache of its own
        match type_.of_type:
            case GraphQLList() as inner:
                return list[self._type(inner.of_type, nodes)]  # type: ignore[misc]  # it is made, and not written
            case GraphQLObjectType() as inner:
                return self._struct(inner, nodes)
            case GraphQLInterfaceType() | GraphQLUnionType() as inner:
                return self._by(partial(converter.one_of, self._possible(inner, nodes)))
            case inner:
                return converter.leaf(inner)

    def _counted(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> list[SelectedField]:
        """Return the fields of one more struct; raises `TooManyStructs`."""
        parts = self._selected.of(type_, nodes)
        self._structs += 1
        self._fields += len(parts)
        if self._structs > MAX_STRUCTS:
            raise TooManyStructs
        return parts

    def _struct(self, type_: GraphQLObjectType, nodes: list[FieldNode], apart: Collection[str] = ()) -> Any:
        """Return the struct of a type; it takes values with one of the keys *apart* without conversion."""
        parts = [
            (part.key, part.attribute, Any if part.key in apart else self._type(part.type, part.nodes))
            for part in self._counted(type_, nodes)
        ]
        keys = {attribute: key for key, attribute, _ in parts}
        if len(keys) < len(parts):  # the same attribute under two keys: a struct has it once
            return self._by(
                partial(converter.as_dict, [(key, attribute, self._converter(kind)) for key, attribute, kind in parts])
            )
        fields = [(attribute, kind) for _, attribute, kind in parts]
        return self._own(msgspec.defstruct(type_.name, fields, rename=keys, gc=False))

    def _possible(self, type_: GraphQLInterfaceType | GraphQLUnionType, nodes: list[FieldNode]) -> dict[type, Make]:
        """Return the converter of each possible type, by its class."""
        return self._by_class(type_, lambda possible: self._converter(self._struct(possible, nodes)))

    def _by_class(
        self, type_: GraphQLInterfaceType | GraphQLUnionType, make: Callable[[GraphQLObjectType], Part]
    ) -> dict[type, Part]:
        """Return what *make* returns for each possible type, by its class."""
        made = {}
        for possible in self._schema.get_possible_types(type_):
            definition = possible.extensions[DEFINITION]
            if definition.concrete_of is not None or definition.is_graphql_generic:
                raise Unsupported
            made[definition.origin] = make(possible)
        return made

    def _converter(self, kind: Any) -> Make:
        """Return a function that makes one of *kind*.

        msgspec knows structs. It would look into other types each time, so those are made within a struct.
        """
        if isinstance(kind, StructMeta):
            return converter.of_struct(kind)
        if isinstance(kind, ConvertedType):
            return kind.make
        if kind in LEAVES.values():
            return converter.of_leaf(kind)
        return converter.of_wrapper(self._own(converter.wrapper(kind)))

    def _by(self, make: Make) -> type:
        return self._own(converter.type_of(make))

    def _own(self, type_: Type) -> Type:
        """Return *type_*, which no other document has."""
        self.types.append(type_)
        return type_


# The spine: from the root to the items of the first lists


def _or_none(make: Make, value: Any) -> Any:
    return None if value is None else make(value)


def _object(fill: Make, later: Sequence[tuple[str, Make]], value: Any) -> Any:
    made = fill(value)
    for attribute, make in later:
        setattr(made, attribute, make(getattr(made, attribute)))
    return made


def _in_pieces(make: Make, values: Any) -> list[Any]:
    if type(values) is not list and type(values) is not tuple:
        raise UnexpectedValue
    made: list[Any] = []
    for start in range(0, len(values), PIECE):
        made += make(values[start : start + PIECE])
    return made
