"""Deployments as they were, or as a dry run would make them."""

import strawberry
from strawberry import ID, Private

from domain.deployment.state import Deployment as DeploymentState
from domain.pipeline.ref import ServiceId
from endpoint.execution.edge import Selected, edge
from gql.context import Context
from gql.contract import cursor as cursors
from gql.contract.node import global_id
from gql.types import step as steps
from gql.types.actor import Actor, existing_actors
from gql.types.deployment import DeploymentFields
from gql.types.deployment_stage import ServiceFields, StageFields, gate_of
from gql.types.environment import environment_of
from gql.types.step import Phase, failure_of
from projections.deployment import DeploymentView, StageView
from projections.step import ServiceView


@strawberry.type(description="A service in the plan of a deployment snapshot.")
class DeploymentServiceSnapshot(ServiceFields):
    key: Private[ServiceId]
    planned: Private[DeploymentState | None]


@strawberry.type(description="A stage in the plan of a deployment snapshot.")
class DeploymentStageSnapshot(StageFields):
    services: list[DeploymentServiceSnapshot] = strawberry.field(description="The services of the stage.")


@strawberry.type(
    description="A deployment as it was, or as a dry run would make it. It is not the live deployment, so it has no id."
)
class DeploymentSnapshot(DeploymentFields):
    deployment_id: ID = strawberry.field(description="Id of the deployment; in a dry run of deploy, of none.")
    stages: list[DeploymentStageSnapshot] = strawberry.field(description="The stages of the plan in order.")
    version: int = strawberry.field(description="Number of events of the deployment.")
    cursor: str = strawberry.field(
        description="Position of the last event in the log, to follow deploymentEvents after it."
    )
    requester: Private[str]


@edge(DeploymentSnapshot, "The actor who requested the deployment.", name="requested_by")
async def snapshot_requested_by(context: Context, found: list[DeploymentSnapshot], selected: Selected) -> list[Actor]:
    return await existing_actors(context, [each.requester for each in found], selected)


async def snapshot_of(
    context: Context, view: DeploymentView, planned: DeploymentState | None = None
) -> DeploymentSnapshot:
    """Return a snapshot of *view*; *planned* is the state that a dry run led to."""
    return DeploymentSnapshot(
        deployment_id=global_id("deployment", view.id),
        environment=await environment_of(context, view.environment),
        number=view.number,
        action=view.action,
        status=view.status,
        reason=view.reason,
        pipeline_version=view.pipeline_version,
        source_number=view.source,
        undone_number=view.undoes,
        revision=view.revision,
        requested_at=view.requested_at,
        started_at=view.started_at,
        finished_at=view.finished_at,
        cancellation=view.cancellation,
        superseded_by_number=view.superseded_by,
        is_held=view.is_held,
        timeout_seconds=view.timeout,
        has_timed_out=view.has_timed_out,
        failure=failure_of(view),
        stages=[_stage_snapshot(stage, planned) for stage in view.stages],
        version=view.version,
        cursor=cursors.of_position(context.application.log.epoch, view.position),
        requester=view.actor,
    )


def _stage_snapshot(view: StageView, planned: DeploymentState | None) -> DeploymentStageSnapshot:
    return DeploymentStageSnapshot(
        stage_id=global_id("stage", view.id),
        position=view.position,
        name=view.name,
        status=view.status,
        started_at=view.started_at,
        finished_at=view.finished_at,
        gate=gate_of(view),
        services=[_service_snapshot(service, planned) for service in view.services],
    )


def _service_snapshot(view: ServiceView, planned: DeploymentState | None) -> DeploymentServiceSnapshot:
    return DeploymentServiceSnapshot(
        service_id=global_id("service", view.id),
        name=view.name,
        type=view.type,
        status=view.status,
        ports=list(view.ports),
        source_number=view.source,
        build=steps.from_view(view.build, Phase.BUILD),
        deploy=steps.from_view(view.deploy, view.phase),
        key=view.id,
        planned=planned,
    )
