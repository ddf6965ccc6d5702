"""Events of pipelines, deployments and queues."""

import enum
from datetime import datetime
from typing import get_args

import strawberry
from strawberry import ID

from domain.deployment import queue as queues
from domain.deployment import state as deployments
from domain.deployment import step as steps
from domain.deployment.step import Phase
from domain.errors import DeploymentNotFound, EnvironmentNotFound
from gql.context import Info
from gql.contract import cursor as cursors
from gql.contract.connection import After, Before, Connection, First, Last, connection, part
from gql.contract.enum import describe_values, value_name
from gql.contract.node import global_id
from gql.types.actor import ACTOR_NAME, actor_name
from gql.types.change import PipelineEventType
from gql.types.deployment import deployment_id
from gql.types.environment import environment_id
from gql.types.ref import (
    DeploymentArgument,
    DeploymentRef,
    EnvironmentArgument,
    ServiceRef,
    StageRef,
    service_ref,
    stage_ref,
)
from gql.types.stream import DEPLOYMENT, PIPELINE
from gql.types.stream import page as event_page
from projections.event import EventView
from store.log import Origin

DEPLOYMENT_EVENTS: dict[type[deployments.DeploymentEvent], str] = {
    deployments.DeploymentPlanned: "The deployment was queued, with the current pipeline as its plan.",
    deployments.DeploymentStarted: "The deployment started.",
    deployments.DeploymentTakenUp: "A worker took over the deployment.",
    deployments.StageStarted: "A stage started.",
    deployments.StageSkipped: "A stage was skipped: it has nothing to deploy.",
    deployments.StageSucceeded: "All services of a stage are deployed.",
    deployments.StageFailed: "A service of a stage failed.",
    steps.BuildStarted: "An attempt to build a service started.",
    steps.BuildSucceeded: "A service was built.",
    steps.BuildFailed: "The build of a service failed.",
    steps.BuildSkipped: "A service has nothing to build.",
    steps.ServiceDeployStarted: "An attempt to deploy a service started.",
    steps.ServiceDeployed: "A service is up, or a job has finished.",
    steps.ServiceDeployFailed: "The deployment of a service failed.",
    steps.StepRetried: "A step failed and will be retried.",
    steps.ServiceCancelled: "A service was left unchanged, because the deployment was cancelled.",
    deployments.CancellationRequested: "The cancellation of the deployment was requested.",
    deployments.DeploymentSucceeded: "The deployment ended: everything is deployed.",
    deployments.DeploymentFailed: "The deployment ended: a step failed.",
    deployments.DeploymentCancelled: "The deployment ended: it was cancelled.",
}
"""A description of each event of a deployment."""

QUEUE_EVENTS: dict[type[queues.QueueEvent], str] = {
    queues.DeploymentRequested: "A deployment was queued.",
    queues.DeploymentMerged: "A request was merged into a waiting deployment that does the same.",
    queues.DeploymentAdmitted: "It is the turn of a deployment.",
    queues.DeploymentClosed: "A deployment ended, or was cancelled while it waited. It is the turn of the next one.",
}
"""A description of each event of a queue."""


@strawberry.enum(description="The kind of an event of a deployment.")
class DeploymentEventType(enum.Enum):
    _ignore_ = "event"

    for event in get_args(deployments.DeploymentEvent):
        vars()[value_name(event)] = event.__name__


@strawberry.enum(description="The kind of an event of an environment's queue.")
class QueueEventType(enum.Enum):
    _ignore_ = "event"

    for event in get_args(queues.QueueEvent):
        vars()[value_name(event)] = event.__name__


describe_values(DeploymentEventType, {value_name(event): text for event, text in DEPLOYMENT_EVENTS.items()})
describe_values(QueueEventType, {value_name(event): text for event, text in QUEUE_EVENTS.items()})


@strawberry.interface(description="An event of an environment: of its pipeline, of a deployment, or of its queue.")
class Event:
    id: ID = strawberry.field(description="Global id of the event; it never changes.")
    cursor: str = strawberry.field(
        description="Cursor of the event, to resume environmentEvents, deploymentEvents or pipelineEvents after it."
    )
    position: int = strawberry.field(description="Position in the log.")
    version: int = strawberry.field(description="Number of the event in its deployment, pipeline or queue, from 1.")
    recorded_at: datetime = strawberry.field(description="When the event was recorded.")
    actor: str = strawberry.field(description="Id of the actor, which contains no personal data.")
    actor_name: str | None = strawberry.field(resolver=actor_name, description=ACTOR_NAME)
    origin: Origin = strawberry.field(description="Where the change came from.")
    reason: str | None = strawberry.field(description="The reason that the actor gave, if any.")
    message: str = strawberry.field(description="The event in words.")


