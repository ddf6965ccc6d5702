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

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from typing import Annotated, Any, TypeVar

import msgspec
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
    get_named_type,
    is_composite_type,
)
from msgspec import Meta, Struct, StructMeta

from endpoint.execution.compiled import walk
from endpoint.execution.compiled.dropped import dropped
from endpoint.execution.compiled.selection import Selection, Unsupported
from endpoint.execution.compiled.walk import Make, UnexpectedValue, Walk, WalkedEdge, WalkedPart
from endpoint.execution.edge import load_of
from endpoint.execution.selection import names_below

PIECE = 4
"""Number of items of a list that are converted at once, before other threads can run: at most half a millisecond."""

MAX_STRUCTS = 200
"""Maximum number of structs that a document is compiled to: that takes about 35 ms."""

STRUCT = 3000
"""Size of a struct with its converter, in bytes, as measured."""

FIELD = 300
"""Size of a struct's field, in bytes."""

DEFINITION = "strawberry-definition"
"""Key of the extension that holds strawberry's definition of a type or field."""

LEAVES: dict[str, Any] = {
    "Boolean": bool,
    "Float": Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)],
    "ID": str,
    "Int": Annotated[int, Meta(ge=-(2**31), lt=2**31)],
    "String": str,
}
"""Python types of GraphQL's scalars, with their ranges."""

Type = TypeVar("Type", bound=type)
Part = TypeVar("Part")


