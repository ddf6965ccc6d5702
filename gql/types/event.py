"""Events of pipelines, deployments, queues and instances."""

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast, get_args
from uuid import UUID

import strawberry
from strawberry import ID, Private

from domain import instance as instances
from domain import pipeline as pipelines
from domain.deployment import gate as gates
from domain.deployment import hold as holds
from domain.deployment import queue as queues
from domain.deployment import stage as stages
from domain.deployment import state as deployments
from domain.deployment import step as steps
from domain.deployment import wait as waits
from domain.pipeline.environment import EnvironmentCreated
from domain.pipeline.state import Pipeline
from domain.project import EnvironmentId, ProjectId
from endpoint.execution.edge import Selected, edge
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.enum import describe_values, value_name
from gql.contract.node import GlobalId, Node, global_id, parse
from gql.contract.scalar import LogPosition
from gql.types import change as changes
from gql.types.actor import Actor, existing_actors
from gql.types.change import Change, PipelineEventType
from gql.types.origin import Origin
from gql.types.project import Project, projects_of
from gql.types.ref import (
    DeploymentRef,
    EnvironmentRef,
    ServiceRef,
    StageRef,
    TokenRef,
    service_ref,
    stage_ref,
)
from gql.types.step import Cancellation, Phase, WaitReason
from projections.event import EventView
from projections.history import HistoryView
from store.log import RecordedEvent

DEPLOYMENT_EVENTS: dict[type[deployments.DeploymentEvent], str] = {
    deployments.DeploymentPlanned: "The deployment was queued, with the current pipeline as its plan.",
    deployments.DeploymentStarted: "The deployment started.",
    deployments.DeploymentTakenUp: "A worker took over the deployment.",
    waits.WaitStarted: "The deployment waits, or waits for something else than before.",
    waits.WaitEnded: "The thing that the deployment waited for is there again.",
    gates.StageApprovalRequested: "A stage waits for its approval.",
    gates.StageApproved: "An actor approved a stage.",
    gates.StageRejected: "An actor rejected a stage, which does not start.",
    gates.StageApprovalTimedOut: "A stage had not enough approvals in time; its policy approves or rejects it.",
    gates.StageWaitStarted: "A stage waits for the time of its policy.",
    gates.StageWaitEnded: "The time for which a stage waits is over.",
    gates.StageCheckStarted: "A stage waits until its check passes.",
    gates.StageCheckAnswered: "The check of a stage did not pass, for another reason than before; it is tried again.",
    gates.StageCheckPassed: "The check of a stage passed.",
    gates.StageCheckFailed: "The check of a stage did not pass in time, so the stage does not start.",
    stages.StageStarted: "A stage started.",
    stages.StageSkipped: "A stage was skipped: it has nothing to deploy.",
    stages.StageSucceeded: "All services of a stage are deployed.",
    stages.StageFailed: "A service of a stage failed, or the stage was rejected.",
    steps.BuildStarted: "An attempt to build a service started.",
    steps.BuildSucceeded: "A service was built.",
    steps.BuildFailed: "The build of a service failed.",
    steps.BuildSkipped: "A service has nothing to build.",
    steps.ServiceDeployStarted: "An attempt to deploy a service started.",
    steps.ServiceDeployed: "A service is up, or a job has finished.",
    steps.ServiceDeployFailed: "The deployment of a service failed.",
    steps.StepRetried: "A step failed and will be retried.",
    steps.ServiceCancellationRequested: "The cancellation of one service of the deployment was requested.",
    steps.ServiceCancelled: "A service was left unchanged, because the deployment was cancelled.",
    steps.ServiceUnchanged: "A service has the planned specification and revision already, and was left as it is.",
    steps.ServiceOmitted: "The deployment has nothing to do with a service; the message says why.",
    steps.ServiceStopStarted: "An attempt to stop a service started.",
    steps.ServiceStopped: "A service is stopped.",
    steps.InstanceDeleted: "A service is stopped, and its instance is forgotten.",
    steps.ServiceStopFailed: "A service could not be stopped.",
    steps.OldInstanceRestarted: "The old instance of a service, which was stopped first, runs again.",
    steps.OldInstanceLost: "The old instance of a service, which was stopped first, did not become healthy again.",
    holds.DeploymentHeld: "The deployment is held: nothing new starts until it is released.",
    holds.DeploymentReleased: "The deployment goes on where it was held.",
    deployments.CancellationRequested: "The cancellation of the deployment was requested.",
    deployments.DeploymentSuperseded: "A later deployment makes it needless, so it is cancelled while it waits.",
    deployments.TimeoutReached: "The deployment had not ended after its timeout, so its running steps are stopped.",
    deployments.DeploymentSucceeded: "The deployment ended: everything is deployed.",
    deployments.DeploymentFailed: "The deployment ended: a step failed, or a stage was rejected.",
    deployments.DeploymentTimedOut: "The deployment ended: it failed, because it had not ended after its timeout.",
    deployments.DeploymentCancelled: "The deployment ended: it was cancelled.",
}
"""A description of each event of a deployment."""

