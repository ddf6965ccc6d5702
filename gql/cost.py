"""
What an operation costs: the things in the lists that it asks for, each as long as it may get.

It is known before it is carried out, worked out once a document as terms that the variables are put into.
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

from gql.connection import DEFAULT_PAGE, MAX_PAGE
from gql.limit import Fragments, exceeding, fragments_of, operations, variables_exceeded

MAX_COST = 10_000
"""About three pages of 500 things, with everything that is to be known of them."""

LISTS = {"stages": 4, "services": 4, "differences": 4}
"""As how many things a list counts that is not in pages; what isn't named here has a few small ones, and counts not."""

LONG_COST = 250
"""What costs more takes so long (about 10 ms and more) that others are not to wait for it."""

LONG_FIELDS = frozenset({"pipelineDiff", "changedSince", "documentDiff", "exportPipeline", "__schema", "__type"})
"""What takes so long whatever it costs."""

WEIGHTS = {"documentDiff": 500, "exportPipeline": 500, "pipelineDiff": 500, "__schema": 500, "__type": 500}
"""What fields cost besides the things in their lists; those that aren't named here cost nothing."""

MUTATION = 100
"""What each mutation of an operation costs."""

CHARACTERS = 200
"""Characters of a pipeline's document that cost 1."""

APPLIED = 50
"""What each environment costs that a document is applied to."""


class Listed(Struct, frozen=True):
    """One list: how many levels are asked of each thing, and how many things are in those around it and in its own.

    Of a page that is what stands in `first` and `last`: numbers, or names of variables.
    """

    depth: int
    lengths: tuple[tuple[int | str, ...], ...]


class Cost(Struct, frozen=True):
    """What an operation costs, once its variables are known."""

    lists: tuple[Listed, ...]
    documents: tuple[int | str, ...]
    environments: tuple[int | str, ...]
    defaults: Mapping[str, object]
    has_long_field: bool
    is_query: bool
    at_least: tuple[StringValueNode | VariableNode, ...]

    def of(self, variables: Mapping[str, object]) -> int:
        """The things in each list, times the levels of fields that are asked of each, and what else costs."""
        given = {**self.defaults, **variables}
        listed = sum(each.depth * prod(_length(length, given) for length in each.lengths) for each in self.lists)
        characters = sum(_size(each, given) for each in self.documents)
        return listed + characters // CHARACTERS + APPLIED * sum(_size(each, given) for each in self.environments)

    def is_long(self, variables: Mapping[str, object]) -> bool:
        """Whether it is a query that takes so long that others are not to wait for it."""
        return self.is_query and (self.has_long_field or self.of(variables) > LONG_COST)

    def awaited(self, variables: Mapping[str, object]) -> list[str]:
        """The cursors that are given as `atLeast`."""
        given = (
            variables.get(each.name.value) if isinstance(each, VariableNode) else each.value for each in self.at_least
        )
        return [cursor for cursor in given if isinstance(cursor, str)]

    def exceeded(self, variables: Mapping[str, object]) -> list[GraphQLError]:
        """Why the operation isn't carried out with *variables*, which aren't coerced yet."""
        too_large = variables_exceeded(variables, self.documents) if variables else []
        cost = self.of(variables)
        if too_large or cost <= MAX_COST:
            return too_large
        counted = "the things in its lists, times the levels of fields asked of each, and its documents and mutations"
        may = f"An operation may cost {MAX_COST:,} ({counted})"
        advice = "ask for smaller pages, or in several operations"
        return [exceeding("QUERY_TOO_EXPENSIVE", may, "costs", MAX_COST, cost, advice)]


