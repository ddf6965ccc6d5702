"""
A cache of documents that are parsed and validated.

Parsing takes up to a hundred times as long as executing. The errors of a document and the costs of its operations are
cached with it. Limits (see `endpoint.execution.limits`) are checked before validation. Invalid and very long documents
have a cache of their own, so that they displace no others.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    get_operation_ast,
)
from msgspec import Struct
from strawberry.extensions import SchemaExtension

from cache.lru import ENTRY, Cache
from endpoint.execution import cost, limits
from endpoint.execution.slim import detach, slim
from endpoint.execution.validation import validation_errors

MAX_KEPT = 20_000
"""Maximum length of a cached document, in characters."""

MAX_FOLLOWED = 16 * 1024
"""Maximum size of a subscription's variables, in bytes of JSON: they take memory while it is open."""

GOOD_BYTES = 2 * 1024 * 1024
"""Maximum size of the cached valid documents, in bytes: about 150 of a client's usual size."""

OTHER_BYTES = 4 * 1024 * 1024
"""Maximum size of the cached invalid or very long documents, in bytes: they are needed while they are answered."""

OTHERS = 32
"""Maximum number of the cached invalid or very long documents."""

PARSERS = 2
"""Threads that parse long documents: more of them would take no less time, but more memory."""

NODE = 280
"""Size of a node of a cached document with its location, in bytes, as measured."""

ERROR = 1000
"""Size of a cached error, in bytes, beside the document's text."""

QUICK = 1000
"""Maximum length of a document that is parsed on the event loop, in characters: that takes less than about 10 ms."""

_parsers = ThreadPoolExecutor(PARSERS, "parser")


class ParsedDocument(Struct, frozen=True):
    """A parsed document with its errors, and the costs of its operations by their names.

    *weight* is its size in bytes, with its text. The methods take the operation's name and variables as a client sent
    them, before they are checked.
    """

    document: DocumentNode
    errors: Sequence[GraphQLError]
    costs: Mapping[str | None, cost.OperationCost]
    weight: int

    def limit_errors(self, operation_name: object, variables: object) -> list[GraphQLError]:
        """Return the limits that the selected operation exceeds; none if the selection is invalid."""
        selected = self._selected(operation_name)
        if selected is None:
            return []
        given = variables if isinstance(variables, dict) else {}
        return selected.limit_errors(given) or (
            self._subscription_errors(given) if self.follows(operation_name) else []
        )

    def follows(self, operation_name: object) -> bool:
        """Whether the selected operation is a subscription."""
        selected = self._selected(operation_name)
        if selected is None or selected.is_query:
            return False
        operation = get_operation_ast(self.document, operation_name if isinstance(operation_name, str) else None)
        return operation is not None and operation.operation is OperationType.SUBSCRIPTION

    def _subscription_errors(self, variables: dict[str, object]) -> list[GraphQLError]:
        """Return the limits that a subscription exceeds: its document and variables take memory while it is open."""
        size = len(msgspec.json.encode(variables))
        length = len(self.document.loc.source.body) if self.document.loc is not None else 0
        errors = []
        if size > MAX_FOLLOWED:
            may = f"The variables of a subscription may have at most {MAX_FOLLOWED:,} bytes of JSON"
            errors.append(
                limits.limit_error("TOO_LARGE", may, "has", MAX_FOLLOWED, size, "subscribe with fewer values")
            )
        if length > MAX_KEPT:
            may = f"The document of a subscription may have at most {MAX_KEPT:,} characters"
            advice = "request less, or subscribe with several documents"
            errors.append(limits.limit_error("TOO_MANY_CHARACTERS", may, "has", MAX_KEPT, length, advice))
        return errors

    def is_long(self, operation_name: object, variables: object) -> bool:
        """Whether the selected operation is a query that is executed aside."""
        selected = self._selected(operation_name)
        return selected is not None and selected.is_long(variables if isinstance(variables, dict) else {})

    def at_least_cursors(self, operation_name: object, variables: object) -> list[str]:
        """Return the cursors that the selected operation waits for."""
        selected = self._selected(operation_name)
        return [] if selected is None else selected.at_least_cursors(variables if isinstance(variables, dict) else {})

    def _selected(self, operation_name: object) -> cost.OperationCost | None:
        if operation_name is None:
            return next(iter(self.costs.values()), None)
        return self.costs.get(operation_name) if isinstance(operation_name, str) else None


