"""
Limits of the size of an operation; its cost is limited in `endpoint.execution.cost`.

The size is measured before validation, with fragments expanded; each fragment is visited once.
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
"""Maximum length of a document, in characters; long texts belong in the variables."""

MAX_TOKENS = 2000
"""Maximum number of tokens of a document: ten times the largest query of the project's own clients."""

MAX_DIGITS = 100
"""Maximum length of an integer literal, in digits; the largest valid one has ten."""

MAX_SELECTIONS = 1500
"""Maximum number of fields and fragments of an operation, counted at each use: all of a diff takes 1,100."""

MAX_DEPTH = 20
"""Maximum nesting of fields, in levels: the introspection of graphql-js has 15, the schema fewer."""

MAX_ALIASES = 100
"""Maximum number of aliases of an operation."""

MAX_DIRECTIVES = 100
"""Maximum number of directives of an operation."""

MAX_REPEATS = 50
"""Maximum number of selections of one response key at one place; one fragment for each kind of event stays below."""

MAX_ERRORS = 5
"""Maximum number of reported errors of a document, or of its variables."""

MAX_VALUES = 10_000
"""Maximum number of values in an operation's variables: twenty times those of the largest service."""

MAX_MARKS = 30_000
"""Maximum number of strings, commas and opening brackets in the JSON of a request, outside of its strings."""

MAX_NAME = 256
"""Maximum length of an operation's name in a request, in characters."""

MAX_LEVELS = 20
"""Maximum nesting of an operation's variables, in levels."""

MAX_STRING = 100_000
"""Maximum length of a string in the variables, in characters; a pipeline document has a limit of its own."""

MANY = 10**9
"""Largest size that a message states: fragments can expand to numbers with a hundred digits."""

ADVICE = "request less, or use several operations"
"""Advice for an operation that is too large."""

TOO_MANY_MARKS = (
    f"The request may have at most {MAX_MARKS:,} strings, commas and brackets: request less, or use several operations"
)

_STRING = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL
)  # or up to the end, if the string is not closed

Fragments = dict[str, FragmentDefinitionNode]
Place = tuple[str, ...]


class TooManyMarks(json.JSONDecodeError):
    """The JSON of a request has more than `MAX_MARKS` strings, commas and brackets."""

    def __init__(self) -> None:
        super().__init__(TOO_MANY_MARKS, "", 0)


class Size(Struct):
    """The size of a selection set, with everything below it and fragments expanded."""

    selections: int = 0
    depth: int = 0
    aliases: int = 0
    directives: int = 0


def parse_document(query: str) -> DocumentNode:
    """Return the document of *query*; raises `GraphQLError` for a syntax error and for an exceeded limit."""
    if len(query) > MAX_CHARACTERS:
        may = f"A document may have at most {MAX_CHARACTERS:,} characters"
        advice = "send long texts as variables"
        raise limit_error("TOO_MANY_CHARACTERS", may, "has", MAX_CHARACTERS, len(query), advice)
    try:
        document = _parse(query)
    except GraphQLSyntaxError as fault:
        if "tokens" not in fault.description:
            raise
        message = f"A document may have at most {MAX_TOKENS:,} tokens; this one has more: {ADVICE}."
        raise GraphQLError(message, extensions={"code": "TOO_MANY_TOKENS", "limit": MAX_TOKENS}) from None
    digits = _longest_number(document)
    if digits > MAX_DIGITS:  # Python refuses to convert some thousands of digits
        may = f"An integer in a document may have at most {MAX_DIGITS} digits"
        raise limit_error("TOO_MANY_DIGITS", may, "has", MAX_DIGITS, digits, "use a smaller number")
    return document


def _parse(query: str) -> DocumentNode:
    """Parse like graphql-core 3.3.2, but leave no tokens of an invalid document to the garbage collector."""
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
        del fault  # the exception refers to this frame, and the frame to the exception


def _longest_number(document: DocumentNode) -> int:
    """Return the number of digits of the longest integer literal."""
    longest, token = 0, document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind is TokenKind.INT:
            longest = max(longest, len(token.value or ""))
        token = token.next
    return longest


