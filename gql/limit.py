"""
What an operation may ask for, at most.

Its size is measured before it is validated, with what its fragments stand for; each fragment is looked at once. What it
costs is known before it is carried out: the pages that it asks for, each as large as it may get.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    TokenKind,
    ValueNode,
    VariableNode,
    get_named_type,
    parse,
)
from msgspec import Struct

from gql.connection import DEFAULT_PAGE, MAX_PAGE

MAX_CHARACTERS = 100_000
"""Of a document, whatever they are; what is long has its place in the variables."""

MAX_TOKENS = 2000
"""Tokens of one document: ten times what the largest query of our own clients has."""

MAX_DIGITS = 100
"""Of a whole number; the largest that means anything has ten."""

MAX_SELECTIONS = 1000
"""Fields and fragments, each as often as it is asked for."""

MAX_DEPTH = 20
"""Levels of fields: the introspection of graphql-js has 15, the deepest path in our own schema fewer."""

MAX_ALIASES = 100

MAX_DIRECTIVES = 100

MAX_REPEATS = 50
"""How often one field may be asked for at one place of the answer; a fragment for each kind of event is below it."""

MAX_COST = 10_000
"""About three pages of 500 things, with everything that is to be known of them."""

MAX_ERRORS = 5
"""What is wrong with a document is told up to so many times."""

MANY = 10**9
"""More is not told: some documents are the size of a number with a hundred digits."""

ADVICE = "ask for less, or in several operations"

Fragments = dict[str, FragmentDefinitionNode]


class Size(Struct):
    """How much a set of selections is, with all below it and what its fragments stand for."""

    selections: int = 0
    depth: int = 0
    aliases: int = 0
    directives: int = 0


def parsed(query: str) -> DocumentNode:
    """The document; raises `GraphQLError` for what is too long, and for what is none."""
    if len(query) > MAX_CHARACTERS:
        may = f"A document may have {MAX_CHARACTERS:,} characters"
        advice = "give what is long as a variable"
        raise _exceeded("TOO_MANY_CHARACTERS", may, "has", MAX_CHARACTERS, len(query), advice)
    try:
        document = parse(query, max_tokens=MAX_TOKENS)
    except GraphQLSyntaxError as fault:
        if "tokens" not in fault.description:
            raise
        told = f"A document may have {MAX_TOKENS:,} tokens; this one has more: {ADVICE}."
        raise GraphQLError(told, extensions={"code": "TOO_MANY_TOKENS", "limit": MAX_TOKENS}) from None
    digits = _longest_number(document)
    if digits > MAX_DIGITS:  # Python refuses to read one of some thousands, wherever it is met
        may = f"A whole number in a document may have {MAX_DIGITS} digits"
        raise _exceeded("TOO_MANY_DIGITS", may, "has", MAX_DIGITS, digits, "give a smaller one")
    return document


def _longest_number(document: DocumentNode) -> int:
    """The length of the longest whole number in it."""
    longest, token = 0, document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind is TokenKind.INT:
            longest = max(longest, len(token.value or ""))
        token = token.next
    return longest


def exceeded(document: DocumentNode) -> list[GraphQLError]:
    """What is too large in one of the operations of *document*, which need not be valid, or in an unused fragment."""
    fragments = fragments_of(document)
    sizes: dict[str, Size] = {}
    for each in [*_operations(document), *fragments.values()]:
        if isinstance(each, FragmentDefinitionNode) and each.name.value in sizes:
            continue
        errors = list(_too_large(size(each.selection_set, fragments, sizes)))
        errors = errors or list(_too_often(repeats(each.selection_set, fragments)))
        if errors:
            return errors
    return []


def size(selected: SelectionSetNode, fragments: Fragments, sizes: dict[str, Size]) -> Size:
    """The size of *selected*; *sizes* are those of the fragments that are known already.

    It calls itself for each level: the parser sees to it that there are no more than a document's tokens allow.
    """
    total = Size()
    for node in selected.selections:
        total.selections += 1
        total.directives += len(node.directives or ())
        below = Size()
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name not in sizes and name in fragments:
                sizes[name] = below  # for a fragment in itself, which is for the validation to find
                sizes[name] = size(fragments[name].selection_set, fragments, sizes)
            below = sizes.get(name, below)
            total.depth = max(total.depth, below.depth)
        elif isinstance(node, InlineFragmentNode):
            below = size(node.selection_set, fragments, sizes)
            total.depth = max(total.depth, below.depth)
        elif isinstance(node, FieldNode):
            total.aliases += node.alias is not None
            if node.selection_set is not None:
                below = size(node.selection_set, fragments, sizes)
            total.depth = max(total.depth, 1 + below.depth)
        total.selections += below.selections
        total.aliases += below.aliases
        total.directives += below.directives
    return total


def repeats(selected: SelectionSetNode, fragments: Fragments) -> tuple[str, int]:
    """The place in the answer that is asked for most often, and how often; for what isn't too large."""
    found: Counter[tuple[str, ...]] = Counter()

    def count(selected: SelectionSetNode, place: tuple[str, ...], within: frozenset[str]) -> None:
        for node in selected.selections:
            if isinstance(node, FieldNode):
                here = (*place, node.alias.value if node.alias else node.name.value)
                found[here] += 1
                if node.selection_set is not None:
                    count(node.selection_set, here, within)
            elif isinstance(node, InlineFragmentNode):
                count(node.selection_set, place, within)
            elif isinstance(node, FragmentSpreadNode) and node.name.value in fragments.keys() - within:
                count(fragments[node.name.value].selection_set, place, within | {node.name.value})

    count(selected, (), frozenset())
    ((most, often),) = found.most_common(1) or (((), 0),)
    return ".".join(most), often


