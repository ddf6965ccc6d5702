"""
The cost of an operation: the number of items in its lists, at their maximum lengths, times the fields selected.

The cost is known before execution. Each document is analysed once, into terms; the variables of a request are filled
in.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
)
from msgspec import Struct

from endpoint.execution.limits import Fragments, fragments_of, limit_error, operations, variable_errors

MAX_COST = 10_000
"""Maximum cost of an operation: about three pages of 500 items with all their fields."""

LONG_COST = 250
"""OperationCost from which a query takes so long, about 10 ms, that it is executed aside."""

LONG_COMPILED = 1_000
"""The same of a compiled query. A dashboard of 20 environments costs less: aside it takes twice the CPU."""

MUTATION = 100
"""OperationCost of each mutation of an operation."""

CHARACTERS = 200
"""Number of characters of a document in the arguments that cost 1."""

INTROSPECTION = {"__schema": 500, "__type": 500}
"""OperationCost of the fields of introspection, which are also long."""


class CostSettings(Struct, frozen=True, kw_only=True):
    """What a schema's fields cost.

    *default_page* and *max_page* are the sizes of pages, in items. *lists* is the assumed length of a list field
    without pages; other lists without pages cost nothing. *weights* is the cost of a field beside its lists.
    *long_fields* are executed aside whatever they cost. *documents* are arguments with long texts, and *items* is the
    cost of each value in a list argument. *arguments* is the cost of an argument that is given.
    """

    default_page: int
    max_page: int
    lists: Mapping[str, int] = {}
    weights: Mapping[str, int] = {}
    long_fields: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    items: Mapping[str, int] = {}
    arguments: Mapping[str, int] = {}


class ListTerm(Struct, frozen=True):
    """One list: *depth* is the number of levels selected from each item, *lengths* the lengths of the lists around it.

    The last length is the list's own. A length is given by `first` and `last`: numbers, or names of variables.
    """

    depth: int
    lengths: tuple[tuple[int | str, ...], ...]


class OperationCost(Struct, frozen=True):
    """The terms of an operation's cost, before its variables are known."""

    lists: tuple[ListTerm, ...]
    documents: tuple[int | str, ...]
    items: tuple[tuple[int, int | str], ...]
    defaults: Mapping[str, object]
    has_long_field: bool
    is_query: bool
    at_least: tuple[StringValueNode | VariableNode, ...]
    settings: CostSettings

    def of(self, variables: Mapping[str, object]) -> int:
        """Return the cost with *variables*: of lists, of documents in arguments, and of items in list arguments."""
        given = {**self.defaults, **variables}
        listed = sum(
            each.depth * prod(_length(length, given, self.settings) for length in each.lengths) for each in self.lists
        )
        characters = sum(_size(each, given) for each in self.documents)
        items = sum(weight * _size(each, given) for weight, each in self.items)
        return listed + characters // CHARACTERS + items

    def is_long(self, variables: Mapping[str, object], *, is_compiled: bool = False) -> bool:
        """Whether it is a query that takes so long that it is executed aside."""
        limit = LONG_COMPILED if is_compiled else LONG_COST
        return self.is_query and (self.has_long_field or self.of(variables) > limit)

    def at_least_cursors(self, variables: Mapping[str, object]) -> list[str]:
        """Return the cursors of its arguments `atLeast`."""
        given = (
            variables.get(each.name.value) if isinstance(each, VariableNode) else each.value for each in self.at_least
        )
        return [cursor for cursor in given if isinstance(cursor, str)]

    def limit_errors(self, variables: Mapping[str, object]) -> list[GraphQLError]:
        """Return the limits that the operation exceeds with *variables*, before they are coerced."""
        too_large = variable_errors(variables, self.documents) if variables else []
        cost = self.of(variables)
        if too_large or cost <= MAX_COST:
            return too_large
        counted = "the items of its lists times the levels of fields selected from each, its documents and mutations"
        may = f"An operation may cost at most {MAX_COST:,} ({counted})"
        advice = "request smaller pages, or use several operations"
        return [limit_error("QUERY_TOO_EXPENSIVE", may, "costs", MAX_COST, cost, advice)]


def costs(schema: GraphQLSchema, document: DocumentNode, settings: CostSettings) -> dict[str | None, OperationCost]:
    """Return the costs of the operations of a valid document, by their names."""
    fragments = fragments_of(document)
    return {
        operation.name.value if operation.name else None: _cost(schema, operation, fragments, settings)
        for operation in operations(document)
    }


