"""
Events: read as a list, and followed.

A subscription replays what came after its cursor, goes on live, and completes when its stream has come to its end.
"""

import enum
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

import strawberry
from strawberry import ID

from domain.deployment.step import Phase
from domain.errors import DeploymentNotFound, EnvironmentNotFound
from endpoint.streams.mark import PERSONAL
from gql.context import Info
from gql.contract import cursor as cursors
from gql.contract.connection import Connection, connection, part
from gql.contract.node import global_id
from gql.types.actor import ACTOR_NAME, actor_name
from gql.types.change import PipelineEventType
from gql.types.deployment import deployment_id
from gql.types.pipeline import ServiceRef, StageRef, environment_id, service_ref, stage_ref
from gql.types.stream import DEPLOYMENT, PIPELINE, followed
from gql.types.stream import page as pages
from projections.event import EventView
from store.log import Origin


@strawberry.enum(description="What happened in a deployment.")
class DeploymentEventType(enum.Enum):
    DEPLOYMENT_PLANNED = "DeploymentPlanned"
    DEPLOYMENT_STARTED = "DeploymentStarted"
    DEPLOYMENT_TAKEN_UP = "DeploymentTakenUp"
    STAGE_STARTED = "StageStarted"
    STAGE_SKIPPED = "StageSkipped"
    STAGE_SUCCEEDED = "StageSucceeded"
    STAGE_FAILED = "StageFailed"
    BUILD_STARTED = "BuildStarted"
    BUILD_SUCCEEDED = "BuildSucceeded"
    BUILD_FAILED = "BuildFailed"
    BUILD_SKIPPED = "BuildSkipped"
    SERVICE_DEPLOY_STARTED = "ServiceDeployStarted"
    SERVICE_DEPLOYED = "ServiceDeployed"
    SERVICE_DEPLOY_FAILED = "ServiceDeployFailed"
    STEP_RETRIED = "StepRetried"
    SERVICE_CANCELLED = "ServiceCancelled"
    CANCELLATION_REQUESTED = "CancellationRequested"
    DEPLOYMENT_SUCCEEDED = "DeploymentSucceeded"
    DEPLOYMENT_FAILED = "DeploymentFailed"
    DEPLOYMENT_CANCELLED = "DeploymentCancelled"


@strawberry.interface(
    description="Something that happened in an environment: to its pipeline, in a deployment, or in its queue."
)
class Event:
    id: ID = strawberry.field(description="Names the event among everything in Stageline, for ever.")
    cursor: str = strawberry.field(
        description="Its place in the log: resume environmentEvents, deploymentEvents or pipelineEvents after it."
    )
    position: int = strawberry.field(description="Its place in the whole log.")
    version: int = strawberry.field(
        description="Its place among the events of its deployment, its pipeline or its queue."
    )
    recorded_at: datetime = strawberry.field(description="When it was written.")
    actor: str = strawberry.field(description="Who did it: a stable identifier, never a person's name or address.")
    actor_name: str | None = strawberry.field(resolver=actor_name, description=ACTOR_NAME, metadata=PERSONAL)
    origin: Origin = strawberry.field(description="Through which door it came in.")
    reason: str | None = strawberry.field(description="Why, as they said; null if they didn't.")
    message: str = strawberry.field(description="What happened, in words.")


@strawberry.type(description="A deployment, by its id and its number.")
class DeploymentRef:
    id: ID = strawberry.field(description="The deployment's id.")
    number: int = strawberry.field(description="Counts the environment's deployments from 1.")


@strawberry.type(description="Something that happened in a deployment.")
class DeploymentEvent(Event):
    version: int = strawberry.field(description="Its place among the deployment's events.")
    type: DeploymentEventType = strawberry.field(description="What happened, for programs.")
    deployment: DeploymentRef = strawberry.field(description="The deployment that it happened in.")
    stage: StageRef | None = strawberry.field(description="The stage that it is about; null if about none.")
    service: ServiceRef | None = strawberry.field(description="The service that it is about; null if about none.")
    phase: Phase | None = strawberry.field(description="The step that it is about; null if about none.")
    attempt: int | None = strawberry.field(description="The step's attempt, from 1; null if it is about none.")
    detail: str | None = strawberry.field(description="Why a step failed, who took the deployment up, …")
    ports: list[int] | None = strawberry.field(description="What a deployed service listens on.")