class SelectedField(Struct, frozen=True):
    """A field that is selected from an object; *type* is the name of the object's type for `__typename`."""

    key: str
    attribute: str
    type: GraphQLOutputType | str
    nodes: list[FieldNode]
    edge: WalkedEdge | None = None


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

    def _has_edge(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> bool:
        """Whether the value contains an object with an edge."""
        if isinstance(type_, str):
            return False
        match get_named_type(type_):
            case GraphQLObjectType() as inner:
                possible: Sequence[GraphQLObjectType] = [inner]
            case GraphQLInterfaceType() | GraphQLUnionType() as abstract:
                possible = self._schema.get_possible_types(abstract)
            case _:
                return False
        return any(
            part.edge is not None or self._has_edge(part.type, part.nodes)
            for each in possible
            for part in self._parts(each, nodes)
        )

    def _walk(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> Walk:
        """Return the walk of a value; its parts without edges are made as everywhere else."""
        if isinstance(type_, str) or not self._has_edge(type_, nodes):
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
        parts = self._parts(type_, nodes)
        plain = [part.attribute for part in parts if part.edge is None]
        if len(set(plain)) < len(plain):  # see `_struct`
            return walk.dicts([self._walked(part) for part in parts])
        apart = [part for part in parts if part.edge is not None or self._has_edge(part.type, part.nodes)]
        walked = [self._walked(part) for part in apart]
        return walk.objects(self._filling(self._open_struct(type_, nodes, apart)), walked)

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
        if not self._has_list(type_, nodes):
            if isinstance(type_, GraphQLNonNull | str):
                return self._filling(self._type(type_, nodes))
            return partial(_or_none, self._filling(self._type(GraphQLNonNull(type_), nodes)))
        match type_:
            case GraphQLNonNull(of_type=GraphQLObjectType() as inner):
                return self._spine_of_object(inner, nodes)
            case GraphQLNonNull():
                return partial(_in_pieces, self._filling(self._type(type_, nodes)))
            case _:
                assert not isinstance(type_, str)
                return partial(_or_none, self._spine(GraphQLNonNull(type_), nodes))

    def _spine_of_object(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Make:
        parts = self._parts(type_, nodes)
        if len({part.attribute for part in parts}) < len(parts):  # see `_struct`
            makes = [(part.key, part.attribute, self._spine(part.type, part.nodes)) for part in parts]
            return partial(_object, partial(_dict, makes), ())
        apart = [part for part in parts if self._has_list(part.type, part.nodes)]
        fill = self._filling(self._struct(type_, nodes, {part.key for part in apart}))
        later = [(part.attribute, self._spine(part.type, part.nodes)) for part in apart]
        return partial(_object, fill, later)

    def _has_list(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> bool:
        """Whether the value contains a list of objects, reached through objects only."""
        match type_:
            case GraphQLNonNull():
                return self._has_list(type_.of_type, nodes)
            case GraphQLList():
                return is_composite_type(get_named_type(type_))
            case GraphQLObjectType():
                return any(self._has_list(part.type, part.nodes) for part in self._parts(type_, nodes))
            case _:
                return False

    def _type(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> Any:
        """Return the Python type of the selected part of a value."""
        if isinstance(type_, str):
            return _typename(type_)
        if not isinstance(type_, GraphQLNonNull):
            return self._type(GraphQLNonNull(type_), nodes) | None  # `Optional` would keep it in a cache of its own
        match type_.of_type:
            case GraphQLList() as inner:
                return list[self._type(inner.of_type, nodes)]  # type: ignore[misc]  # it is made, and not written
            case GraphQLObjectType() as inner:
                return self._struct(inner, nodes)
            case GraphQLInterfaceType() | GraphQLUnionType() as inner:
                return self._by(partial(_one_of, self._possible(inner, nodes)))
            case inner:
                return _leaf(inner)

    def _parts(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> list[SelectedField]:
        parts = []
        sets = [node.selection_set for node in nodes if node.selection_set]
        for key, own in self._selection.fields(type_, sets).items():
            name = own[0].name.value
            if name == "__typename":
                parts.append(SelectedField(key, "__class__", type_.name, own))
                continue
            field = type_.fields[name]
            definition = field.extensions[DEFINITION]
            load = load_of(definition)
            if load is not None:
                selected = names_below(own, self._selection.fragments)
                edge = WalkedEdge(definition, field, own[0], load, selected)
                # The name is its key's: the same edge may be selected twice, with other arguments.
                parts.append(SelectedField(key, f"edge_{key}", field.type, own, edge))
                continue
            if not getattr(field.resolve, "_is_default", False):
                raise Unsupported
            parts.append(SelectedField(key, definition.python_name, field.type, own))
        return parts

    def _counted(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> list[SelectedField]:
        """Return the fields of one more struct; raises `TooManyStructs`."""
        parts = self._parts(type_, nodes)
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
            return self._by(partial(_dict, [(key, attribute, self._filling(kind)) for key, attribute, kind in parts]))
        fields = [(attribute, kind) for _, attribute, kind in parts]
        return self._own(msgspec.defstruct(type_.name, fields, rename=keys, gc=False))

    def _possible(self, type_: GraphQLInterfaceType | GraphQLUnionType, nodes: list[FieldNode]) -> dict[type, Make]:
        """Return the converter of each possible type, by its class."""
        return self._by_class(type_, lambda possible: self._filling(self._struct(possible, nodes)))

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

    def _filling(self, kind: Any) -> Make:
        """Return a function that makes one of *kind*.

        msgspec knows structs. It would look into other types each time, so those are made within a struct.
        """
        if isinstance(kind, StructMeta):
            return _filling_struct(kind)
        if isinstance(kind, _Converted):
            return kind.make
        if kind in LEAVES.values():
            return _filling_leaf(kind)
        return _filling_wrapper(self._own(_wrapper(kind)))

    def _by(self, make: Make) -> type:
        return self._own(_by(make))

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


# Below the spine


class _Converted(type):
    """The metaclass of types whose values a converter returns: msgspec accepts any value as one of them."""

    make: Make

    def __instancecheck__(cls, instance: object) -> bool:
        return True


def _by(make: Make) -> type:
    return _Converted("Converted", (), {"__slots__": (), "make": staticmethod(make)})


@cache
def _typename(name: str) -> type:
    return _by(lambda _: name)


def _filling_struct(kind: StructMeta) -> Make:
    return partial(msgspec.convert, type=kind, from_attributes=True, dec_hook=_make)


def _wrapper(kind: Any) -> StructMeta:
    return msgspec.defstruct("Wrapper", [("value", kind)])


def _filling_wrapper(wrapper: StructMeta) -> Make:
    fill = _filling_struct(wrapper)
    return lambda value: fill({"value": value}).value


@cache
def _filling_leaf(kind: Any) -> Make:
    """One for all documents."""
    return _filling_wrapper(_wrapper(kind))


def _make(kind: Any, value: Any) -> Any:
    return kind.make(value)


def _one_of(makes: Mapping[type, Make], value: Any) -> Any:
    return makes[type(value)](value)


def _dict(makes: Sequence[tuple[str, str, Make]], value: Any) -> dict[str, Any]:
    return {key: make(getattr(value, attribute)) for key, attribute, make in makes}


@cache
def _leaf(type_: GraphQLLeafType) -> Any:
    """The Python type of a leaf, which all documents have in common."""
    if isinstance(type_, GraphQLEnumType):
        return _enum(type_)
    return LEAVES.get(type_.name) or _by(partial(_scalar, type_.coerce_output_value))


def _scalar(serialize: Callable[[Any], Any], value: Any) -> Any:
    made = serialize(value)
    if made is None:
        raise UnexpectedValue
    return made


def _enum(type_: GraphQLEnumType) -> Any:
    """Return the enum itself if its values are the GraphQL names; else a converter to the names."""
    members = getattr(type_, "wrapped_cls", None)
    if members is None:
        raise Unsupported
    names: dict[Any, str] = {}
    for name, value in type_.values.items():
        names.setdefault(members(value.value), name)  # the first of several equal values
    if all(member.value == name for member, name in names.items()):
        return members
    return _by(names.__getitem__)
