"""
Documents are read and validated once, for as long as they are among those that are asked.

Reading takes up to a hundred times as long as carrying out what was read. What is wrong with a document, and what its
operations cost, stays the same with it. Its limits (see `endpoint.execution.limits`) are looked at first,
and those that are wrong, or very long, have a place of their own: so none pushes out those that are asked again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from graphql import DocumentNode, GraphQLError, get_operation_ast, validate
from msgspec import Struct
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType

from endpoint.execution import cost, limits
from endpoint.http.admission import AT_ONCE

MAX_KEPT = 20_000
"""Characters of the longest document that is kept for when it is asked again."""

QUICK = 1000
"""Characters of a document that is read so soon (in less than about 10 ms) that others can wait for it."""


class Read(Struct, frozen=True):
    """A document that was read, what is wrong with it, and what its operations cost, by their names."""

    document: DocumentNode
    errors: Sequence[GraphQLError]
    costs: Mapping[str | None, cost.Cost]

    def exceeded(self, operation_name: object, variables: object) -> list[GraphQLError]:
        """Why the operation that is meant costs too much; nothing if it doesn't, or if it isn't clear what is meant."""
        meant = self._meant(operation_name)
        return [] if meant is None else meant.exceeded(variables if isinstance(variables, dict) else {})

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


class Kept:
    """The *most* documents that were read last, or why they can't be. Long queries look among them in their thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: OrderedDict[str, Read | GraphQLError] = OrderedDict()

    def find(self, query: str) -> Read | GraphQLError | None:
        known = self._known.get(query)
        if known is not None:
            with suppress(KeyError):  # another thread has just let go of it
                self._known.move_to_end(query)
        return known

    def keep(self, query: str, known: Read | GraphQLError) -> None:
        self._known[query] = known
        if len(self._known) > self.most:
            self._known.popitem(last=False)


_good = Kept(256)
_others = Kept(4 * AT_ONCE)  # what is wrong or very long is kept for as long as it is answered


def read(query: str) -> Read:
    """A document, and what is wrong with it; raises `GraphQLError` if it can't even be parsed."""
    known = _find(query)
    if known is None:
        known = _keep(query, _read(query))
    if isinstance(known, GraphQLError):
        raise known.with_traceback(None)  # or it would keep all of them
    return known


def keep_none() -> None:
    """From now on every document is read each time that it is looked at."""
    _good.most = _others.most = 0


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
    return _good.find(query) or _others.find(query)


def _keep(query: str, known: Read | GraphQLError) -> Read | GraphQLError:
    is_good = isinstance(known, Read) and not known.errors and len(query) <= MAX_KEPT
    (_good if is_good else _others).keep(query, known)
    return known


def _read(query: str) -> Read | GraphQLError:
    try:
        document = limits.parsed(query)
    except GraphQLError as fault:
        return fault
    from gql.schema import schema  # which is made of this module, too

    errors = limits.exceeded(document) or validate(schema._schema, document, max_errors=limits.MAX_ERRORS)
    return Read(document, errors, {} if errors else cost.costs(schema._schema, document))
