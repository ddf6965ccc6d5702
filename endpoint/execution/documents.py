"""
Documents: parsed and validated once, and kept while they are used.

Parsing takes up to a hundred times as long as executing. The errors of a document and the costs of its operations are
kept with it. Limits (see `endpoint.execution.limits`) are checked before validation. Invalid and very long documents
have a cache of their own, so that they displace no others.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence

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

from cache.lru import Cache
from endpoint.execution import cost, limits
from endpoint.execution.slim import detached, slim
from endpoint.execution.validation import invalid

MAX_KEPT = 20_000
"""Characters of the longest document that is kept for when it is asked again."""

MAX_FOLLOWED = 16 * 1024
"""Maximum size of a subscription's variables, in bytes of JSON: they are held for as long as it is open."""

GOOD_BYTES = 4 * 1024 * 1024
"""Maximum size of the valid documents that are kept, in bytes: about 250 of a client's usual size."""

OTHER_BYTES = 8 * 1024 * 1024
"""Maximum size of the documents that are kept while they are answered, being invalid or very long, in bytes."""

NODE = 300
"""Size of a kept document's node, in bytes, as measured with its place in the text."""

ERROR = 1000
"""Size of a kept error, in bytes, beside the text that it is about."""

QUICK = 1000
"""Characters of a document that is read so soon (in less than about 10 ms) that others can wait for it."""


class ParsedDocument(Struct, frozen=True):
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
        return operation is not None and operation.operation is OperationType.SUBSCRIPTION

    def _held_too_much(self, variables: dict[str, object]) -> list[GraphQLError]:
        """Why a subscription would hold too much for as long as it is open."""
        size = len(msgspec.json.encode(variables))
        length = len(self.document.loc.source.body) if self.document.loc is not None else 0
        errors = []
        if size > MAX_FOLLOWED:
            may = f"The variables of a subscription may have {MAX_FOLLOWED:,} bytes of JSON"
            errors.append(limits.exceeding("TOO_LARGE", may, "has", MAX_FOLLOWED, size, "subscribe with fewer values"))
        if length > MAX_KEPT:
            may = f"The document of a subscription may have {MAX_KEPT:,} characters"
            advice = "ask for less, or subscribe with several documents"
            errors.append(limits.exceeding("TOO_MANY_CHARACTERS", may, "has", MAX_KEPT, length, advice))
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


class DocumentCache:
    """The parsed documents of one schema, kept while they are used.

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
            raise detached(known)  # a raised exception keeps the frames that it passes, with all their variables
        return known

    async def ready(self, query: str) -> None:
        """Parse a document that takes long in a thread, so that `read` finds it."""
        if len(query) > QUICK and self._find(query) is None:
            self._keep(query, await asyncio.to_thread(self._parse, query))

    def changes(self, query: str, operation_name: str | None) -> bool:
        """Whether the operation is a mutation."""
        try:
            operation = get_operation_ast(self.read(query).document, operation_name)
        except GraphQLError:
            return False
        return operation is not None and operation.operation is OperationType.MUTATION

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
        (self.good if is_good else self.others).put(query, known, weight)
        return known

    def _parse(self, query: str) -> ParsedDocument | GraphQLError:
        try:
            document = limits.parsed(query)
        except GraphQLError as fault:
            return detached(fault)
        errors = limits.exceeded(document) or invalid(self._schema, document)
        costs = {} if errors else cost.costs(self._schema, document, self._costs)
        weight = sys.getsizeof(query) + slim(document) * NODE + len(errors) * ERROR
        return ParsedDocument(document, [detached(each) for each in errors], costs, weight)


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
        if not self._errors and name is None and len(known.costs) > 1:  # strawberry would carry out the first
            self._errors = [GraphQLError("Must provide operation name if query contains multiple operations.")]
        self._errors = self._errors or known.exceeded(name, context.variables)
        yield

    def on_validate(self) -> Iterator[None]:
        self.execution_context.pre_execution_errors = list(self._errors)
        yield
