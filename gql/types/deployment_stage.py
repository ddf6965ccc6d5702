"""Stages and services in the plan of a deployment."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import strawberry
from strawberry import ID, Private

from domain.deployment.queue import DeploymentId
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from gql.context import Info
from gql.contract.node import Node, global_id
from gql.types import step as steps
from gql.types.pipeline import live_services, live_stages
from gql.types.service import Service
from gql.types.stage import Stage
from gql.types.step import Phase, Status, Step, WaitReason
from projections.deployment import DeploymentView, StageView, stage_run
from projections.step import ServiceView
from projections.words.deployment import cause_words


@strawberry.type
class ServiceFields:
    """The fields of a planned service, live or in a snapshot."""

    service_id: ID = strawberry.field(description="Id of the service, which may be removed.")
    name: str = strawberry.field(description="Name of the service in the plan.")
    type: ServiceType = strawberry.field(description="Type of the service.")
    status: Status = strawberry.field(description="Status of the service in the deployment.")
    ports: list[int] = strawberry.field(description="The ports of the deployed service.")
    source_number: int | None = strawberry.field(
        description="Number of the deployment whose specification it has, if it is brought back after a failure."
    )
    build: Step = strawberry.field(description="The build step.")
    deploy: Step = strawberry.field(
        description="The step after the build: the deploy; the stop if the deployment stops or deletes services."
    )


@strawberry.type(description="What a stage waits for before it starts.")
class StageGate:
    reason: WaitReason = strawberry.field(description="The kind of thing.")
    message: str = strawberry.field(description="The thing in words.")
    missing_approvals: int | None = strawberry.field(
        description="Number of approvals that it still needs; null if it waits for something else."
    )
    deadline: datetime | None = strawberry.field(description="When the wait ends at the latest, if that is known.")
    last_answer: str | None = strawberry.field(description="Why its check has not passed yet, once it was tried.")
    last_answer_since: datetime | None = strawberry.field(description="When the check first gave that answer.")


@strawberry.type
class StageFields:
    """The fields of a planned stage, live or in a snapshot."""

    stage_id: ID = strawberry.field(description="Id of the stage, which may be deleted.")
    position: int = strawberry.field(description="Position in the plan, from 1.")
    name: str = strawberry.field(description="Name of the stage in the plan.")
    status: Status = strawberry.field(description="Status of the stage in the deployment.")
    started_at: datetime | None = strawberry.field(description="When the stage started; null before that.")
    finished_at: datetime | None = strawberry.field(description="When the stage ended; null before that.")
    gate: StageGate | None = strawberry.field(description="What the stage waits for now, before it starts, if so.")


@strawberry.type(description="A service in the plan of a deployment.")
class DeploymentService(Node, ServiceFields):
    stage_id: ID = strawberry.field(description="Id of the stage of the service, as stageId of the planned stage.")
    live: Private[tuple[EnvironmentId, ServiceId]]
    run: Private[DeploymentId]

    @strawberry.field(description="The service as it is now; null once it is removed.")
    async def service(self, info: Info) -> Service | None:
        return await info.context.together(live_services, self.live)


@strawberry.type(description="A stage in the plan of a deployment.")
class DeploymentStage(Node, StageFields):
    services: list[DeploymentService] = strawberry.field(description="The services of the stage.")
    live: Private[tuple[EnvironmentId, StageId]]

    @strawberry.field(description="The stage as it is now; null once it is deleted.")
    async def stage(self, info: Info) -> Stage | None:
        return await info.context.together(live_stages, self.live)


Services = Mapping[ServiceId, tuple[ServiceView, DeploymentService]]
"""Services by their id, each with the view that it was converted from."""


def from_view(run: DeploymentView, view: StageView, known: Services = MappingProxyType({})) -> DeploymentStage:
    """Return a stage; its services that are as in *known* are taken from there."""
    return DeploymentStage(
        id=global_id("deploymentstage", run.id, view.id),
        stage_id=global_id("stage", view.id),
        position=view.position,
        name=view.name,
        status=view.status,
        started_at=view.started_at,
        finished_at=view.finished_at,
        gate=gate_of(view),
        services=[_service(run, view, service, known) for service in view.services],
        live=(run.environment, view.id),
    )


def gate_of(view: StageView) -> StageGate | None:
    """Return what the stage waits for before it starts, if anything."""
    is_waiting = view.gate.open is not None and not view.status.is_final
    cause = stage_run(view).cause if is_waiting else None
    if cause is None:
        return None
    return StageGate(
        reason=cause.reason,
        message=cause_words(cause),
        missing_approvals=cause.missing if cause.reason is WaitReason.APPROVAL else None,
        deadline=cause.deadline,
        last_answer=cause.answer or None,
        last_answer_since=cause.answered_at,
    )


def _service(run: DeploymentView, stage: StageView, view: ServiceView, known: Services) -> DeploymentService:
    before = known.get(view.id)
    if before is not None and before[0] is view:
        return before[1]
    return DeploymentService(
        id=global_id("deploymentservice", run.id, view.id),
        service_id=global_id("service", view.id),
        stage_id=global_id("stage", stage.id),
        name=view.name,
        type=view.type,
        status=view.status,
        ports=list(view.ports),
        source_number=view.source,
        build=steps.from_view(view.build, Phase.BUILD),
        deploy=steps.from_view(view.deploy, view.phase),
        live=(run.environment, view.id),
        run=run.id,
    )