@strawberry.type(description="Something that happened to an environment or its pipeline.")
class PipelineEvent(Event):
    version: int = strawberry.field(description="The pipeline's version after it.")
    type: PipelineEventType = strawberry.field(description="What happened, for programs.")
    stage: StageRef | None = strawberry.field(description="The stage that it is about; null if about none.")
    service: ServiceRef | None = strawberry.field(description="The service that it is about; null if about none.")


def deployment_event(told: EventView, epoch: str) -> DeploymentEvent:
    recorded, subject = told.recorded, told.subject
    return DeploymentEvent(
        id=global_id("event", recorded.id),
        cursor=cursors.of_position(epoch, recorded.position),
        position=recorded.position,
        version=recorded.version,
        type=DeploymentEventType(type(recorded.event).__name__),
        deployment=DeploymentRef(id=global_id("deployment", recorded.stream), number=told.number),
        recorded_at=recorded.recorded_at,
        actor=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=told.message,
        stage=_stage(told),
        service=_service(told),
        phase=subject.phase,
        attempt=subject.attempt,
        detail=subject.detail,
        ports=None if subject.ports is None else list(subject.ports),
    )


def pipeline_event(told: EventView, epoch: str) -> PipelineEvent:
    recorded = told.recorded
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
        message=told.message,
        stage=_stage(told),
        service=_service(told),
    )


def _stage(told: EventView) -> StageRef | None:
    stage = told.subject.stage
    return None if stage is None else stage_ref(stage.id, stage.name)


def _service(told: EventView) -> ServiceRef | None:
    service = told.subject.service
    return None if service is None else service_ref(service.id, service.name, service.type)


@strawberry.type
class Query:
    @strawberry.field(description="What happened in a deployment, in order.")
    async def deployment_events(
        self,
        info: Info,
        deployment: ID,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[DeploymentEvent]:
        stream, missing = deployment_id(deployment), DeploymentNotFound(deployment=deployment)
        page = await pages(info.context, stream, DEPLOYMENT, part(first, after, last, before), missing)
        info.context.reads(stream)
        epoch = info.context.application.log.epoch
        return connection(page, lambda told: deployment_event(told, epoch))

    @strawberry.field(description="What happened to an environment and its pipeline, in order.")
    async def pipeline_events(
        self,
        info: Info,
        environment: ID,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[PipelineEvent]:
        stream, missing = environment_id(environment), EnvironmentNotFound(environment=environment)
        page = await pages(info.context, stream, PIPELINE, part(first, after, last, before), missing)
        info.context.reads(stream)
        epoch = info.context.application.log.epoch
        return connection(page, lambda told: pipeline_event(told, epoch))


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="A deployment's events after a cursor; completes when the deployment is over.",
        metadata=cursors.LOSSLESS,
    )
    async def deployment_events(
        self, info: Info, deployment: ID, after: str | None = None
    ) -> AsyncGenerator[DeploymentEvent, None]:
        stream, missing = deployment_id(deployment), DeploymentNotFound(deployment=deployment)
        epoch = info.context.application.log.epoch
        async with aclosing(followed(info.context, stream, DEPLOYMENT, after, missing)) as events:
            async for told in events:
                yield deployment_event(told, epoch)

    @strawberry.subscription(
        description="An environment's events after a cursor; completes when it was deleted.", metadata=cursors.LOSSLESS
    )
    async def pipeline_events(
        self, info: Info, environment: ID, after: str | None = None
    ) -> AsyncGenerator[PipelineEvent, None]:
        stream, missing = environment_id(environment), EnvironmentNotFound(environment=environment)
        epoch = info.context.application.log.epoch
        async with aclosing(followed(info.context, stream, PIPELINE, after, missing)) as events:
            async for told in events:
                yield pipeline_event(told, epoch)
