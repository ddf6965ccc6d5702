"""
From a GraphQL document to Python: for each object that it selects from, one function that makes its part of an answer.

What it makes looks like this, with the constants (`text`, `names_2`, …) as its globals:

    def object_3(value):
        return {'id': text(value.id), 'type': names_2[value.type], 'isSkipped': truth(value.is_skipped)}

Compiled are fields that are plain attributes. A value that isn't quite of its field's type raises something, be it
`Doubt` or what Python raises: graphql-core then has to say what it comes to.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import count
from math import isfinite
from typing import Any

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
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
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    type_from_ast,
    visit,
)
from msgspec import Struct

TURN = 0.005
"""Seconds that an answer is worked on before others may go on."""

DEFINITION = "strawberry-definition"

INT = 2**31


class Unsupported(Exception):
    """The document has something that isn't compiled."""


class Doubt(Exception):
    """Something is not as it was expected to be."""


class Root(Struct, frozen=True):
    """A root field; *make* makes its part of the answer of what its resolver gives."""

    key: str
    field: GraphQLField
    nodes: list[FieldNode]
    make: Callable[[Any], Awaitable[Any]]


def roots(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    conditions: Mapping[str, object],
) -> tuple[Root, ...]:
    """The root fields of a valid document, when the variables in @skip and @include are *conditions*.

    Raises `Unsupported`.
    """
    return _Compiler(schema, document, conditions).roots(operation)


def conditions(document: DocumentNode) -> frozenset[str]:
    """The names of the variables in the document's @skip and @include."""
    visitor = _Conditions()
    visit(document, visitor)
    return frozenset(visitor.names)


