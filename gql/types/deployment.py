"""Deployments."""

from datetime import datetime

import strawberry
from strawberry import Private

from domain.deployment import queue as queues
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.repeat import undo_id
from domain.errors import DeploymentNotFound
from domain.project import EnvironmentId
from endpoint.execution.edge import Selected, edge
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract import enum
from gql.contract.connection import After, Before, Connection, First, Last, connection, part
from gql.contract.node import Node, global_id, uuid_of
from gql.types import deployment_stage
from gql.types import pipeline as pipelines
from gql.types.actor import Actor, actors, existing_actors
from gql.types.deployment_stage import DeploymentStage
from gql.types.diff import PipelineDiff, between
from gql.types.environment import Environment, environment_of
from gql.types.event import DeploymentEvent, deployment_event
from gql.types.pipeline import PipelineSnapshot, versions
from gql.types.ref import DeploymentArgument
from gql.types.step import Cancellation, Status, StepFailure, failure_of
from gql.types.stream import DEPLOYMENT
from gql.types.stream import page as event_page
from projections.deployment import DeploymentSummary, DeploymentView
from projections.queue import MAX_MERGED

enum.describe(
    Action,
    "The effect of a deployment on the services of its plan.",
    name="DeploymentAction",
    DEPLOY="Build and deploy the services, stage by stage; unchanged ones are left as they are.",
    REDEPLOY="Build and deploy all services, also unchanged ones, stage by stage.",
    RETRY="Build and deploy the services that an earlier deployment did not deploy, with its specifications.",
    ROLLBACK="Build and deploy the services with the specifications that an earlier deployment pinned, or after a"
    " failure those that it renewed, with the specifications of the deployments before.",
    RESTART="Replace what runs of the services, with the same specifications and without a build.",
    START="Start stopped services as they ran last, without a build.",
    STOP="Stop the services, in the reverse order of the stages. They stay stopped until they are started or deployed.",
    DELETE="Stop the services, in the reverse order of the stages, and forget what ran of them.",
)


@strawberry.type(description="How much of a deployment is done, in services.")
class DeploymentProgress:
    done: int = strawberry.field(description="Number of services that ended, in whichever way.")
    total: int = strawberry.field(description="Number of services in the plan.")


@strawberry.type(description="A request that merged into a waiting deployment, which had the same plan.")
class MergedRequest:
    reason: str | None = strawberry.field(description="The reason that the actor gave, if any.")
    requested_at: datetime = strawberry.field(description="When it was requested.")
    actor_id: Private[str]


@edge(MergedRequest, "The actor who made the request.")
async def requested_by(context: Context, requests: list[MergedRequest], selected: Selected) -> list[Actor]:
    return await existing_actors(context, [request.actor_id for request in requests], selected)


@strawberry.type
class DeploymentFields:
    """The fields of a deployment, live or in a snapshot."""

    environment: Environment = strawberry.field(description="The environment of the deployment.")
    number: int = strawberry.field(description="Number of the deployment in its environment, from 1.")
    action: Action = strawberry.field(description="The effect on the services of the plan.")
    status: Status = strawberry.field(description="Status of the deployment.")
    reason: str | None = strawberry.field(description="The reason that the actor gave, if any.")
    pipeline_version: int = strawberry.field(description="Version of the pinned pipeline.")
    source_number: int | None = strawberry.field(
        description="Number of the deployment that it retries or rolls back to; null for another action."
    )
    undone_number: int | None = strawberry.field(
        description="Number of the failed deployment whose renewed services it brings back; null for any other"
        " deployment. The server requests it by the policy ROLL_BACK."
    )
    revision: str | None = strawberry.field(
        description="Revision of the services' sources, which the actor gave, if any."
    )
    requested_at: datetime = strawberry.field(description="When the deployment was requested.")
    started_at: datetime | None = strawberry.field(description="When the deployment started; null before that.")
    finished_at: datetime | None = strawberry.field(description="When the deployment ended; null before that.")
    cancellation: Cancellation | None = strawberry.field(
        description="The kind of cancellation that was requested, if any."
    )
    superseded_by_number: int | None = strawberry.field(
        description="Number of the later deployment that superseded it while it waited, if any; then it is cancelled."
    )
    is_held: bool = strawberry.field(description="Whether nothing new starts until it is released.")
    timeout_seconds: float | None = strawberry.field(
        description="Maximum duration from the start, with all waits; then the deployment fails. Null for no limit."
    )
    has_timed_out: bool = strawberry.field(
        description="Whether it had not ended after its maximum duration, so that its running steps were stopped."
    )
    failure: StepFailure | None = strawberry.field(
        description="The first failed step, if any. A deployment that timed out has failed without one."
    )


