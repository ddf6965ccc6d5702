"""The whole schema; `python -m gql.schema` writes its SDL to gql/schema.graphql."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import strawberry
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.extensions import MaxTokensLimiter, ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type, merge_types
from strawberry.types import ExecutionContext

from gql import deployment, environment, event, output, pipeline, project, refetch, service, stage
from gql.errors import Faults

SDL = Path(__file__).with_name("schema.graphql")

MAX_TOKENS = 2000
"""Tokens of one document: ten times what the largest query of our own clients has."""


class Documents(ParserCache):
    """Keeps parsed documents; what can't be parsed is left to the executor, which words the error."""

    def on_parse(self) -> Iterator[None]:
        with suppress(GraphQLSyntaxError):
            super().on_parse()
        yield


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
    deployment.deploy,
    deployment.cancel_deployment,
]


class Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Logs nothing: `Faults` has logged what is ours, and the rest is the client's."""


Query = merge_types(
    "Query",
    (
        refetch.Query,
        project.Query,
        environment.Query,
        pipeline.Query,
        service.Query,
        deployment.Query,
        event.Query,
        output.Query,
    ),
)
Subscription = merge_types("Subscription", (event.Subscription, output.Subscription))

schema = Schema(
    query=Query,
    mutation=create_type("Mutation", MUTATIONS),
    subscription=Subscription,
    types=[pipeline.Pipeline],
    config=StrawberryConfig(disable_field_suggestions=True),
    extensions=[lambda: MaxTokensLimiter(MAX_TOKENS), Documents, ValidationCache, Faults],
)


def sdl() -> str:
    return schema.as_str() + "\n"


if __name__ == "__main__":
    SDL.write_text(sdl())
