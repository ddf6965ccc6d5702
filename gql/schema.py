"""The whole schema; `python -m gql.schema` writes its SDL to gql/schema.graphql."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    parse,
    specified_rules,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import validate_document
from strawberry.tools import create_type
from strawberry.types import ExecutionContext, ExecutionResult
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
    refetch,
    service,
    stage,
    undo,
)
from gql.at_least import AtLeast
from gql.description import describe
from gql.errors import Faults

SDL = Path(__file__).with_name("schema.graphql")

MAX_TOKENS = 2000
"""Tokens of one document: ten times what the largest query of our own clients has."""

MAX_KEPT = 20_000
"""Characters of the longest document that is kept for when it is asked again."""


class Documents(SchemaExtension):
    """Reads and validates a document once, for as long as it is among those that are asked."""

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = MAX_TOKENS
        yield

    def on_parse(self) -> Iterator[None]:
        with suppress(GraphQLSyntaxError):  # the executor meets it again, and makes an answer of it
            document, self._errors = read(self.execution_context.query or "")
            self.execution_context.graphql_document = document
            if not self._errors and self.execution_context._provided_operation_name is None and _has_several(document):
                self._errors = [GraphQLError("Must provide operation name if query contains multiple operations.")]
        yield

    def on_validate(self) -> Iterator[None]:
        self.execution_context.pre_execution_errors = list(self._errors)
        yield


def _has_several(document: DocumentNode) -> bool:
    """Whether it has to be said which operation is meant; strawberry would carry out the first."""
    return sum(isinstance(definition, OperationDefinitionNode) for definition in document.definitions) > 1


def read(query: str) -> tuple[DocumentNode, Sequence[GraphQLError]]:
    """A document, and what is wrong with it; raises `GraphQLSyntaxError`."""
    return _kept(query) if len(query) <= MAX_KEPT else _kept.__wrapped__(query)


@lru_cache(maxsize=256)
def _kept(query: str) -> tuple[DocumentNode, Sequence[GraphQLError]]:
    document = parse(query, max_tokens=MAX_TOKENS)
    return document, validate_document(schema._schema, document, tuple(specified_rules))


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
        allowed = set(options.pop("allowed_operation_types", None) or OperationType) - {OperationType.SUBSCRIPTION}
        return await super().execute(query, allowed_operation_types=allowed, **options)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Logs nothing: `Faults` has logged what is ours, and the rest is the client's."""


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
    types=[pipeline.Pipeline, event.PipelineEvent, event.DeploymentEvent, *change.TYPES],
    config=StrawberryConfig(disable_field_suggestions=True),
    extensions=[Documents, Faults],
)
describe(schema._schema)


def sdl() -> str:
    return schema.as_str() + "\n"


if __name__ == "__main__":
    SDL.write_text(sdl())
