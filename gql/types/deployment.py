"""Deployments."""

from datetime import datetime

import strawberry
from strawberry import ID

from domain.deployment.queue import Action, DeploymentId
from domain.deployment.state import Cancellation
from domain.deployment.step import Phase, Status
from domain.errors import DeploymentNotFound, EnvironmentNotFound
from domain.project import EnvironmentId
from domain.spec import ServiceType
from endpoint.execution.answers import WHOLE
from endpoint.execution.selection import names
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract import enum
from gql.contract.connection import After, Before, Connection, First, Last, connection, part
from gql.contract.node import Node, global_id, uuid_of
from gql.types import pipeline as pipelines
from gql.types.actor import ACTOR_NAME, actor_name
from gql.types.diff import PipelineDiff, between
from gql.types.environment import environment_id, pipeline_view
from gql.types.pipeline import Pipeline, versions
from gql.types.ref import (
    DeploymentArgument,
    EnvironmentArgument,
    EnvironmentRef,
    ServiceRef,
    StageRef,
    service_ref,
    stage_ref,
)
from projections.deployment import DeploymentSummary, DeploymentView, StageView
from projections.step import ServiceView, StepView

enum.describe(
    Action,
    "The effect of a deployment on the services of its plan.",
    DEPLOY="Build and deploy the services, stage by stage.",
)
enum.describe(
    Status,
    "The status of a deployment, a stage, a service or a step.",
    QUEUED="Waiting for its turn.",
    RUNNING="In progress.",
    SUCCEEDED="Ended successfully.",
    FAILED="Failed, with no retry left.",
    SKIPPED="Left out: skipped in the pipeline, or nothing to do.",
    CANCELLED="Cancelled before it ended.",
)
enum.describe(
    Phase,
    "A step of a service.",
    BUILD="The service is built.",
    DEPLOY="The service is started; a job runs to its end.",
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
class DeploymentService:
    id: ID = strawberry.field(description="Id of the service.")
    name: str = strawberry.field(description="Name of the service in the plan.")
    type: ServiceType = strawberry.field(description="Type of the service.")
    status: Status = strawberry.field(description="Status of the service in the deployment.")
    ports: list[int] = strawberry.field(description="The ports of the deployed service.")
    build: Step = strawberry.field(description="The build step.")
    deploy: Step = strawberry.field(description="The deploy step.")


@strawberry.type(description="A stage in the plan of a deployment.")
class DeploymentStage:
    id: ID = strawberry.field(description="Id of the stage.")
    position: int = strawberry.field(description="Position in the plan, from 1.")
    name: str = strawberry.field(description="Name of the stage in the plan.")
    status: Status = strawberry.field(description="Status of the stage in the deployment.")
    started_at: datetime | None = strawberry.field(description="When the stage started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the stage ended; null if it has not.")
    services: list[DeploymentService] = strawberry.field(description="The services of the stage.")


@strawberry.type(description="One numbered run of a pipeline, which was pinned when the deployment was requested.")
class Deployment(Node):
    environment: EnvironmentRef = strawberry.field(description="The environment of the deployment.")
    number: int = strawberry.field(description="Number of the deployment in its environment, from 1.")
    action: Action = strawberry.field(description="The effect on the services of the plan.")
    status: Status = strawberry.field(description="Status of the deployment.")
    actor: str = strawberry.field(description="Id of the actor who requested the deployment.")
    actor_name: str | None = strawberry.field(resolver=actor_name, description=ACTOR_NAME)
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
    async def pipeline(self, info: Info) -> Pipeline | None:
        pinned = await info.context.together(versions, self._pinned)
        return None if pinned is None else pipelines.convert(*pinned, info.context.application.log.epoch)

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
    environment = await context.application.pipelines.get(view.environment)
    name = "" if environment is None else environment.pipeline.name
    return convert(view, name, context.application.log.epoch)


STEPS = frozenset({"stages", "failure"})
"""The fields that need the steps of a deployment."""


def convert(view: DeploymentSummary, environment: str, epoch: str) -> Deployment:
    """Return the deployment of *view* in the environment of that name.

    A summary is enough if no field of `STEPS` is selected.
    """
    return Deployment(
        id=global_id("deployment", view.id),
        environment=EnvironmentRef(id=global_id("environment", view.environment), name=environment),
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
        stages=[_stage(stage) for stage in view.stages] if isinstance(view, DeploymentView) else [],
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


def _stage(view: StageView) -> DeploymentStage:
    return DeploymentStage(
        id=global_id("stage", view.id),
        position=view.position,
        name=view.name,
        status=view.status,
        started_at=view.started_at,
        finished_at=view.finished_at,
        services=[_service(service) for service in view.services],
    )


def _service(view: ServiceView) -> DeploymentService:
    return DeploymentService(
        id=global_id("service", view.id),
        name=view.name,
        type=view.type,
        status=view.status,
        ports=list(view.ports),
        build=_step(view.build),
        deploy=_step(view.deploy),
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
        name = owner.pipeline.name
        return connection(page, lambda view: convert(view, name, application.log.epoch))