@strawberry.type(description="An event of a deployment.")
class DeploymentEvent(Event):
    version: int = strawberry.field(description="Number of the event in the deployment, from 1.")
    type: DeploymentEventType = strawberry.field(description="The kind of event, for programs.")
    deployment: DeploymentRef = strawberry.field(description="The deployment.")
    stage: StageRef | None = strawberry.field(description="The stage that the event is about, if any.")
    service: ServiceRef | None = strawberry.field(description="The service that the event is about, if any.")
    phase: Phase | None = strawberry.field(description="The step that the event is about, if any.")
    attempt: int | None = strawberry.field(description="The attempt of the step, from 1; null without a step.")
    detail: str | None = strawberry.field(
        description="The reason of a failure, the worker of the deployment, or the kind of cancellation."
    )
    ports: list[int] | None = strawberry.field(description="The ports of a deployed service.")


@strawberry.type(description="An event of an environment or its pipeline.")
class PipelineEvent(Event):
    version: int = strawberry.field(description="Version of the pipeline after the event.")
    type: PipelineEventType = strawberry.field(description="The kind of event, for programs.")
    stage: StageRef | None = strawberry.field(description="The stage that the event is about, if any.")
    service: ServiceRef | None = strawberry.field(description="The service that the event is about, if any.")


@strawberry.type(description="An event of an environment's queue, which admits one deployment at a time.")
class QueueEvent(Event):
    version: int = strawberry.field(description="Number of the event in the queue, from 1.")
    type: QueueEventType = strawberry.field(description="The kind of event, for programs.")
    deployment: DeploymentRef = strawberry.field(
        description="The deployment; with DEPLOYMENT_MERGED, the one that carries out the request."
    )


def deployment_event(view: EventView, epoch: str) -> DeploymentEvent:
    recorded, subject = view.recorded, view.subject
    return DeploymentEvent(
        id=global_id("event", recorded.id),
        cursor=cursors.of_position(epoch, recorded.position),
        position=recorded.position,
        version=recorded.version,
        type=DeploymentEventType(type(recorded.event).__name__),
        deployment=DeploymentRef(id=global_id("deployment", recorded.stream), number=view.number),
        recorded_at=recorded.recorded_at,
        actor=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=view.message,
        stage=_stage(view),
        service=_service(view),
        phase=subject.phase,
        attempt=subject.attempt,
        detail=subject.detail,
        ports=None if subject.ports is None else list(subject.ports),
    )


def pipeline_event(view: EventView, epoch: str) -> PipelineEvent:
    recorded = view.recorded
    return PipelineEvent(
        id=global_id("event", recorded.id),
        cursor=cursors.of_position(epoch, recorded.position),
        position=recorded.position,
        version=recorded.version,
        type=PipelineEventType(type(recorded.event).__name__),
        recorded_at=recorded.recorded_at,
        actor=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=view.message,
        stage=_stage(view),
        service=_service(view),
    )


def queue_event(view: EventView, epoch: str) -> QueueEvent:
    recorded = view.recorded
    event = recorded.event
    return QueueEvent(
        id=global_id("event", recorded.id),
        cursor=cursors.of_position(epoch, recorded.position),
        position=recorded.position,
        version=recorded.version,
        type=QueueEventType(type(event).__name__),
        deployment=DeploymentRef(
            id=global_id("deployment", event.deployment),  # type: ignore[attr-defined]  # all events of a queue have it
            number=view.number,
        ),
        recorded_at=recorded.recorded_at,
        actor=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=view.message,
    )


def _stage(view: EventView) -> StageRef | None:
    stage = view.subject.stage
    return None if stage is None else stage_ref(stage.id, stage.name)


def _service(view: EventView) -> ServiceRef | None:
    service = view.subject.service
    return None if service is None else service_ref(service.id, service.name, service.type)


@strawberry.type
class Query:
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

    @strawberry.field(description="List the events of an environment and its pipeline in order.")
    async def pipeline_events(
        self,
        info: Info,
        environment: EnvironmentArgument,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[PipelineEvent]:
        stream, missing = environment_id(environment), EnvironmentNotFound(environment=environment)
        page = await event_page(info.context, stream, PIPELINE, part(first, after, last, before), missing)
        info.context.reads(stream)
        epoch = info.context.application.log.epoch
        return connection(page, lambda view: pipeline_event(view, epoch))