class DocumentCache:
    """The cached documents of one schema.

    A cached document saves up to a hundred times the time of its execution. `keep_none` turns the cache off
    (`serve --no-keep-documents`).
    """

    def __init__(self, schema: GraphQLSchema, costs: cost.CostSettings) -> None:
        self._schema = schema
        self._costs = costs
        self.good: Cache[str, ParsedDocument | GraphQLError] = Cache(GOOD_BYTES)
        self.others: Cache[str, ParsedDocument | GraphQLError] = Cache(OTHER_BYTES)

    def read(self, query: str) -> ParsedDocument:
        """Return the document of *query*, with what is invalid in it; raises `GraphQLError` for a syntax error."""
        known = self._find(query)
        if known is None:
            known = self._keep(query, self._parse(query))
        if isinstance(known, GraphQLError):
            raise detach(known)  # a raised exception keeps the frames that it passes
        return known

    async def ready(self, query: str) -> None:
        """Parse a document that takes long in a thread, so that `read` finds it."""
        if len(query) > QUICK and self._find(query) is None:
            parsing = asyncio.get_running_loop().run_in_executor(_parsers, self._parse, query)
            self._keep(query, await parsing)

    def operation_type(self, query: str, operation_name: str | None) -> OperationType | None:
        """Return the type of the selected operation; None if there is none."""
        try:
            operation = get_operation_ast(self.read(query).document, operation_name)
        except GraphQLError:
            return None
        return None if operation is None else operation.operation

    def changes(self, query: str, operation_name: str | None) -> bool:
        """Whether the operation is a mutation."""
        return self.operation_type(query, operation_name) is OperationType.MUTATION

    def keep_none(self) -> None:
        """Parse every document each time from now on."""
        for each in (self.good, self.others):
            each.limit = 0
            each.clear()

    def _find(self, query: str) -> ParsedDocument | GraphQLError | None:
        return self.good.get(query) or self.others.get(query)

    def _keep(self, query: str, known: ParsedDocument | GraphQLError) -> ParsedDocument | GraphQLError:
        is_good = isinstance(known, ParsedDocument) and not known.errors and len(query) <= MAX_KEPT
        weight = known.weight if isinstance(known, ParsedDocument) else sys.getsizeof(query) + ERROR
        if is_good:
            self.good.put(query, known, weight)
        else:
            self.others.put(query, known, max(weight, OTHER_BYTES // OTHERS - ENTRY))
        return known

    def _parse(self, query: str) -> ParsedDocument | GraphQLError:
        try:
            document = limits.parse_document(query)
        except GraphQLError as fault:
            return detach(fault)
        errors = limits.size_errors(document) or validation_errors(self._schema, document)
        costs = {} if errors else cost.costs(self._schema, document, self._costs)
        weight = sys.getsizeof(query) + slim(document) * NODE + len(errors) * ERROR
        return ParsedDocument(document, [detach(each) for each in errors], costs, weight)


class DocumentExtension(SchemaExtension):
    """Takes parsed and validated documents from *documents* instead of parsing them for each request."""

    def __init__(self, documents: DocumentCache) -> None:
        self._documents = documents

    def on_operation(self) -> Iterator[None]:
        self._errors: Sequence[GraphQLError] = ()
        yield

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        known = self._documents.read(context.query or "")
        context.graphql_document, self._errors = known.document, known.errors
        name = context._provided_operation_name  # read from strawberry 0.341.2
        if not self._errors and name is None and len(known.costs) > 1:  # strawberry would execute the first
            self._errors = [GraphQLError("Must provide operation name if query contains multiple operations.")]
        self._errors = self._errors or known.limit_errors(name, context.variables)
        yield

    def on_validate(self) -> Iterator[None]:
        self.execution_context.pre_execution_errors = list(self._errors)
        yield
