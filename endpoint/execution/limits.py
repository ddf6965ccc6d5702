"""
How large an operation may be (what it may cost is in `endpoint.execution.cost`).

It is measured before it is validated, with what its fragments stand for; each fragment is looked at once.
"""

import json
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    TokenKind,
)
from graphql.language.parser import Parser, nested_too_deeply_error
from msgspec import Struct

from endpoint.execution.slim import unlink

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

MAX_ERRORS = 5
"""What is wrong with a document, or with its variables, is told up to so many times."""

MAX_VALUES = 10_000
"""Maximum number of values in an operation's variables: twenty times what the largest service has."""

MAX_MARKS = 30_000
"""Maximum number of strings, commas and opening brackets in a request's JSON, outside of its strings."""

MAX_NAME = 256
"""Maximum length of an operation's name in a request, in characters."""

MAX_LEVELS = 20
"""Maximum nesting of an operation's variables, in levels."""

MAX_STRING = 100_000
"""Maximum length of a string in the variables, in characters; a pipeline's document has a limit of its own."""

MANY = 10**9
"""More is not told: some documents are the size of a number with a hundred digits."""

ADVICE = "ask for less, or in several operations"

TOO_MANY_MARKS = (
    f"The request may have {MAX_MARKS:,} strings, commas and brackets: ask for less, or in several operations"
)

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)  # or what is left, if it has no end

Fragments = dict[str, FragmentDefinitionNode]
Place = tuple[str, ...]


class TooManyMarks(json.JSONDecodeError):
    """A request's JSON has more in it than any request needs."""

    def __init__(self) -> None:
        super().__init__(TOO_MANY_MARKS, "", 0)


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
        raise exceeding("TOO_MANY_CHARACTERS", may, "has", MAX_CHARACTERS, len(query), advice)
    try:
        document = _parse(query)
    except GraphQLSyntaxError as fault:
        if "tokens" not in fault.description:
            raise
        told = f"A document may have {MAX_TOKENS:,} tokens; this one has more: {ADVICE}."
        raise GraphQLError(told, extensions={"code": "TOO_MANY_TOKENS", "limit": MAX_TOKENS}) from None
    digits = _longest_number(document)
    if digits > MAX_DIGITS:  # Python refuses to read one of some thousands, wherever it is met
        may = f"A whole number in a document may have {MAX_DIGITS} digits"
        raise exceeding("TOO_MANY_DIGITS", may, "has", MAX_DIGITS, digits, "give a smaller one")
    return document


def _parse(query: str) -> DocumentNode:
    """As `parse` of graphql-core 3.3.2, but the tokens of what is no document are not left to a collection."""
    parser = Parser(query, max_tokens=MAX_TOKENS)
    try:
        return parser.parse_document()
    except RecursionError:
        fault = nested_too_deeply_error(parser)
    except GraphQLSyntaxError as error:
        fault = error
    unlink(parser._lexer.token)
    try:
        raise fault
    finally:
        del fault  # or it would hold on to this frame, which holds on to it


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
    for each in [*operations(document), *fragments.values()]:
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
    found: Counter[Place] = Counter()
    waiting: list[tuple[SelectionSetNode, Place, frozenset[str]]] = [(selected, (), frozenset())]
    while waiting:
        selected, place, within = waiting.pop()
        for node in selected.selections:
            if isinstance(node, FieldNode):
                here = (*place, node.alias.value if node.alias else node.name.value)
                found[here] += 1
                if node.selection_set is not None:
                    waiting.append((node.selection_set, here, within))
            elif isinstance(node, InlineFragmentNode):
                waiting.append((node.selection_set, place, within))
            elif isinstance(node, FragmentSpreadNode) and node.name.value in fragments.keys() - within:
                fragment = fragments[node.name.value]
                waiting.append((fragment.selection_set, place, within | {node.name.value}))
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
            yield exceeding(code, f"An operation may have {limit:,} {what}", "has", limit, actual, ADVICE)


def _too_often(repeated: tuple[str, int]) -> Iterator[GraphQLError]:
    place, often = repeated
    if often > MAX_REPEATS:
        may = f"An operation may have {MAX_REPEATS} times the same field ({place})"
        yield exceeding("TOO_MANY_REPEATS", may, "has", MAX_REPEATS, often, "ask for each field once")


def variables_exceeded(variables: Mapping[str, object], documents: Container[object]) -> list[GraphQLError]:
    """What is too large in *variables*, looked at before they are coerced; *documents* names those with documents."""
    level = [value for name, value in variables.items() if not (name in documents and isinstance(value, str))]
    values = 0
    for _ in range(MAX_LEVELS):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below += value
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and len(value) > MAX_STRING:
                may = f"A string in the variables may have {MAX_STRING:,} characters"
                return [exceeding("STRING_TOO_LONG", may, "has", MAX_STRING, len(value), "give a shorter one")]
            if values + len(level) + len(below) > MAX_VALUES:
                told = f"The variables may have {MAX_VALUES:,} values; these have more: {ADVICE}."
                return [GraphQLError(told, extensions={"code": "TOO_MANY_VALUES", "limit": MAX_VALUES})]
        if not below:
            return []
        values += len(level)
        level = below
    told = f"The variables may be nested {MAX_LEVELS} levels deep; these are deeper: nest them less."
    return [GraphQLError(told, extensions={"code": "VARIABLES_TOO_DEEP", "limit": MAX_LEVELS})]


def has_too_many_marks(text: bytes) -> bool:
    """Whether the JSON *text* has more than `MAX_MARKS`, which is seen before anything is made of it."""
    if _marks(text, 0, len(text)) <= MAX_MARKS:
        return False
    found = place = 0
    while found <= MAX_MARKS and (start := text.find(b'"', place)) >= 0:
        string = _STRING.match(text, start)
        assert string is not None, "it begins with a quotation mark"
        found += 1 + _marks(text, place, start)
        place = string.end()
    return found + _marks(text, place, len(text)) > MAX_MARKS


def _marks(text: bytes, start: int, end: int) -> int:
    return sum(text.count(mark, start, end) for mark in (b",", b"[", b"{"))


def fragments_of(document: DocumentNode) -> Fragments:
    return {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}


def operations(document: DocumentNode) -> Iterator[OperationDefinitionNode]:
    return (each for each in document.definitions if isinstance(each, OperationDefinitionNode))


def exceeding(code: str, may: str, does: str, limit: int, actual: int, advice: str) -> GraphQLError:
    told = f"{actual:,}" if actual < MANY else f"more than {MANY:,}"
    return GraphQLError(
        f"{may}; this one {does} {told}: {advice}.",
        extensions={"code": code, "limit": limit, "actual": min(actual, MANY)},
    )
