"""Deployments."""

from datetime import datetime

import strawberry
from strawberry import ID, Private

from domain.deployment.queue import Action, DeploymentId
from domain.deployment.state import Cancellation
from domain.errors import DeploymentNotFound, EnvironmentNotFound
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from endpoint.execution.answers import WHOLE
from endpoint.execution.selection import names
from endpoint.streams.mark import PERSONAL
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract import enum
from gql.contract.connection import After, Before, Connection, First, Last, connection, part
from gql.contract.node import Node, global_id, uuid_of
from gql.types import environment as environments
from gql.types import pipeline as pipelines
from gql.types.actor import ACTOR_NAME, actor_name
from gql.types.diff import PipelineDiff, between
from gql.types.environment import Environment, environment_id, environment_of, pipeline_view
from gql.types.event import DeploymentEvent, deployment_event
from gql.types.pipeline import PipelineSnapshot, live_services, live_stages, versions
from gql.types.project import project_of
from gql.types.ref import (
    DeploymentArgument,
    EnvironmentArgument,
    ServiceRef,
    StageRef,
    service_ref,
    stage_ref,
)
from gql.types.service import Service
from gql.types.stage import Stage
from gql.types.step import Phase, Status
from gql.types.stream import DEPLOYMENT
from gql.types.stream import page as event_page
from projections.deployment import DeploymentSummary, DeploymentView, StageView
from projections.step import ServiceView, StepView

enum.describe(
    Action,
    "The effect of a deployment on the services of its plan.",
    DEPLOY="Build and deploy the services, stage by stage.",
)
enum.describe(
    Cancellation,
    "The kind of cancellation of a deployment.",
    SAFE="No step starts any more; running steps are finished.",
    FORCED="Running steps are stopped, too.",
)


@strawberry.type(description="The first failed step of a deployment.")
class StepFailure:
    stage: StageRef = strawberry.field(description="The stage of the service.")
    service: ServiceRef = strawberry.field(description="The service.")
    phase: Phase = strawberry.field(description="The step.")
    reason: str = strawberry.field(description="The reason of the failure.")


@strawberry.type(description="The progress of one step of a service.")
class Step:
    status: Status = strawberry.field(description="Status of the step.")
    attempt: int = strawberry.field(description="Number of the current attempt, from 1.")
    started_at: datetime | None = strawberry.field(description="When the step started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the step ended; null if it has not.")
    reason: str | None = strawberry.field(description="The reason why the last attempt failed.")


@strawberry.type(description="A service in the plan of a deployment.")
class DeploymentService(Node):
    service_id: ID = strawberry.field(description="Id of the service, which may be removed.")
    name: str = strawberry.field(description="Name of the service in the plan.")
    type: ServiceType = strawberry.field(description="Type of the service.")
    status: Status = strawberry.field(description="Status of the service in the deployment.")
    ports: list[int] = strawberry.field(description="The ports of the deployed service.")
    build: Step = strawberry.field(description="The build step.")
    deploy: Step = strawberry.field(description="The deploy step.")
    live: Private[tuple[EnvironmentId, ServiceId]]

    @strawberry.field(description="The service as it is now; null once it is removed.")
    async def service(self, info: Info) -> Service | None:
        return await info.context.together(live_services, self.live)


@strawberry.type(description="A stage in the plan of a deployment.")
class DeploymentStage(Node):
    stage_id: ID = strawberry.field(description="Id of the stage, which may be deleted.")
    position: int = strawberry.field(description="Position in the plan, from 1.")
    name: str = strawberry.field(description="Name of the stage in the plan.")
    status: Status = strawberry.field(description="Status of the stage in the deployment.")
    started_at: datetime | None = strawberry.field(description="When the stage started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the stage ended; null if it has not.")
    services: list[DeploymentService] = strawberry.field(description="The services of the stage.")
    live: Private[tuple[EnvironmentId, StageId]]

    @strawberry.field(description="The stage as it is now; null once it is deleted.")
    async def stage(self, info: Info) -> Stage | None:
        return await info.context.together(live_stages, self.live)


@strawberry.type(description="One numbered run of a pipeline, which was pinned when the deployment was requested.")
class Deployment(Node):
    environment: Environment = strawberry.field(description="The environment of the deployment.")
    number: int = strawberry.field(description="Number of the deployment in its environment, from 1.")
    action: Action = strawberry.field(description="The effect on the services of the plan.")
    status: Status = strawberry.field(description="Status of the deployment.")
    actor: str = strawberry.field(description="Id of the actor who requested the deployment.")
    actor_name: str | None = strawberry.field(resolver=actor_name, description=ACTOR_NAME, metadata=PERSONAL)
    reason: str | None = strawberry.field(description="The reason that the actor gave, if any.")
    pipeline_version: int = strawberry.field(description="Version of the pinned pipeline.")
    requested_at: datetime = strawberry.field(description="When the deployment was requested.")
    started_at: datetime | None = strawberry.field(description="When the deployment started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the deployment ended; null if it has not.")
    cancellation: Cancellation | None = strawberry.field(
        description="The kind of cancellation that was requested, if any."
    )
    failure: StepFailure | None = strawberry.field(description="The first failed step, if any.")
    stages: list[DeploymentStage] = strawberry.field(description="The stages of the plan in order.")
    version: int = strawberry.field(description="Number of events of the deployment, for expectedVersion.")
    cursor: str = strawberry.field(
        description="Position of the last event in the log, to follow deploymentEvents after it."
    )

    @strawberry.field(description="The pinned pipeline.")
    async def pipeline(self, info: Info) -> PipelineSnapshot | None:
        pinned = await info.context.together(versions, self._pinned)
        return None if pinned is None else pipelines.snapshot(*pinned, info.context.application.log.epoch)

    @strawberry.field(description="The differences between the pinned pipeline and the current one.")
    async def changed_since(self, info: Info) -> PipelineDiff | None:
        pinned = await info.context.together(versions, self._pinned)
        present: tuple[EnvironmentId, int | None] = (self._pinned[0], None)
        now = await info.context.together(versions, present)
        return None if pinned is None or now is None else await between(info.context, pinned[0], *now)

    @property
    def _pinned(self) -> tuple[EnvironmentId, int | None]:
        return environment_id(self.environment.id), self.pipeline_version