QUEUE_EVENTS: dict[type[queues.QueueEvent], str] = {
    queues.DeploymentRequested: "A deployment was queued.",
    queues.DeploymentMerged: "A request was merged into a waiting deployment that does the same.",
    queues.DeploymentAdmitted: "It is the turn of a deployment.",
    queues.DeploymentFrozen: "A deployment waits for the end of a freeze.",
    queues.DeploymentThawed: "The freeze for which a deployment waited is over.",
    queues.FreezeIgnored: "A deployment was requested in spite of a freeze.",
    queues.DeploymentMoved: "A deployment that waits has another place among those that wait.",
    queues.DeploymentClosed: "A deployment ended, or was cancelled while it waited. It is the turn of the next one.",
}
"""A description of each event of a queue."""


INSTANCE_EVENTS: dict[type[instances.InstanceEvent], str] = {
    instances.InstanceExited: "An instance ended, after its deployment.",
    instances.InstanceRestarted: "An instance that had ended was started again, and is healthy.",
    instances.InstanceGivenUp: "An instance ended too often, and is not started again.",
    instances.InstanceUnhealthy: "A running instance failed its health checks.",
    instances.InstanceRecovered: "An unhealthy instance is healthy again, without a restart.",
    instances.InstanceLost: "Nothing of an instance is left on its target, and no deployment removed it.",
    instances.InstanceDrifted: "Somebody has changed on the target what a deployment applied, or set it back.",
}
"""A description of each event of an instance."""

WITH_PROBLEM = instances.InstanceGivenUp, instances.InstanceUnhealthy, instances.InstanceLost
"""Events of an instance that say what is wrong with it."""


@strawberry.enum(description="The kind of an event of a deployment.")
class DeploymentEventType(enum.Enum):
    _ignore_ = "event"

    for event in get_args(deployments.DeploymentEvent):
        vars()[value_name(event.__name__)] = event.__name__


@strawberry.enum(description="The kind of an event of an environment's queue.")
class QueueEventType(enum.Enum):
    _ignore_ = "event"

    for event in get_args(queues.QueueEvent):
        vars()[value_name(event.__name__)] = event.__name__


@strawberry.enum(description="The kind of an event of an instance.")
class InstanceEventType(enum.Enum):
    _ignore_ = "event"

    for event in get_args(instances.InstanceEvent):
        vars()[value_name(event.__name__)] = event.__name__


describe_values(InstanceEventType, {value_name(event.__name__): text for event, text in INSTANCE_EVENTS.items()})
describe_values(DeploymentEventType, {value_name(event.__name__): text for event, text in DEPLOYMENT_EVENTS.items()})
describe_values(QueueEventType, {value_name(event.__name__): text for event, text in QUEUE_EVENTS.items()})


@strawberry.interface(
    description="An event of a project, or of an environment: of its pipeline, of a deployment, of its queue, or of its"
    " instances."
)
class Event(Node):
    cursor: str = strawberry.field(
        description="Cursor of the event, to resume environmentEvents, deploymentEvents or pipelineEvents after it."
    )
    log_position: LogPosition = strawberry.field(description="Position in the log.")
    version: int = strawberry.field(
        description="Number of the event in its deployment, pipeline, queue, instances or project, from 1."
    )
    recorded_at: datetime = strawberry.field(description="When the event was recorded.")
    origin: Origin = strawberry.field(description="Where the change came from.")
    reason: str | None = strawberry.field(description="The reason that the actor gave, if any.")
    message: str = strawberry.field(description="The event in words.")
    actor_id: Private[str]


@strawberry.type(description="An event of a deployment.")
class DeploymentEvent(Event):
    version: int = strawberry.field(description="Number of the event in the deployment, from 1.")
    deployment_event_type: DeploymentEventType = strawberry.field(description="The kind of event, for programs.")
    deployment: DeploymentRef = strawberry.field(description="The deployment.")
    stage: StageRef | None = strawberry.field(description="The stage that the event is about, if any.")
    service: ServiceRef | None = strawberry.field(description="The service that the event is about, if any.")
    phase: Phase | None = strawberry.field(description="The step that the event is about, if any.")
    attempt: int | None = strawberry.field(description="The attempt of the step, from 1; null without a step.")
    failure_reason: str | None = strawberry.field(description="The reason of a failure; null if nothing failed.")
    wait_reason: WaitReason | None = strawberry.field(
        description="The kind of wait that began or ended; null with another event."
    )
    worker: str | None = strawberry.field(
        description="Name of the worker that took over the deployment; null with another event."
    )
    cancellation: Cancellation | None = strawberry.field(
        description="The kind of cancellation that was requested; null with another event."
    )
    ports: list[int] | None = strawberry.field(description="The ports of a deployed service.")