def _too_large(asked: Size) -> Iterator[GraphQLError]:
    for code, actual, limit, what in (
        ("TOO_MANY_SELECTIONS", asked.selections, MAX_SELECTIONS, "fields and fragments, each as often as it is used"),
        ("TOO_DEEP", asked.depth, MAX_DEPTH, "levels of fields"),
        ("TOO_MANY_ALIASES", asked.aliases, MAX_ALIASES, "aliases"),
        ("TOO_MANY_DIRECTIVES", asked.directives, MAX_DIRECTIVES, "directives"),
    ):
        if actual > limit:
            yield _exceeded(code, f"An operation may have {limit:,} {what}", "has", limit, actual, ADVICE)


def _too_often(repeated: tuple[str, int]) -> Iterator[GraphQLError]:
    place, often = repeated
    if often > MAX_REPEATS:
        may = f"An operation may have {MAX_REPEATS} times the same field ({place})"
        yield _exceeded("TOO_MANY_REPEATS", may, "has", MAX_REPEATS, often, "ask for each field once")


class Connection(Struct, frozen=True):
    """One list in pages: how many levels are asked of each thing, and by what the pages around it and its own are cut.

    Each page is what stands in `first` and `last`: numbers, or names of variables.
    """

    depth: int
    pages: tuple[tuple[int | str, ...], ...]


class Cost(Struct, frozen=True):
    """What an operation costs, once its variables are known."""

    connections: tuple[Connection, ...]
    defaults: Mapping[str, object]

    def of(self, variables: Mapping[str, object]) -> int:
        """The things on each page that is asked for, times the levels of fields that are asked of each."""
        given = {**self.defaults, **variables}
        return sum(each.depth * prod(_page(page, given) for page in each.pages) for each in self.connections)

    def exceeded(self, variables: Mapping[str, object]) -> list[GraphQLError]:
        cost = self.of(variables) if self.connections else 0
        if cost <= MAX_COST:
            return []
        may = f"An operation may cost {MAX_COST:,} (the things on its pages, times the levels of fields asked of each)"
        advice = "ask for smaller pages, or in several operations"
        return [_exceeded("QUERY_TOO_EXPENSIVE", may, "costs", MAX_COST, cost, advice)]


def costs(schema: GraphQLSchema, document: DocumentNode) -> dict[str | None, Cost]:
    """What the operations of a valid document cost, by their names."""
    fragments = fragments_of(document)
    return {
        operation.name.value if operation.name else None: _cost(schema, operation, fragments)
        for operation in _operations(document)
    }


def _cost(schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Fragments) -> Cost:
    connections: list[Connection] = []

    def levels(type_: GraphQLNamedType | None, selected: SelectionSetNode, around: tuple[Any, ...]) -> int:
        """How deep *selected* is; notes the connections in it."""
        deepest = 0
        for node in selected.selections:
            if isinstance(node, FieldNode):
                field = _field(type_, node.name.value)
                pages = (*around, _sizes(node)) if field is not None and _is_paged(field) else around
                below = get_named_type(field.type) if field is not None else None
                depth = levels(below, node.selection_set, pages) if node.selection_set else 0
                if pages is not around:
                    connections.append(Connection(depth, pages))
                depth += 1
            else:
                assert isinstance(node, FragmentSpreadNode | InlineFragmentNode)
                fragment = fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
                about = fragment.type_condition
                meant = schema.type_map[about.name.value] if about is not None else type_
                depth = levels(meant, fragment.selection_set, around)
            deepest = max(deepest, depth)
        return deepest

    levels(schema.get_root_type(operation.operation), operation.selection_set, ())
    defaults = {
        each.variable.name.value: int(each.default_value.value)
        for each in operation.variable_definitions or ()
        if isinstance(each.default_value, IntValueNode)
    }
    return Cost(tuple(connections), defaults)


def _field(type_: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    """None for introspection, which has no pages."""
    return type_.fields.get(name) if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) else None


def _is_paged(field: GraphQLField) -> bool:
    return "first" in field.args


def _sizes(node: FieldNode) -> tuple[int | str, ...]:
    given = (each.value for each in node.arguments or () if each.name.value in ("first", "last"))
    return tuple(size for value in given if (size := _size_of(value)) is not None)


def _size_of(value: ValueNode) -> int | str | None:
    if isinstance(value, VariableNode):
        return value.name.value
    return int(value.value) if isinstance(value, IntValueNode) else None


def _page(sizes: Sequence[int | str], variables: Mapping[str, object]) -> int:
    """The things on a page; what is no size of one is refused by whoever carries the operation out."""
    given = [variables.get(size) if isinstance(size, str) else size for size in sizes]
    numbers = [number for number in given if isinstance(number, int | float)]
    return int(min(max(*numbers, 0), MAX_PAGE)) if numbers else DEFAULT_PAGE


def fragments_of(document: DocumentNode) -> Fragments:
    return {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}


def _operations(document: DocumentNode) -> Iterator[OperationDefinitionNode]:
    return (each for each in document.definitions if isinstance(each, OperationDefinitionNode))


def _exceeded(code: str, may: str, does: str, limit: int, actual: int, advice: str) -> GraphQLError:
    told = f"{actual:,}" if actual < MANY else f"more than {MANY:,}"
    return GraphQLError(
        f"{may}; this one {does} {told}: {advice}.",
        extensions={"code": code, "limit": limit, "actual": min(actual, MANY)},
    )