async def from_view(context: Context, view: DeploymentView) -> Deployment:
    return convert(view, await environment_of(context, view.environment), context.application.log.epoch)


STEPS = frozenset({"stages", "failure"})
"""The fields that need the steps of a deployment."""


def convert(view: DeploymentSummary, environment: Environment, epoch: str) -> Deployment:
    """Return the deployment of *view* in its environment.

    A summary is enough if no field of `STEPS` is selected.
    """
    return Deployment(
        id=global_id("deployment", view.id),
        environment=environment,
        number=view.number,
        action=view.action,
        status=view.status,
        actor=view.actor,
        reason=view.reason,
        pipeline_version=view.pipeline_version,
        requested_at=view.requested_at,
        started_at=view.started_at,
        finished_at=view.finished_at,
        cancellation=view.cancellation,
        failure=_failure(view) if isinstance(view, DeploymentView) else None,
        stages=[_stage(view, stage) for stage in view.stages] if isinstance(view, DeploymentView) else [],
        version=view.version,
        cursor=cursors.of_position(epoch, view.position),
    )


def _failure(view: DeploymentView) -> StepFailure | None:
    failure = view.failure
    if failure is None:
        return None
    stage = next(stage for stage in view.stages if stage.id == failure.stage)
    service = next(service for service in stage.services if service.id == failure.service)
    return StepFailure(
        stage=stage_ref(stage.id, stage.name),
        service=service_ref(service.id, service.name, service.type),
        phase=failure.phase,
        reason=failure.reason,
    )


def _stage(run: DeploymentView, view: StageView) -> DeploymentStage:
    return DeploymentStage(
        id=global_id("deploymentstage", run.id, view.id),
        stage_id=global_id("stage", view.id),
        position=view.position,
        name=view.name,
        status=view.status,
        started_at=view.started_at,
        finished_at=view.finished_at,
        services=[_service(run, service) for service in view.services],
        live=(run.environment, view.id),
    )


def _service(run: DeploymentView, view: ServiceView) -> DeploymentService:
    return DeploymentService(
        id=global_id("deploymentservice", run.id, view.id),
        service_id=global_id("service", view.id),
        name=view.name,
        type=view.type,
        status=view.status,
        ports=list(view.ports),
        build=_step(view.build),
        deploy=_step(view.deploy),
        live=(run.environment, view.id),
    )


def _step(view: StepView) -> Step:
    return Step(
        status=view.status,
        attempt=view.attempt,
        started_at=view.started_at,
        finished_at=view.finished_at,
        reason=view.reason,
    )


def deployment_id(text: str) -> DeploymentId:
    """Return the deployment with that id; raises `DeploymentNotFound` if *text* is not an id."""
    found = uuid_of("deployment", text)
    if found is None:
        raise DeploymentNotFound(deployment=text)
    return DeploymentId(found)


@strawberry.type
class Query:
    @strawberry.field(description="Return a deployment, running or ended.")
    async def deployment(self, info: Info, id: DeploymentArgument) -> Deployment | None:
        found = uuid_of("deployment", id)
        if found is None:
            return None
        await info.context.settled()
        view = await info.context.application.deployments.get(DeploymentId(found))
        if view is None:
            return None
        info.context.reads(view.id, view.environment)
        return await from_view(info.context, view)

    @strawberry.field(description="List the deployments of an environment, newest first.")
    async def deployments(
        self,
        info: Info,
        environment: EnvironmentArgument,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Deployment]:
        application = info.context.application
        owner = await pipeline_view(info.context, environment)
        if owner is None:
            raise EnvironmentNotFound(environment=environment)
        await info.context.settled()
        info.context.reads(WHOLE)
        page = await application.deployments.list(
            owner.environment, part(first, after, last, before), has_steps=not STEPS.isdisjoint(names(info))
        )
        environment_now = environments.from_view(owner, await project_of(info.context, owner.project))
        return connection(page, lambda view: convert(view, environment_now, application.log.epoch))

    @strawberry.field(description="List the events of a deployment in order.")
    async def deployment_events(
        self,
        info: Info,
        deployment: DeploymentArgument,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[DeploymentEvent]:
        stream, missing = deployment_id(deployment), DeploymentNotFound(deployment=deployment)
        page = await event_page(info.context, stream, DEPLOYMENT, part(first, after, last, before), missing)
        info.context.reads(stream)
        epoch = info.context.application.log.epoch
        return connection(page, lambda view: deployment_event(view, epoch))
