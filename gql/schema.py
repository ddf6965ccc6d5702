"""The whole schema; `python -m gql.schema` writes its SDL to gql/schema.graphql."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import strawberry
from graphql import GraphQLError
from msgspec import Raw
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.tools import create_type
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from endpoint.execution.aside import encoded
from endpoint.execution.at_least import AtLeast, patient
from endpoint.execution.documents import Documents, read, ready
from endpoint.streams.holding import TooManyOpen, holding
from gql import root
from gql.context import Application, Context
from gql.contract.errors import Faults
from gql.types import change, event
from gql.types.pipeline import Pipeline

SDL = Path(__file__).with_name("schema.graphql")


class Execution(StrawberryGraphQLCoreExecutionContext):
    """An execution that does not refer to itself: so its document is freed without a collection of garbage.

    Its helpers would. They are for resolvers that begin something that goes on after them, and we have none.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.async_helpers: Any = None


class Schema(strawberry.Schema):
    async def execute(  # type: ignore[override]  # the view names its arguments
        self, query: str | None, **options: Any
    ) -> ExecutionResult:
        """Queries and mutations: what goes on after one answer is for `stream`."""
        refused = await _refused(query)
        if refused is not None:
            return refused
        allowed = set(options.pop("allowed_operation_types", None) or OperationType) - {OperationType.SUBSCRIPTION}
        execute = partial(super().execute, query, allowed_operation_types=allowed, **options)

        context: Context = options["context_value"]
        aside = context.application.aside
        if aside is None or not _is_long(query, options):
            return await execute()
        asked = read(query or "").awaited(options.get("operation_name"), options.get("variable_values"))
        context = await patient(context, asked)

        async def carry_out(application: Application) -> ExecutionResult:
            result = await execute(context_value=replace(context, application=application))
            if result.data is not None:
                result.data = Raw(encoded(result.data))  # type: ignore[assignment]  # it is JSON, too
            return result

        return await aside.carry_out(carry_out, context.gone)

    async def stream(  # type: ignore[override]  # the view names its arguments
        self, query: str | None, **options: Any
    ) -> AsyncIterator[Any]:
        refused = await _refused(query)
        if refused is None and _is_long(query, options):
            return _only(await self.execute(query, **options))
        return (
            _held(query or "", options, await super().stream(query, **options)) if refused is None else _only(refused)
        )

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Logs nothing: `Faults` has logged what is ours, and the rest is the client's."""


async def _refused(query: str | None) -> PreExecutionError | None:
    """The answer to what can't be read: strawberry would try it again."""
    try:
        if query:
            await ready(query)
            read(query)
    except GraphQLError as fault:
        return PreExecutionError(data=None, errors=[fault])
    return None


def _is_long(query: str | None, options: Mapping[str, Any]) -> bool:
    return bool(query) and read(query or "").is_long(options.get("operation_name"), options.get("variable_values"))


async def _held(query: str, options: Mapping[str, Any], results: Any) -> AsyncIterator[Any]:
    """The same *results*; what their subscription holds is counted meanwhile."""
    async with aclosing(results):
        try:
            with holding.subscription(query, read(query), options.get("variable_values") or {}):
                async for result in results:
                    yield result
        except TooManyOpen as refused:
            yield PreExecutionError(data=None, errors=[refused])


async def _only(result: ExecutionResult) -> AsyncIterator[ExecutionResult]:
    yield result


Query = type("Query", root.queries(), {})
Query = strawberry.type(
    Query, description="The queries. An answer contains everything that was done before the request."
)

for field in Query.__strawberry_definition__.fields:  # type: ignore[attr-defined]  # strawberry's own, on every type
    field.extensions.append(AtLeast())


Subscription = type("Subscription", root.subscriptions(), {})
Subscription = strawberry.type(
    Subscription, description="The subscriptions: existing values or events, then new ones, until no more can follow."
)

Mutation = create_type(
    "Mutation", root.mutations(), description="The mutations. Each returns the changed object, or a refusal."
)

schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Pipeline, event.PipelineEvent, event.DeploymentEvent, event.QueueEvent, *change.TYPES],
    config=StrawberryConfig(disable_field_suggestions=True),
    extensions=[Documents, Faults],
    execution_context_class=Execution,
)


def sdl() -> str:
    return schema.as_str() + "\n"


if __name__ == "__main__":
    SDL.write_text(sdl())
