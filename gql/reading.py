"""
Documents are read and validated once, for as long as they are among those that are asked.

Reading takes up to a hundred times as long as carrying out what was read. What is wrong with a document, and what its
operations cost, stays the same with it. The limits that a document has to keep (see `gql.limit`) are looked at first,
and those that are wrong, or very long, have a place of their own: so none pushes out those that are asked again.

A document is kept without its tokens, which are needed only to read it: they take most of its memory, and refer to
each other in a circle, which only a collection of garbage would free. What is left is a tree, in which no collection
looks for garbage. Errors are kept apart from what raised them.
"""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import msgspec
from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NameNode,
    Node,
    SelectionSetNode,
    Token,
    TokenKind,
    ValidationContext,
    get_operation_ast,
    specified_rules,
    validate,
)
from graphql import OperationType as CoreOperationType
from msgspec import Struct
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType

from gql import cost, limit
from store.cache import Cache

MAX_KEPT = 20_000
"""Characters of the longest document that is kept for when it is asked again."""

MAX_FOLLOWED = 16 * 1024
"""Maximum size of a subscription's variables, in bytes of JSON: they are held for as long as it is open."""

GOOD_BYTES = 8 * 1024 * 1024
"""Maximum size of the valid documents that are kept, in bytes: about 500 of a client's usual size."""

OTHER_BYTES = 8 * 1024 * 1024
"""Maximum size of the documents that are kept while they are answered, being invalid or very long, in bytes."""

NODE = 300
"""Size of a kept document's node, in bytes, as measured with its place in the text."""

ERROR = 1000
"""Size of a kept error, in bytes, beside the text that it is about."""

QUICK = 1000
"""Characters of a document that is read so soon (in less than about 10 ms) that others can wait for it."""


class Read(Struct, frozen=True):
    """A document that was read, what is wrong with it, and what its operations cost, by their names.

    *weight* is its size in bytes, with its text.
    """

    document: DocumentNode
    errors: Sequence[GraphQLError]
    costs: Mapping[str | None, cost.Cost]
    weight: int

    def exceeded(self, operation_name: object, variables: object) -> list[GraphQLError]:
        """Why the operation that is meant costs too much; nothing if it doesn't, or if it isn't clear what is meant."""
        meant = self._meant(operation_name)
        if meant is None:
            return []
        given = variables if isinstance(variables, dict) else {}
        return meant.exceeded(given) or (self._held_too_much(given) if self.follows(operation_name) else [])

    def follows(self, operation_name: object) -> bool:
        """Whether a subscription is meant."""
        meant = self._meant(operation_name)
        if meant is None or meant.is_query:
            return False
        operation = get_operation_ast(self.document, operation_name if isinstance(operation_name, str) else None)
        return operation is not None and operation.operation is CoreOperationType.SUBSCRIPTION

    def _held_too_much(self, variables: dict[str, object]) -> list[GraphQLError]:
        """Why a subscription would hold too much for as long as it is open."""
        size = len(msgspec.json.encode(variables))
        length = len(self.document.loc.source.body) if self.document.loc is not None else 0
        errors = []
        if size > MAX_FOLLOWED:
            may = f"The variables of a subscription may have {MAX_FOLLOWED:,} bytes of JSON"
            errors.append(limit.exceeding("TOO_LARGE", may, "has", MAX_FOLLOWED, size, "subscribe with fewer values"))
        if length > MAX_KEPT:
            may = f"The document of a subscription may have {MAX_KEPT:,} characters"
            advice = "ask for less, or subscribe with several documents"
            errors.append(limit.exceeding("TOO_MANY_CHARACTERS", may, "has", MAX_KEPT, length, advice))
        return errors

    def is_long(self, operation_name: object, variables: object) -> bool:
        """Whether it is clear that a query is meant, and that others are not to wait for it."""
        meant = self._meant(operation_name)
        return meant is not None and meant.is_long(variables if isinstance(variables, dict) else {})

    def awaited(self, operation_name: object, variables: object) -> list[str]:
        """The cursors that the operation that is meant waits for."""
        meant = self._meant(operation_name)
        return [] if meant is None else meant.awaited(variables if isinstance(variables, dict) else {})

    def _meant(self, operation_name: object) -> cost.Cost | None:
        if operation_name is None:
            return next(iter(self.costs.values()), None)
        return self.costs.get(operation_name) if isinstance(operation_name, str) else None


class Documents(SchemaExtension):
    """Reads and validates a document once, for as long as it is among those that are asked."""

    def on_operation(self) -> Iterator[None]:
        self._errors: Sequence[GraphQLError] = ()
        yield

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        known = read(context.query or "")
        context.graphql_document, self._errors = known.document, known.errors
        name = context._provided_operation_name
        if not self._errors and name is None and len(known.costs) > 1:  # strawberry would carry out the first
            self._errors = [GraphQLError("Must provide operation name if query contains multiple operations.")]
        self._errors = self._errors or known.exceeded(name, context.variables)
        yield

    def on_validate(self) -> Iterator[None]:
        self.execution_context.pre_execution_errors = list(self._errors)
        yield


