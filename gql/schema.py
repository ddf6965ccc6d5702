"""The whole schema; `python -m gql.schema` writes its SDL to gql/schema.graphql."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import strawberry
from graphql import DocumentNode, GraphQLError, get_operation_ast, validate
from msgspec import Raw, Struct
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from gql import (
    actor,
    apply,
    audit,
    change,
    cost,
    deployment,
    diff,
    environment,
    environment_event,
    event,
    history,
    limit,
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
from gql.admission import AT_ONCE
from gql.aside import encoded
from gql.at_least import AtLeast, patient
from gql.context import Application, Context
from gql.description import describe
from gql.errors import Faults

SDL = Path(__file__).with_name("schema.graphql")

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
        self._most = most
        self._known: OrderedDict[str, Read | GraphQLError] = OrderedDict()

    def find(self, query: str) -> Read | GraphQLError | None:
        known = self._known.get(query)
        if known is not None:
            with suppress(KeyError):  # another thread has just let go of it
                self._known.move_to_end(query)
        return known

    def keep(self, query: str, known: Read | GraphQLError) -> None:
        self._known[query] = known
        if len(self._known) > self._most:
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
        document = limit.parsed(query)
    except GraphQLError as fault:
        return fault
    errors = limit.exceeded(document) or validate(schema._schema, document, max_errors=limit.MAX_ERRORS)
    return Read(document, errors, {} if errors else cost.costs(schema._schema, document))


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
        return await super().stream(query, **options) if refused is None else _only(refused)

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
)
describe(schema._schema)


def sdl() -> str:
    return schema.as_str() + "\n"


if __name__ == "__main__":
    SDL.write_text(sdl())
