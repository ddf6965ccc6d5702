"""
Events: read as a list, and followed.

A subscription replays what came after its cursor, goes on live, and completes when its stream has come to its end.
"""

import enum
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

import strawberry
from msgspec import Struct
from strawberry import ID

from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.decider import Decider
from domain.deployment import DeploymentCancelled, DeploymentFailed, DeploymentPlanned, DeploymentSucceeded
from domain.environment import EnvironmentCreated, EnvironmentDeleted
from domain.errors import DeploymentNotFound, EnvironmentNotFound, Refused
from domain.step import Phase
from gql import cursor as cursors
from gql.actor import ACTOR_NAME, actor_name
from gql.change import PipelineEventType
from gql.connection import Connection, connection, cut, part
from gql.context import Context, Info
from gql.deployment import deployment_id
from gql.mark import LOSSLESS
from gql.node import global_id
from gql.pipeline import ServiceRef, StageRef, environment_id, service_ref, stage_ref
from projections.event import DeploymentStory, PipelineStory, Told
from store.log import Event as DomainEvent
from store.log import Origin, Recorded

Shown = TypeVar("Shown")


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


@strawberry.interface(description="Something that happened in an environment: to its pipeline, or in a deployment.")
class Event:
    id: ID = strawberry.field(description="Names the event among everything in Stageline, for ever.")
    cursor: str = strawberry.field(
        description="Its place in the log: resume environmentEvents, deploymentEvents or pipelineEvents after it."
    )
    position: int = strawberry.field(description="Its place in the whole log.")
    version: int = strawberry.field(description="Its place among the events of its deployment or of its pipeline.")
    recorded_at: datetime = strawberry.field(description="When it was written.")
    actor: str = strawberry.field(description="Who did it: a stable identifier, never a person's name or address.")
    actor_name: str | None = strawberry.field(resolver=actor_name, description=ACTOR_NAME)
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


def deployment_event(told: Told, epoch: str) -> DeploymentEvent:
    recorded, about = told.recorded, told.about
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
        phase=about.phase,
        attempt=about.attempt,
        detail=about.detail,
        ports=None if about.ports is None else list(about.ports),
    )


def pipeline_event(told: Told, epoch: str) -> PipelineEvent:
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


def _stage(told: Told) -> StageRef | None:
    stage = told.about.stage
    return None if stage is None else stage_ref(stage.id, stage.name)


def _service(told: Told) -> ServiceRef | None:
    service = told.about.service
    return None if service is None else service_ref(service.id, service.name, service.type)


class Telling(Protocol):
    """Puts one stream's events into words, in their order."""

    def tell(self, recorded: Recorded) -> Told: ...


class Stream(Struct, frozen=True):
    """What a stream is about: how its events are told after a state, and which of them begin and end it."""

    decider: Decider[Any, Any, Any]
    story: Callable[[Any], Telling]
    begin: type[DomainEvent]
    ends: tuple[type[DomainEvent], ...]

    def check(self, recorded: Sequence[Recorded], missing: Refused) -> None:
        """Raises *missing* if *recorded* isn't the beginning of such a stream."""
        if not recorded or not isinstance(recorded[0].event, self.begin):
            raise missing


DEPLOYMENT = Stream(
    deployments.decider,
    DeploymentStory,
    DeploymentPlanned,
    (DeploymentSucceeded, DeploymentFailed, DeploymentCancelled),
)
PIPELINE = Stream(pipelines.decider, PipelineStory, EnvironmentCreated, (EnvironmentDeleted,))


async def _told(context: Context, stream: UUID, about: Stream, missing: Refused) -> list[Told]:
    """All of a stream's events."""
    recorded = await context.application.log.read(stream)
    about.check(recorded, missing)
    story = about.story(about.decider.initial)
    return [story.tell(each) for each in recorded]


async def _followed(
    context: Context, stream: UUID, about: Stream, after: str | None, missing: Refused
) -> AsyncGenerator[Told, None]:
    """A stream's events behind the cursor *after*: what there is, then what comes, until the stream is at its end."""
    log = context.application.log
    position = 0 if after is None else cursors.to_position(log.epoch, after)
    about.check(await log.read(stream, until=1), missing)
    last = await _last(context, stream, about, position)
    if last is not None and isinstance(last.event, about.ends):
        return
    before = await context.application.handler.states.load_at(about.decider, stream, last.version if last else 0)
    story = about.story(before.state)
    async with aclosing(log.follow(last.position if last else 0, stream)) as following:
        async for batch in following:
            for recorded in batch:
                yield story.tell(recorded)
                if isinstance(recorded.event, about.ends):
                    return


async def _last(context: Context, stream: UUID, about: Stream, position: int) -> Recorded | None:
    """The stream's last event up to *position*: positions go up with versions, so it is found by halving."""
    log, states = context.application.log, context.application.handler.states
    low, high, found = 0, (await states.load(about.decider, stream)).version if position else 0, None
    middle = high  # most cursors are of the end
    while low < high:
        (recorded,) = await log.read(stream, after=middle - 1, until=middle)
        if recorded.position <= position:
            low, found = middle, recorded
        else:
            high = middle - 1
        middle = (low + high + 1) // 2
    return found


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
        told = await _told(info.context, stream, DEPLOYMENT, missing)
        info.context.reads(stream)
        return _connection(info, told, deployment_event, first, after, last, before)

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
        told = await _told(info.context, stream, PIPELINE, missing)
        info.context.reads(stream)
        return _connection(info, told, pipeline_event, first, after, last, before)


def _connection(
    info: Info,
    told: list[Told],
    show: Callable[[Told, str], Shown],
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> Connection[Shown]:
    epoch = info.context.application.log.epoch
    page = cut(told, part(first, after, last, before), lambda each: cursors.of_position(epoch, each.recorded.position))
    return connection(page, lambda each: show(each, epoch))


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="A deployment's events after a cursor; completes when the deployment is over.", metadata=LOSSLESS
    )
    async def deployment_events(
        self, info: Info, deployment: ID, after: str | None = None
    ) -> AsyncGenerator[DeploymentEvent, None]:
        stream, missing = deployment_id(deployment), DeploymentNotFound(deployment=deployment)
        epoch = info.context.application.log.epoch
        async for told in _followed(info.context, stream, DEPLOYMENT, after, missing):
            yield deployment_event(told, epoch)

    @strawberry.subscription(
        description="An environment's events after a cursor; completes when it was deleted.", metadata=LOSSLESS
    )
    async def pipeline_events(
        self, info: Info, environment: ID, after: str | None = None
    ) -> AsyncGenerator[PipelineEvent, None]:
        stream, missing = environment_id(environment), EnvironmentNotFound(environment=environment)
        epoch = info.context.application.log.epoch
        async for told in _followed(info.context, stream, PIPELINE, after, missing):
            yield pipeline_event(told, epoch)
