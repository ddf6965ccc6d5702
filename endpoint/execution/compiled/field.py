"""The fields that a document selects from objects, with the edges among them."""

from collections.abc import Sequence

from graphql import (
    FieldNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_composite_type,
)
from msgspec import Struct

from endpoint.execution.compiled.selection import Selection, Unsupported
from endpoint.execution.compiled.walk import WalkedEdge
from endpoint.execution.edge import load_of
from endpoint.execution.selection import names_below

DEFINITION = "strawberry-definition"
"""Key of the extension that holds strawberry's definition of a type or field."""


class SelectedField(Struct, frozen=True):
    """A field that is selected from an object; *type* is the name of the object's type for `__typename`."""

    key: str
    attribute: str
    type: GraphQLOutputType | str
    nodes: list[FieldNode]
    edge: WalkedEdge | None = None


class SelectedFields:
    """The fields that a document selects from its objects, with the *selection* of its operation."""

    def __init__(self, schema: GraphQLSchema, selection: Selection) -> None:
        self._schema = schema
        self._selection = selection

    def of(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> list[SelectedField]:
        """Return the fields that *nodes* select from an object of *type_*; raise `Unsupported`."""
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

    def has_edge(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> bool:
        """Return whether the value contains an object with an edge."""
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
            part.edge is not None or self.has_edge(part.type, part.nodes)
            for each in possible
            for part in self.of(each, nodes)
        )

    def has_list(self, type_: GraphQLOutputType | str, nodes: list[FieldNode]) -> bool:
        """Return whether the value contains a list of objects, reached through objects only."""
        match type_:
            case GraphQLNonNull():
                return self.has_list(type_.of_type, nodes)
            case GraphQLList():
                return is_composite_type(get_named_type(type_))
            case GraphQLObjectType():
                return any(self.has_list(part.type, part.nodes) for part in self.of(type_, nodes))
            case _:
                return False