async def project(root: strawberry.Parent["PipelineEvent"], info: Info) -> Project:
    """Return the project of an event's environment, as it is now."""
    info.context.reads(root.owner)
    return await info.context.together(_projects, root.owner)


async def _projects(context: Context, wanted: list[ProjectId]) -> list[Project]:
    found = await projects_of(context, set(wanted))
    return [found[each] for each in wanted]


@strawberry.type(description="An event of an environment or its pipeline.")
class PipelineEvent(Event):
    version: int = strawberry.field(description="Version of the pipeline after the event.")
    version_before: int = strawberry.field(description="Version of the pipeline before the event.")
    pipeline_event_type: PipelineEventType = strawberry.field(description="The kind of event, for programs.")
    token: TokenRef | None = strawberry.field(description="The token of the request; null for the server itself.")
    correlation: ID | None = strawberry.field(description="A text that all events of a request share.")
    environment: EnvironmentRef = strawberry.field(description="The environment, with its name before the event.")
    project: Project = strawberry.field(resolver=project, description="The project of the environment.")
    stage: StageRef | None = strawberry.field(description="The stage that the event is about, if any.")
    service: ServiceRef | None = strawberry.field(description="The service that the event is about, if any.")
    change: Change = strawberry.field(
        description="The change, with the previous values. A client can apply it to the pipeline before the event."
    )
    owner: Private[ProjectId]


@strawberry.type(description="An event of an environment's queue, which admits one deployment at a time.")
class QueueEvent(Event):
    version: int = strawberry.field(description="Number of the event in the queue, from 1.")
    queue_event_type: QueueEventType = strawberry.field(description="The kind of event, for programs.")
    deployment: DeploymentRef = strawberry.field(
        description="The deployment; with DEPLOYMENT_MERGED, the one that carries out the request."
    )


@strawberry.type(description="The end of an instance.")
class InstanceExit:
    code: int | None = strawberry.field(description="The exit code; null after a signal, and if nobody knows it.")
    signal: str | None = strawberry.field(description="The signal that ended it, such as SIGKILL; null otherwise.")
    is_out_of_memory: bool = strawberry.field(description="Whether it was killed at its limit of memory.")
    at: datetime = strawberry.field(description="When it ended, by the clock of its machine.")


def exit_from_domain(last: instances.InstanceExit | None) -> InstanceExit | None:
    if last is None:
        return None
    return InstanceExit(code=last.code, signal=last.signal, is_out_of_memory=last.is_out_of_memory, at=last.at)


@strawberry.type(description="An event of an instance of a service, after its deployment.")
class InstanceEvent(Event):
    version: int = strawberry.field(description="Number of the event in the instances of the environment, from 1.")
    instance_event_type: InstanceEventType = strawberry.field(description="The kind of event, for programs.")
    deployment: DeploymentRef = strawberry.field(description="The deployment that brought the instance.")
    service: ServiceRef = strawberry.field(description="The service.")
    count: int = strawberry.field(description="The number of ends or restarts that the event sums up.")
    exit: InstanceExit | None = strawberry.field(
        description="The end, the last one of several; null with another event."
    )
    problem: str | None = strawberry.field(
        description="Why the instance is unhealthy, given up or lost, if that is known."
    )


async def event_actor(context: Context, events: list[Event], selected: Selected) -> list[Actor]:
    return await existing_actors(context, [event.actor_id for event in events], selected)


for each in (
    Event,
    PipelineEvent,
    DeploymentEvent,
    QueueEvent,
    InstanceEvent,
):  # types don't inherit the edges of their interface
    edge(each, "The actor, as it is named now.", name="actor")(event_actor)


def event_id(recorded: RecordedEvent | HistoryView) -> ID:
    """Return the global id of an event; its position is the way to find it."""
    return global_id("event", recorded.id, recorded.position)


async def find(context: Context, id_: GlobalId) -> RecordedEvent | None:
    """Return the event with that id, of whatever place; None if there is none."""
    log = context.application.log
    if not id_.part.isdecimal() or int(id_.part) > await log.position():
        return None
    for recorded in await log.read_all(after=int(id_.part) - 1, limit=1):
        if parse(event_id(recorded)) == id_:
            return recorded
    return None