class Terms:
    """What is found in an operation that its cost depends on."""

    def __init__(self, schema: GraphQLSchema, fragments: Fragments) -> None:
        self.lists: list[Listed] = []
        self.names: set[str] = set()
        self.at_least: list[StringValueNode | VariableNode] = []
        self.documents: list[int | str] = []
        self.environments: list[int | str] = []
        self._schema = schema
        self._fragments = fragments

    def levels(self, type_: GraphQLNamedType | None, selected: SelectionSetNode, around: tuple[Any, ...]) -> int:
        """Return how deep *selected* is; note the lists in it."""
        deepest = 0
        for node in selected.selections:
            if isinstance(node, FieldNode):
                depth = self._of_field(type_, node, around)
            else:
                assert isinstance(node, FragmentSpreadNode | InlineFragmentNode)
                fragment = self._fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
                about = fragment.type_condition
                meant = self._schema.type_map[about.name.value] if about is not None else type_
                depth = self.levels(meant, fragment.selection_set, around)
            deepest = max(deepest, depth)
        return deepest

    def _of_field(self, type_: GraphQLNamedType | None, node: FieldNode, around: tuple[Any, ...]) -> int:
        name = node.name.value
        self.names.add(name)
        given = {each.name.value: each.value for each in node.arguments or ()}
        waits = given.get("atLeast")
        if isinstance(waits, StringValueNode | VariableNode):
            self.at_least.append(waits)
        if "document" in given:
            self.documents.append(_given(given["document"]))
        if "environments" in given:
            self.environments.append(_given(given["environments"]))
        if weight := WEIGHTS.get(name, MUTATION if type_ is self._schema.mutation_type else 0):
            self.lists.append(Listed(weight, around))
        field = _field(type_, name)
        own = None if field is None else _own(field, node)
        lengths = around if own is None else (*around, own)
        below = get_named_type(field.type) if field is not None else None
        depth = self.levels(below, node.selection_set, lengths) if node.selection_set else 0
        if own is not None:
            self.lists.append(Listed(depth, lengths))
        return depth + 1


def costs(schema: GraphQLSchema, document: DocumentNode) -> dict[str | None, Cost]:
    """What the operations of a valid document cost, by their names."""
    fragments = fragments_of(document)
    return {
        operation.name.value if operation.name else None: _cost(schema, operation, fragments)
        for operation in operations(document)
    }


def _cost(schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Fragments) -> Cost:
    terms = Terms(schema, fragments)
    terms.levels(schema.get_root_type(operation.operation), operation.selection_set, ())
    defaults = {
        each.variable.name.value: int(each.default_value.value)
        for each in operation.variable_definitions or ()
        if isinstance(each.default_value, IntValueNode)
    }
    is_query = operation.operation is OperationType.QUERY
    return Cost(
        tuple(terms.lists),
        tuple(terms.documents),
        tuple(terms.environments),
        defaults,
        not terms.names.isdisjoint(LONG_FIELDS),
        is_query,
        tuple(terms.at_least),
    )


def _field(type_: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    """None for introspection, which has no pages."""
    return type_.fields.get(name) if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) else None


def _own(field: GraphQLField, node: FieldNode) -> tuple[int | str, ...] | None:
    """What says how long the field's list is; None if it is none."""
    if "first" in field.args:
        given = (each.value for each in node.arguments or () if each.name.value in ("first", "last"))
        return tuple(size for value in given if (size := _size_of(value)) is not None)
    return (LISTS[node.name.value],) if node.name.value in LISTS else None


def _given(value: ValueNode) -> int | str:
    """The length of a string or list, or the variable that has it."""
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
    """The length of what is given; what is of another type is refused when it is coerced."""
    value = variables.get(given) if isinstance(given, str) else None
    if isinstance(given, int):
        return given
    return len(value) if isinstance(value, str | list) else 1


def _size_of(value: ValueNode) -> int | str | None:
    if isinstance(value, VariableNode):
        return value.name.value
    return int(value.value) if isinstance(value, IntValueNode) else None


def _length(sizes: Sequence[int | str], variables: Mapping[str, object]) -> int:
    """The things in a list; what is no size of one is refused by whoever carries the operation out."""
    given = [variables.get(size) if isinstance(size, str) else size for size in sizes]
    numbers = [number for number in given if isinstance(number, int | float)]
    return int(min(max(*numbers, 0), MAX_PAGE)) if numbers else DEFAULT_PAGE
