"""The whole schema; `python -m gql.schema` writes its SDL to gql/schema.graphql."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import strawberry
from graphql import GraphQLError
from msgspec import Raw
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.tools import create_type
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from gql import (
    actor,
    apply,
    audit,
    change,
    deployment,
    diff,
    environment,
    environment_event,
    event,
    history,
    newest,
    output,
    pipeline,
    project,
    queue,
    refetch,
    service,
    stage,
    token,
    undo,
)
from gql.aside import encoded
from gql.at_least import AtLeast, patient
from gql.context import Application, Context
from gql.description import describe
from gql.errors import Faults
from gql.holding import TooManyOpen, holding
from gql.reading import Documents, read, ready

SDL = Path(__file__).with_name("schema.graphql")

MUTATIONS: list[Any] = [
    project.create_project,
    environment.create_environment,
    environment.edit_environment,
    environment.delete_environment,
    stage.create_stage,
    stage.edit_stage,
    stage.move_stage,
    stage.delete_stage,
    service.add_service,
    service.edit_service,
    service.move_service,
    service.skip_service,
    service.unskip_service,
    service.remove_service,
    actor.set_actor_profile,
    actor.forget_actor,
    token.issue_token,
    token.revoke_token,
    apply.restore_pipeline,
    apply.apply_pipeline,
    apply.apply_pipeline_to_all,
    apply.clone_environment,
    undo.undo,
    deployment.deploy,
    deployment.cancel_deployment,
]


class Execution(StrawberryGraphQLCoreExecutionContext):
    """An execution that does not refer to itself: so its document is freed without a collection of garbage.

    Its helpers would. They are for resolvers that begin something that goes on after them, and we have none.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.async_helpers: Any = None

    def build_per_event_executor(self, payload: Any) -> "Execution":
        """Return the execution of a subscription for one event, which shares nothing that grows with the others.

        graphql-core (3.3.2) shares what it collected, and finds nothing of it again: an open subscription would
        keep some thousand bytes for each event.
        """
        executor = cast("Execution", super().build_per_event_executor(payload))
        executor._relevant_sub_fields = {}
        return executor


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
            holder = options["context_value"].holder
            with holding.subscription(holder, query, read(query), options.get("variable_values") or {}):
                async for result in results:
                    yield result
        except TooManyOpen as refused:
            yield PreExecutionError(data=None, errors=[refused])


async def _only(result: ExecutionResult) -> AsyncIterator[ExecutionResult]:
    yield result


@strawberry.type(description="What can be asked. An answer contains all that was done before it was asked for.")
class Query(
    refetch.Query,
    project.Query,
    environment.Query,
    pipeline.Query,
    service.Query,
    deployment.Query,
    event.Query,
    environment_event.Query,
    history.Query,
    diff.Query,
    apply.Query,
    output.Query,
    audit.Query,
    actor.Query,
    token.Query,
): ...


for field in Query.__strawberry_definition__.fields:  # type: ignore[attr-defined]  # strawberry's own, on every type
    field.extensions.append(AtLeast())


@strawberry.type(
    description="What can be followed: what there is already, then what comes, until there can be no more."
)
class Subscription(event.Subscription, environment_event.Subscription, output.Subscription, newest.Subscription): ...


Mutation = create_type(
    "Mutation",
    MUTATIONS,
    description="What can be done. Each answers with what has become of it, or with why it isn't.",
)

schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[pipeline.Pipeline, event.PipelineEvent, event.DeploymentEvent, queue.QueueEvent, *change.TYPES],
    config=StrawberryConfig(disable_field_suggestions=True),
    extensions=[Documents, Faults],
    execution_context_class=Execution,
)
describe(schema._schema)


def sdl() -> str:
    return schema.as_str() + "\n"


if __name__ == "__main__":
    SDL.write_text(sdl())