def deployment_event(view: EventView, epoch: str) -> DeploymentEvent:
    recorded, subject = view.recorded, view.subject
    return DeploymentEvent(
        id=event_id(recorded),
        cursor=cursors.of_position(epoch, recorded.position),
        log_position=LogPosition(recorded.position),
        version=recorded.version,
        deployment_event_type=DeploymentEventType(type(recorded.event).__name__),
        deployment=DeploymentRef(deployment_id=global_id("deployment", recorded.stream), number=view.number),
        recorded_at=recorded.recorded_at,
        actor_id=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=view.message,
        stage=None if subject.stage is None else stage_ref(subject.stage.id, subject.stage.name),
        service=None
        if subject.service is None
        else service_ref(subject.service.id, subject.service.name, subject.service.type),
        phase=subject.phase,
        attempt=subject.attempt,
        failure_reason=subject.failure_reason,
        wait_reason=subject.wait_reason,
        worker=subject.worker,
        cancellation=subject.cancellation,
        ports=None if subject.ports is None else list(subject.ports),
    )


def convert(
    recorded: RecordedEvent | HistoryView,
    environment: EnvironmentId,
    before: Pipeline,
    tokens: Mapping[UUID, str],
    epoch: str,
) -> PipelineEvent:
    """Return an event of a pipeline; *before* is the pipeline before it, and *tokens* has the name of its token."""
    event, by = cast("pipelines.PipelineEvent", recorded.event), recorded.by
    change = changes.change(before, event)
    project = event.project if isinstance(event, EnvironmentCreated) else before.project
    assert project is not None, "an environment that exists has a project"
    name = event.name if isinstance(event, EnvironmentCreated) else before.name
    return PipelineEvent(
        id=event_id(recorded),
        cursor=cursors.of_position(epoch, recorded.position),
        log_position=LogPosition(recorded.position),
        version=recorded.version,
        version_before=recorded.version - 1,
        pipeline_event_type=change.type,
        message=change.message,
        recorded_at=recorded.recorded_at,
        actor_id=by.actor,
        origin=by.origin,
        reason=by.reason,
        token=None
        if by.token is None or by.token not in tokens
        else TokenRef(token_id=global_id("token", by.token), name=tokens[by.token]),
        correlation=None if by.correlation is None else ID(by.correlation.hex),
        environment=EnvironmentRef(environment_id=global_id("environment", environment), name=name),
        stage=change.stage,
        service=change.service,
        change=change,
        owner=project,
    )


async def pipeline_events(context: Context, views: Sequence[EventView]) -> list[PipelineEvent]:
    """Return events of pipelines that `PipelineStory` described."""
    recorded = [view.recorded for view in views]
    tokens = await context.application.history.token_names({each.by.token for each in recorded if each.by.token})
    epoch = context.application.log.epoch
    return [convert(view.recorded, EnvironmentId(view.recorded.stream), view.before, tokens, epoch) for view in views]


async def pipeline_event(context: Context, view: EventView) -> PipelineEvent:
    return (await pipeline_events(context, [view]))[0]


def queue_event(view: EventView, epoch: str) -> QueueEvent:
    recorded = view.recorded
    event = cast("queues.QueueEvent", recorded.event)
    return QueueEvent(
        id=event_id(recorded),
        cursor=cursors.of_position(epoch, recorded.position),
        log_position=LogPosition(recorded.position),
        version=recorded.version,
        queue_event_type=QueueEventType(type(event).__name__),
        deployment=DeploymentRef(deployment_id=global_id("deployment", event.deployment), number=view.number),
        recorded_at=recorded.recorded_at,
        actor_id=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=view.message,
    )


def instance_event(view: EventView, epoch: str) -> InstanceEvent:
    recorded = view.recorded
    event = cast("instances.InstanceEvent", recorded.event)
    of = event.instance
    return InstanceEvent(
        id=event_id(recorded),
        cursor=cursors.of_position(epoch, recorded.position),
        log_position=LogPosition(recorded.position),
        version=recorded.version,
        instance_event_type=InstanceEventType(type(event).__name__),
        deployment=DeploymentRef(deployment_id=global_id("deployment", of.deployment), number=of.number),
        service=service_ref(of.service, of.name, of.type),
        count=event.count if isinstance(event, instances.InstanceExited | instances.InstanceRestarted) else 1,
        exit=exit_from_domain(event.last) if isinstance(event, instances.InstanceExited) else None,
        problem=event.problem if isinstance(event, WITH_PROBLEM) else None,
        recorded_at=recorded.recorded_at,
        actor_id=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=view.message,
    )