class _Conditions(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        given = (each.value for each in node.arguments or ())
        self.names.update(each.name.value for each in given if isinstance(each, VariableNode))


class _Compiler:
    """*_names* are the globals of the generated functions."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, conditions: Mapping[str, object]) -> None:
        self._schema = schema
        self._conditions = conditions
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._names: dict[str, Any] = {"Doubt": Doubt, "listed": _listed, "each_in_turn": _each_in_turn}
        self._source: list[str] = []
        self._numbers = count(1)

    def roots(self, operation: OperationDefinitionNode) -> tuple[Root, ...]:
        query = self._schema.query_type
        assert query is not None
        made = []
        for key, nodes in self._fields(query, [operation.selection_set]).items():
            field = query.fields.get(nodes[0].name.value)
            if field is None or field.resolve is None:  # introspection, and __typename
                raise Unsupported
            name = self._named("root")
            value = self._value(field.type, "value", nodes, is_spine=True)
            self._source.append(f"async def {name}(value):\n    return {value}\n")
            made.append((key, field, nodes, name))
        exec(compile("\n".join(self._source), "<document>", "exec"), self._names)
        return tuple(Root(key, field, nodes, self._names[name]) for key, field, nodes, name in made)

    def _fields(self, type_: GraphQLObjectType, sets: Iterable[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """What is selected from an object of *type_*, by response key."""
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()

        def collect(nodes: Sequence[SelectionNode]) -> None:
            for node in nodes:
                if not self._is_included(node):
                    continue
                if isinstance(node, FieldNode):
                    key = node.alias.value if node.alias else node.name.value
                    found.setdefault(key, []).append(node)
                    continue
                fragment: FragmentDefinitionNode | InlineFragmentNode
                if isinstance(node, FragmentSpreadNode):
                    if node.name.value in spread:
                        continue
                    spread.add(node.name.value)
                    fragment = self._fragments[node.name.value]
                else:
                    assert isinstance(node, InlineFragmentNode)
                    fragment = node
                if self._is_about(fragment, type_):
                    collect(fragment.selection_set.selections)

        for each in sets:
            collect(each.selections)
        return found

    def _is_included(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            name = directive.name.value
            if name not in ("skip", "include"):
                raise Unsupported
            given = directive.arguments[0].value if directive.arguments else None
            if isinstance(given, VariableNode):
                is_met = self._conditions[given.name.value]
            else:
                is_met = given.value if isinstance(given, BooleanValueNode) else None
            if not isinstance(is_met, bool):
                raise Unsupported
            if is_met is (name == "skip"):
                return False
        return True

    def _is_about(self, fragment: FragmentDefinitionNode | InlineFragmentNode, type_: GraphQLObjectType) -> bool:
        if fragment.type_condition is None:
            return True
        wanted = type_from_ast(self._schema, fragment.type_condition)
        if wanted is type_:
            return True
        return isinstance(wanted, GraphQLInterfaceType | GraphQLUnionType) and self._schema.is_sub_type(wanted, type_)

    def _value(self, type_: GraphQLOutputType, value: str, nodes: list[FieldNode], *, is_spine: bool = False) -> str:
        """An expression that makes its part of the answer of *value*, an expression for what a field gives.

        On the *spine*, from the root to the items of the first lists, others have their turn in between.
        """
        if not isinstance(type_, GraphQLNonNull):
            held = self._named("held")
            made = self._value(GraphQLNonNull(type_), held, nodes, is_spine=is_spine)
            return f"(None if ({held} := {value}) is None else {made})"
        match type_.of_type:
            case GraphQLList() as inner:
                return self._list(inner.of_type, value, nodes, is_spine=is_spine)
            case GraphQLObjectType() as inner:
                call = f"{self._object(inner, nodes, is_spine=is_spine)}({value})"
                return f"await {call}" if is_spine else call
            case GraphQLInterfaceType() | GraphQLUnionType() as inner:
                return f"{self._abstract(inner, nodes)}({value})"
            case inner:
                return self._leaf(inner, value)

    def _list(self, type_: GraphQLOutputType, value: str, nodes: list[FieldNode], *, is_spine: bool) -> str:
        item = self._named("item")
        made = self._value(type_, item, nodes)
        if not is_spine:
            return f"[{made} for {item} in listed({value})]"
        return f"await each_in_turn(lambda {item}: {made}, listed({value}))"

    def _leaf(self, type_: GraphQLLeafType, value: str) -> str:
        if isinstance(type_, GraphQLEnumType):
            return f"{self._constant(f'names_of_{type_.name}', _names(type_))}[{value}]"
        make = LEAVES.get(type_.name) or _scalar(type_.coerce_output_value)
        return f"{self._constant(f'as_{type_.name}', make)}({value})"

    def _object(self, type_: GraphQLObjectType, nodes: list[FieldNode], *, is_spine: bool = False) -> str:
        """The name of a function that makes an object's part of the answer."""
        parts = []
        sets = [node.selection_set for node in nodes if node.selection_set]
        for key, own in self._fields(type_, sets).items():
            name = own[0].name.value
            if name == "__typename":
                parts.append(f"{key!r}: {type_.name!r}")
                continue
            field = type_.fields[name]
            if not getattr(field.resolve, "_is_default", False):
                raise Unsupported
            attribute = field.extensions[DEFINITION].python_name
            value = self._value(field.type, f"value.{attribute}", own, is_spine=is_spine)
            parts.append(f"{key!r}: {value}")
        name = self._named("object")
        check = ""
        if type_.is_type_of is not None:
            kind = self._constant(f"class_of_{type_.name}", type_.extensions[DEFINITION].origin)
            check = f"    if type(value) is not {kind}:\n        raise Doubt\n"
        keyword = "async def" if is_spine else "def"
        self._source.append(f"{keyword} {name}(value):\n{check}    return {{{', '.join(parts)}}}\n")
        return name

    def _abstract(self, type_: GraphQLInterfaceType | GraphQLUnionType, nodes: list[FieldNode]) -> str:
        """The name of a function that makes an object's part, whichever of the possible types it is of."""
        makes = {}
        for possible in self._schema.get_possible_types(type_):
            definition = possible.extensions[DEFINITION]
            if definition.concrete_of is not None or definition.is_graphql_generic:
                raise Unsupported
            makes[definition.origin] = self._object(possible, nodes)
        kinds = ", ".join(f"{self._constant(f'class_{kind.__name__}', kind)}: {make}" for kind, make in makes.items())
        name = self._named("any")
        self._source.append(f"{name}_of = {{{kinds}}}\n")
        self._source.append(f"def {name}(value):\n    return {name}_of[type(value)](value)\n")
        return name

    def _named(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def _constant(self, name: str, value: object) -> str:
        self._names[name] = value
        return name


def _listed(value: object) -> Sequence[Any]:
    if type(value) is list or type(value) is tuple:
        return value
    raise Doubt


async def _each_in_turn(make: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    made, begun = [], time.perf_counter()
    for value in values:
        made.append(make(value))
        if time.perf_counter() - begun > TURN:
            await asyncio.sleep(0)
            begun = time.perf_counter()
    return made


def _text(value: object) -> str:
    if type(value) is str:
        return value
    raise Doubt


def _integer(value: object) -> int:
    if type(value) is int and -INT <= value < INT:
        return value
    raise Doubt


def _number(value: object) -> float:
    if type(value) is float and isfinite(value):
        return value
    raise Doubt


def _truth(value: object) -> bool:
    if type(value) is bool:
        return value
    raise Doubt


LEAVES: dict[str, Callable[[Any], Any]] = {
    "Boolean": _truth,
    "Float": _number,
    "ID": _text,
    "Int": _integer,
    "String": _text,
}


def _scalar(serialize: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def scalar(value: object) -> Any:
        made = serialize(value)
        if made is None:
            raise Doubt
        return made

    return scalar


def _names(type_: GraphQLEnumType) -> dict[Enum, str]:
    """The members' names, the first where several are the same."""
    members = getattr(type_, "wrapped_cls", None)
    if members is None:
        raise Unsupported
    names: dict[Enum, str] = {}
    for name, value in type_.values.items():
        names.setdefault(members(value.value), name)
    return names