_good: Cache[str, Read | GraphQLError] = Cache(GOOD_BYTES)
_others: Cache[str, Read | GraphQLError] = Cache(OTHER_BYTES)


def read(query: str) -> Read:
    """A document, and what is wrong with it; raises `GraphQLError` if it can't even be parsed."""
    known = _find(query)
    if known is None:
        known = _keep(query, _read(query))
    if isinstance(known, GraphQLError):
        raise _apart(known)  # what is raised keeps the frames that it came through, with all that is in them
    return known


def keep_none() -> None:
    """From now on every document is read each time that it is looked at."""
    for each in (_good, _others):
        each.limit = 0
        each.clear()


async def ready(query: str) -> None:
    """Has a document that takes long read in a thread; then `read` knows it."""
    if len(query) > QUICK and _find(query) is None:
        _keep(query, await asyncio.to_thread(_read, query))


def changes(query: str, operation_name: str | None) -> bool:
    """Whether a mutation is meant."""
    try:
        operation = get_operation_ast(read(query).document, operation_name)
    except GraphQLError:
        return False
    return operation is not None and operation.operation.value == OperationType.MUTATION.value


def _find(query: str) -> Read | GraphQLError | None:
    return _good.get(query) or _others.get(query)


def _keep(query: str, known: Read | GraphQLError) -> Read | GraphQLError:
    is_good = isinstance(known, Read) and not known.errors and len(query) <= MAX_KEPT
    weight = known.weight if isinstance(known, Read) else sys.getsizeof(query) + ERROR
    (_good if is_good else _others).put(query, known, weight)
    return known


def _read(query: str) -> Read | GraphQLError:
    try:
        document = limit.parsed(query)
    except GraphQLError as fault:
        return _apart(fault)
    from gql.schema import schema  # which is made of this module, too

    errors = limit.exceeded(document) or _invalid(schema._schema, document)
    costs = {} if errors else cost.costs(schema._schema, document)
    nodes = _slimmed(document)
    weight = sys.getsizeof(query) + nodes * NODE + len(errors) * ERROR
    return Read(document, [_apart(each) for each in errors], costs, weight)


def _invalid(schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
    """What is invalid in *document*. The rules that looked at it are emptied: they refer to each other in circles."""
    used: list[ASTValidationRule] = []

    def use(rule: type[ASTValidationRule], context: ValidationContext) -> ASTValidationRule:
        used.append(rule(context))
        return used[-1]

    rules = cast("Collection[type[ASTValidationRule]]", [partial(use, rule) for rule in specified_rules])
    try:
        return validate(schema, document, rules, max_errors=limit.MAX_ERRORS)
    finally:
        for rule in used:
            vars(rule.context).clear()
        for rule in used:
            vars(rule).clear()


def _apart(error: GraphQLError) -> GraphQLError:
    """The same error, which holds on to nothing but the text that it is about."""
    return GraphQLError(
        error.message,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=error.extensions,
    )


def _slimmed(document: DocumentNode) -> int:
    """Take the tokens from *document*, and what only they need; return the number of its nodes.

    Its nodes keep their places, which errors name, but for names: those are the same node wherever they are met.
    """
    token = document.loc.start_token if document.loc is not None else None
    while token is not None:
        token.prev, token.next, token = None, None, token.next
    names: dict[str, NameNode] = {}
    waiting: list[Node] = [document]
    count = 0
    while waiting:
        node = waiting.pop()
        count += 1
        if isinstance(node, SelectionSetNode):
            _set(node, "loc", None)
        elif node.loc is not None:
            node.loc.start_token = node.loc.end_token = NOWHERE
            node.loc.end = node.loc.start
        for name in node.keys:  # not `vars`, which would make a dictionary for each node
            part = getattr(node, name)
            if isinstance(part, NameNode):
                if part.value not in names:
                    names[part.value] = part
                    _set(part, "loc", None)
                _set(node, name, names[part.value])
            elif isinstance(part, Node):
                waiting.append(part)
            elif isinstance(part, tuple):
                waiting += part
                _untrack(part)
        _untrack(node)
        _untrack(node.loc)
    for each in names.values():
        _untrack(each)
    return count + len(names)


_set = object.__setattr__  # nodes are frozen


def _untrack(part: object) -> None:
    """Tell Python not to look for garbage here: to look at the 50,000 objects of slim documents would take 50 ms."""
    if gc.is_tracked(part):
        _untrack_object(part)


_untrack_object = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("PyObject_GC_UnTrack", ctypes.pythonapi))

NOWHERE = Token(TokenKind.SOF, 0, 0, 0, 0)
"""Stands for the tokens of every kept document."""