@strawberry.type(description="One numbered run of a pipeline, which was pinned when the deployment was requested.")
class Deployment(Node, DeploymentFields):
    stages: list[DeploymentStage] = strawberry.field(description="The stages of the plan in order.")
    duration_seconds: float | None = strawberry.field(
        description="Time from the start to the end, in seconds; null before the end."
    )
    progress: DeploymentProgress = strawberry.field(description="How much of the plan is done.")
    current_stage: DeploymentStage | None = strawberry.field(description="The stage that runs now, if any.")
    version: int = strawberry.field(description="Number of events of the deployment, for expectedVersion.")
    cursor: str = strawberry.field(
        description="Position of the last event in the log, to follow deploymentEvents after it."
    )
    view: Private[DeploymentSummary]

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
        return self.view.environment, self.pipeline_version


async def from_view(context: Context, view: DeploymentView) -> Deployment:
    return convert(view, await environment_of(context, view.environment), context.application.log.epoch)


@edge(Deployment, "The actor who requested the deployment.", name="requested_by")
async def deployment_requested_by(context: Context, found: list[Deployment], selected: Selected) -> list[Actor]:
    return await existing_actors(context, [each.view.actor for each in found], selected)


@edge(Deployment, "The deployment that brings back the services that this one renewed before it failed, if any.")
async def rollback(context: Context, found: list[Deployment], selected: Selected) -> list[Deployment | None]:
    ids = [undo_id(each.view.id) if each.view.rolls_back else None for each in found]
    wanted = [each for each in ids if each is not None]
    context.reads(*wanted)
    views = await context.application.deployments.find(wanted)
    epoch = context.application.log.epoch
    return [
        None if id_ is None or id_ not in views else convert(views[id_], each.environment, epoch)
        for id_, each in zip(ids, found, strict=True)
    ]


@edge(Deployment, "The actor of the last request to cancel the deployment, if any.")
async def cancelled_by(context: Context, found: list[Deployment], selected: Selected) -> list[Actor | None]:
    return await actors(context, [each.view.cancelled_by for each in found], selected)


@edge(Deployment, f"The requests that merged into the deployment, oldest first; at most the last {MAX_MERGED}.")
async def merged_requests(context: Context, found: list[Deployment], selected: Selected) -> list[list[MergedRequest]]:
    await context.settled()
    context.reads(*(queues.stream(each.view.environment) for each in found))
    merged = await context.application.queues.merged({each.view.id for each in found})
    requests = [merged[each.view.id].requests if each.view.id in merged else () for each in found]
    return [
        [MergedRequest(reason=each.reason, requested_at=each.at, actor_id=each.actor) for each in some]
        for some in requests
    ]


def convert(
    view: DeploymentSummary, environment: Environment, epoch: str, stages: list[DeploymentStage] | None = None
) -> Deployment:
    """Return the deployment of *view* in its environment, with its *stages* if they are converted already.

    A summary is enough if no field of `deployment_list.STEPS` is selected.
    """
    run = view if isinstance(view, DeploymentView) else None
    if stages is None:
        stages = [] if run is None else [deployment_stage.from_view(run, stage) for stage in run.stages]
    services = [service for stage in stages for service in stage.services]
    start, end = view.started_at, view.finished_at
    return Deployment(
        id=global_id("deployment", view.id),
        environment=environment,
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
        failure=None if run is None else failure_of(run),
        stages=stages,
        duration_seconds=None if start is None or end is None else (end - start).total_seconds(),
        progress=DeploymentProgress(done=sum(service.status.is_final for service in services), total=len(services)),
        current_stage=next((stage for stage in stages if stage.status is Status.RUNNING), None),
        version=view.version,
        cursor=cursors.of_position(epoch, view.position),
        view=view,
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

    @strawberry.field(description="List the events of a deployment in order.")
    async def deployment_events(
        self,
        info: Info,
        deployment: DeploymentArgument,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[DeploymentEvent] | None:
        stream, missing = deployment_id(deployment), DeploymentNotFound(deployment=deployment)
        page = await event_page(info.context, stream, DEPLOYMENT, part(first, after, last, before), missing)
        info.context.reads(stream)
        epoch = info.context.application.log.epoch
        return connection(page, lambda view: deployment_event(view, epoch))