def _cost(
    schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Fragments, settings: CostSettings
) -> OperationCost:
    found = _Terms(schema, fragments, settings)
    found.levels(schema.get_root_type(operation.operation), operation.selection_set, ())
    defaults = {
        each.variable.name.value: int(each.default_value.value)
        for each in operation.variable_definitions or ()
        if isinstance(each.default_value, IntValueNode)
    }
    return OperationCost(
        tuple(found.lists),
        tuple(found.documents),
        tuple(found.items),
        defaults,
        not found.names.isdisjoint(settings.long_fields | INTROSPECTION.keys()),
        operation.operation is OperationType.QUERY,
        tuple(found.at_least),
        settings,
    )


class _Terms:
    """The terms of an operation's cost, collected from its selections."""

    def __init__(self, schema: GraphQLSchema, fragments: Fragments, settings: CostSettings) -> None:
        self.lists: list[ListTerm] = []
        self.names: set[str] = set()
        self.at_least: list[StringValueNode | VariableNode] = []
        self.documents: list[int | str] = []
        self.items: list[tuple[int, int | str]] = []
        self._schema = schema
        self._fragments = fragments
        self._settings = settings

    def levels(self, type_: GraphQLNamedType | None, selected: SelectionSetNode, around: tuple[Any, ...]) -> int:
        """Collect the terms of *selected*; return its depth."""
        deepest = 0
        for node in selected.selections:
            if isinstance(node, FieldNode):
                depth = self._field(type_, node, around)
            else:
                assert isinstance(node, FragmentSpreadNode | InlineFragmentNode)
                fragment = self._fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
                about = fragment.type_condition
                own = self._schema.type_map[about.name.value] if about is not None else type_
                depth = self.levels(own, fragment.selection_set, around)
            deepest = max(deepest, depth)
        return deepest

    def _field(self, type_: GraphQLNamedType | None, node: FieldNode, around: tuple[Any, ...]) -> int:
        name = node.name.value
        self.names.add(name)
        self._arguments(node, around)
        weights, mutation = {**INTROSPECTION, **self._settings.weights}, self._schema.mutation_type
        if weight := weights.get(name, MUTATION if type_ is mutation else 0):
            self.lists.append(ListTerm(weight, around))
        field = _field(type_, name)
        own = None if field is None else _own(field, node, self._settings)
        lengths = around if own is None else (*around, own)
        below = get_named_type(field.type) if field is not None else None
        depth = self.levels(below, node.selection_set, lengths) if node.selection_set else 0
        if own is not None:
            self.lists.append(ListTerm(depth, lengths))
        return depth + 1

    def _arguments(self, node: FieldNode, around: tuple[Any, ...]) -> None:
        for each in node.arguments or ():
            name, value = each.name.value, each.value
            if weight := self._settings.arguments.get(name):
                self.lists.append(ListTerm(weight, around))
            if name == "atLeast" and isinstance(value, StringValueNode | VariableNode):
                self.at_least.append(value)
            if name in self._settings.documents:
                self.documents.append(_given(value))
            if name in self._settings.items:
                self.items.append((self._settings.items[name], _given(value)))


def _field(type_: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    """Return the field of that name; None for introspection, which has no pages."""
    return type_.fields.get(name) if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) else None


def _own(field: GraphQLField, node: FieldNode, settings: CostSettings) -> tuple[int | str, ...] | None:
    """Return the terms of the length of the field's list; None if it is not a list."""
    if "first" in field.args:
        given = (each.value for each in node.arguments or () if each.name.value in ("first", "last"))
        return tuple(size for value in given if (size := _size_of(value)) is not None)
    size = settings.lists.get(node.name.value)
    return None if size is None else (size,)


def _given(value: ValueNode) -> int | str:
    """Return the length of a string or list, or the name of its variable."""
    match value:
        case VariableNode():
            return value.name.value
        case StringValueNode():
            return len(value.value)
        case ListValueNode():
            return len(value.values)
        case _:
            return 1


def _size(given: int | str, variables: Mapping[str, object]) -> int:
    """Return the length of a term; a value of another type is refused when it is coerced."""
    value = variables.get(given) if isinstance(given, str) else None
    if isinstance(given, int):
        return given
    return len(value) if isinstance(value, str | list) else 1


def _size_of(value: ValueNode) -> int | str | None:
    if isinstance(value, VariableNode):
        return value.name.value
    return int(value.value) if isinstance(value, IntValueNode) else None


def _length(sizes: Sequence[int | str], variables: Mapping[str, object], settings: CostSettings) -> int:
    """Return the number of items in a list; an invalid size is refused at execution."""
    given = [variables.get(size) if isinstance(size, str) else size for size in sizes]
    numbers = [number for number in given if isinstance(number, int | float)]
    return int(min(max(*numbers, 0), settings.max_page)) if numbers else settings.default_page
