"""The whole schema; `python -m gql.schema` writes its SDL to gql/schema.graphql."""

from pathlib import Path
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type

from endpoint.execution.cost import CostSettings
from endpoint.execution.schema import Schema
from gql.contract.connection import DEFAULT_PAGE, MAX_PAGE
from gql.contract.errors import explain
from gql.description import describe
from gql.mutations import apply, undo
from gql.subscriptions import newest, output
from gql.types import (
    actor,
    audit,
    change,
    deployment,
    diff,
    environment,
    environment_event,
    event,
    history,
    node,
    pipeline,
    project,
    queue,
    service,
    stage,
    token,
)

SDL = Path(__file__).with_name("schema.graphql")

COSTS = CostSettings(
    default_page=DEFAULT_PAGE,
    max_page=MAX_PAGE,
    lists={"stages": 4, "services": 4, "differences": 4},
    weights={"documentDiff": 500, "exportPipeline": 500, "pipelineDiff": 500},
    long_fields=frozenset({"pipelineDiff", "changedSince", "documentDiff", "exportPipeline"}),
    documents=frozenset({"document"}),
    items={"environments": 50},
)

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


@strawberry.type(description="What can be asked. An answer contains all that was done before it was asked for.")
class Query(
    node.Query,
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
    Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[pipeline.Pipeline, event.PipelineEvent, event.DeploymentEvent, queue.QueueEvent, *change.TYPES],
    config=StrawberryConfig(disable_field_suggestions=True),
    explain=explain,
    costs=COSTS,
)
describe(schema.core)


def sdl() -> str:
    return schema.as_str() + "\n"


if __name__ == "__main__":
    SDL.write_text(sdl())