def size_errors(document: DocumentNode) -> list[GraphQLError]:
    """Return the limits that an operation or an unused fragment of *document* exceeds; it need not be valid."""
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
    """Return the size of *selected*; *sizes* caches the sizes of fragments.

    Recurses at each level: `MAX_TOKENS` bounds the depth.
    """
    total = Size()
    for node in selected.selections:
        total.selections += 1
        total.directives += len(node.directives or ())
        below = Size()
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name not in sizes and name in fragments:
                sizes[name] = below  # for a fragment that spreads itself; validation reports it
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
    """Return the response path that is selected most often, and how often; *selected* must not be too large."""
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


def _too_large(measured: Size) -> Iterator[GraphQLError]:
    for code, actual, limit, what in (
        ("TOO_MANY_SELECTIONS", measured.selections, MAX_SELECTIONS, "fields and fragments, counted at each use"),
        ("TOO_DEEP", measured.depth, MAX_DEPTH, "levels of fields"),
        ("TOO_MANY_ALIASES", measured.aliases, MAX_ALIASES, "aliases"),
        ("TOO_MANY_DIRECTIVES", measured.directives, MAX_DIRECTIVES, "directives"),
    ):
        if actual > limit:
            yield limit_error(code, f"An operation may have at most {limit:,} {what}", "has", limit, actual, ADVICE)


def _too_often(repeated: tuple[str, int]) -> Iterator[GraphQLError]:
    place, often = repeated
    if often > MAX_REPEATS:
        may = f"An operation may have at most {MAX_REPEATS} selections of the same field ({place})"
        yield limit_error("TOO_MANY_REPEATS", may, "has", MAX_REPEATS, often, "select each field once")


def variable_errors(variables: Mapping[str, object], documents: Container[object]) -> list[GraphQLError]:
    """Return the limits that *variables* exceed, before they are coerced; *documents* names those with documents."""
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
                may = f"A string in the variables may have at most {MAX_STRING:,} characters"
                return [limit_error("STRING_TOO_LONG", may, "has", MAX_STRING, len(value), "shorten it")]
            if values + len(level) + len(below) > MAX_VALUES:
                message = f"The variables may have at most {MAX_VALUES:,} values; these have more: {ADVICE}."
                return [GraphQLError(message, extensions={"code": "TOO_MANY_VALUES", "limit": MAX_VALUES})]
        if not below:
            return []
        values += len(level)
        level = below
    message = f"The variables may be nested at most {MAX_LEVELS} levels deep; these are deeper: nest them less."
    return [GraphQLError(message, extensions={"code": "VARIABLES_TOO_DEEP", "limit": MAX_LEVELS})]


def has_too_many_marks(text: bytes) -> bool:
    """Whether the JSON *text* has more than `MAX_MARKS`; it is checked before it is decoded."""
    if _marks(text, 0, len(text)) <= MAX_MARKS:
        return False
    found = place = 0
    while found <= MAX_MARKS and (start := text.find(b'"', place)) >= 0:
        string = _STRING.match(text, start)
        assert string is not None, "the match starts at a quotation mark"
        found += 1 + _marks(text, place, start)
        place = string.end()
    return found + _marks(text, place, len(text)) > MAX_MARKS


def _marks(text: bytes, start: int, end: int) -> int:
    return sum(text.count(mark, start, end) for mark in (b",", b"[", b"{"))


def fragments_of(document: DocumentNode) -> Fragments:
    return {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}


def operations(document: DocumentNode) -> Iterator[OperationDefinitionNode]:
    return (each for each in document.definitions if isinstance(each, OperationDefinitionNode))


def limit_error(code: str, may: str, does: str, limit: int, actual: int, advice: str) -> GraphQLError:
    """Return the error of an exceeded limit: *may* states the limit, *advice* what to do."""
    size = f"{actual:,}" if actual < MANY else f"more than {MANY:,}"
    return GraphQLError(
        f"{may}; this one {does} {size}: {advice}.",
        extensions={"code": code, "limit": limit, "actual": min(actual, MANY)},
    )
