"""
A schema as this endpoint executes it.

It takes documents from a cache, executes long queries aside, and masks faults. Its costs and the explanation of its
errors are handed in.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, cast

import strawberry
from graphql import GraphQLError, GraphQLOutputType, is_non_null_type, located_error
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from msgspec import Raw
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from endpoint.errors import MaskFaults, mask_errors, mask_fault
from endpoint.execution.aside import encode_pieces
from endpoint.execution.at_least import AtLeast, after_wait
from endpoint.execution.context import RequestContext
from endpoint.execution.cost import CostSettings
from endpoint.execution.documents import DocumentCache, DocumentExtension
from endpoint.execution.holding import TooManyOpen, open_subscriptions
from endpoint.metrics import DELIVERIES
from endpoint.port import Explain

NODE = "node"
"""The root field that finds an object by its id, as GraphQL's Global Object Identification says."""


class Execution(StrawberryGraphQLCoreExecutionContext):
    """An execution that does not refer to itself: its document is freed without a garbage collection.

    Its helpers would refer to it. They serve resolvers that start background work, which are not supported.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.async_helpers: Any = None

    def handle_field_error(
        self,
        raw_error: Exception,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        path: Path,
    ) -> None:
        """Report the error of a field, or pass it on to the field above, like graphql-core 3.3.2.

        But its traceback leaves out the frames below. They refer to the tasks of the fields beside it, and those to
        their errors, most of which nobody sees.
        """
        nodes = [each.node for each in field_details_list]
        error = located_error(raw_error, nodes, path.as_list()).with_traceback(None)
        if self.error_propagation and is_non_null_type(return_type):
            try:
                raise error
            finally:
                del error, raw_error  # the traceback refers to this frame
        self.collected_errors.add(error, path)

    def build_per_event_executor(self, payload: Any) -> "Execution":
        """Return the execution of a subscription for one event, which shares nothing that grows.

        graphql-core 3.3.2 would share the collected fields of all events and never find them again: an open
        subscription would keep some thousand bytes for each event.
        """
        executor = cast("Execution", super().build_per_event_executor(payload))
        executor._relevant_sub_fields = {}
        return executor


class Schema(strawberry.Schema):
    """A strawberry schema with *costs*, whose errors *explain* explains.

    Every root field of its queries has the argument `atLeast`, but for `node`: Relay's compiler wants that to take an
    id and nothing else.
    """

    def __init__(self, query: type, *, explain: Explain, costs: CostSettings, **options: Any) -> None:
        for field in query.__strawberry_definition__.fields:  # type: ignore[attr-defined]  # strawberry's own
            if field.python_name != NODE:
                field.extensions.append(AtLeast())
        super().__init__(
            query,
            extensions=[lambda: DocumentExtension(self.documents), lambda: MaskFaults(explain)],
            execution_context_class=Execution,
            **options,
        )
        self.core = self._schema  # read from strawberry 0.341.2
        self.documents = DocumentCache(self.core, costs)
        self._explain = explain

    async def execute(  # type: ignore[override]  # the view names its arguments
        self, query: str | None, **options: Any
    ) -> ExecutionResult:
        """Execute a query or a mutation; subscriptions are for `stream`."""
        refused = await self._syntax_error(query)
        if refused is not None:
            return refused
        allowed = set(options.pop("allowed_operation_types", None) or OperationType) - {OperationType.SUBSCRIPTION}
        execute = partial(super().execute, query, allowed_operation_types=allowed, **options)

        context: RequestContext = options["context_value"]
        if context.aside is None or not self._is_long(query, options):
            return await execute()
        document = self.documents.read(query or "")
        cursors = document.at_least_cursors(options.get("operation_name"), options.get("variable_values"))
        if not context.has_waited:
            context = await after_wait(context, cursors)

        async def execute_aside(own: RequestContext) -> ExecutionResult:
            result = await execute(context_value=own)
            if result.data is not None:
                result.data = Raw(encode_pieces(result.data))  # type: ignore[assignment]  # it is JSON, too
            return result

        assert context.aside is not None
        return await context.aside.run(context, execute_aside, context.departure)

    async def stream(  # type: ignore[override]  # the view names its arguments
        self, query: str | None, **options: Any
    ) -> AsyncIterator[Any]:
        refused = await self._syntax_error(query)
        if refused is not None:
            return _only(refused)
        if self._is_long(query, options):
            return _only(await self.execute(query, **options))
        return self._held(query or "", options, await super().stream(query, **options))

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log nothing: `MaskFaults` logs the server's faults, and the other errors are the client's."""

    def mask_errors(self, errors: Iterable[GraphQLError]) -> list[GraphQLError]:
        """Return *errors* as clients may see them."""
        return mask_errors(errors, self._explain)

    def mask_fault(self, fault: Exception) -> list[GraphQLError]:
        """Return what clients may see of an exception that ended an operation."""
        return mask_fault(fault, self._explain)

    async def _syntax_error(self, query: str | None) -> PreExecutionError | None:
        """Return the answer to a document that cannot be parsed: strawberry would parse it again."""
        try:
            if query:
                await self.documents.ready(query)
                self.documents.read(query)
        except GraphQLError as fault:
            return PreExecutionError(data=None, errors=[fault])
        return None

    def _is_long(self, query: str | None, options: Mapping[str, Any]) -> bool:
        name, variables = options.get("operation_name"), options.get("variable_values")
        return bool(query) and self.documents.read(query or "").is_long(name, variables)

    async def _held(self, query: str, options: Mapping[str, Any], results: Any) -> AsyncIterator[Any]:
        """Yield *results*; what their subscription holds is counted meanwhile."""
        async with aclosing(results):
            try:
                document, holder = self.documents.read(query), options["context_value"].holder
                with open_subscriptions.subscription(holder, query, document, options.get("variable_values") or {}):
                    async for result in results:
                        yield result
                        DELIVERIES.inc()
            except TooManyOpen as refused:
                yield PreExecutionError(data=None, errors=[refused])


async def _only(result: ExecutionResult) -> AsyncIterator[ExecutionResult]:
    yield result
