"""Deployments."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry
from strawberry import ID, Private

from domain.deployment import queue as queues
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.state import Deployment as DeploymentState
from domain.errors import DeploymentNotFound, EnvironmentNotFound
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from endpoint.execution.answers import WHOLE
from endpoint.execution.edge import Selected, edge
from endpoint.execution.selection import names
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract import enum
from gql.contract.argument import check_list
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, part
from gql.contract.node import Node, global_id, uuid_of
from gql.types import environment as environments
from gql.types import pipeline as pipelines
from gql.types.actor import Actor, actors, existing_actors
from gql.types.diff import PipelineDiff, between
from gql.types.environment import Environment, environment_of, pipeline_view
from gql.types.event import DeploymentEvent, deployment_event
from gql.types.moment import zoned
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
from gql.types.step import Cancellation, Phase, Status
from gql.types.stream import DEPLOYMENT
from gql.types.stream import page as event_page
from projections.deployment import MAX_NARROWED, DeploymentQuery, DeploymentSummary, DeploymentView, StageView
from projections.engine.views import Page, PageEdge, Slice
from projections.queue import MAX_MERGED
from projections.step import ServiceView, StepView

enum.describe(
    Action,
    "The effect of a deployment on the services of its plan.",
    name="DeploymentAction",
    DEPLOY="Build and deploy the services, stage by stage; unchanged ones are left as they are.",
    REDEPLOY="Build and deploy all services, also unchanged ones, stage by stage.",
    RETRY="Build and deploy the services that an earlier deployment did not deploy, with its specifications.",
    ROLLBACK="Build and deploy the services with the specifications that an earlier deployment pinned.",
)


@strawberry.type(description="The first failed step of a deployment.")
class StepFailure:
    stage: StageRef = strawberry.field(description="The stage of the service.")
    service: ServiceRef = strawberry.field(description="The service.")
    phase: Phase = strawberry.field(description="The step.")
    failure_reason: str = strawberry.field(description="The reason of the failure.")


@strawberry.type(description="An attempt of a step.")
class StepAttempt:
    attempt: int = strawberry.field(description="Number of the attempt, from 1.")
    status: Status = strawberry.field(description="Status of the attempt; FAILED also if the step was retried.")
    started_at: datetime | None = strawberry.field(description="When the attempt started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the attempt ended; null if it has not.")
    failure_reason: str | None = strawberry.field(description="The reason why the attempt failed, if it did.")


@strawberry.type(description="The progress of one step of a service.")
class Step:
    status: Status = strawberry.field(description="Status of the step.")
    attempt: int = strawberry.field(description="Number of the current attempt, from 1.")
    started_at: datetime | None = strawberry.field(description="When the step started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the step ended; null if it has not.")
    failure_reason: str | None = strawberry.field(description="The reason why the last attempt failed.")
    unchanged_reason: str | None = strawberry.field(description="The reason why the step is UNCHANGED, if it is.")
    attempts: list[StepAttempt] = strawberry.field(description="All attempts, oldest first, with the current one.")
    retry_at: datetime | None = strawberry.field(
        description="When the failed step is tried again; null if it does not wait for that."
    )


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
    run: Private[DeploymentId]

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


@strawberry.type(description="One numbered run of a pipeline, which was pinned when the deployment was requested.")
class Deployment(Node):
    environment: Environment = strawberry.field(description="The environment of the deployment.")
    number: int = strawberry.field(description="Number of the deployment in its environment, from 1.")
    action: Action = strawberry.field(description="The effect on the services of the plan.")
    status: Status = strawberry.field(description="Status of the deployment.")
    reason: str | None = strawberry.field(description="The reason that the actor gave, if any.")
    pipeline_version: int = strawberry.field(description="Version of the pinned pipeline.")
    source_number: int | None = strawberry.field(
        description="Number of the deployment that it retries or rolls back to; null for another action."
    )
    revision: str | None = strawberry.field(
        description="Revision of the services' sources, which the actor gave, if any."
    )
    requested_at: datetime = strawberry.field(description="When the deployment was requested.")
    started_at: datetime | None = strawberry.field(description="When the deployment started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the deployment ended; null if it has not.")
    cancellation: Cancellation | None = strawberry.field(
        description="The kind of cancellation that was requested, if any."
    )
    failure: StepFailure | None = strawberry.field(description="The first failed step, if any.")
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


@strawberry.type(description="A service in the plan of a deployment snapshot.")
class DeploymentServiceSnapshot:
    service_id: ID = strawberry.field(description="Id of the service, which may be removed.")
    name: str = strawberry.field(description="Name of the service in the plan.")
    type: ServiceType = strawberry.field(description="Type of the service.")
    status: Status = strawberry.field(description="Status of the service in the deployment.")
    ports: list[int] = strawberry.field(description="The ports of the deployed service.")
    build: Step = strawberry.field(description="The build step.")
    deploy: Step = strawberry.field(description="The deploy step.")
    key: Private[ServiceId]
    planned: Private[DeploymentState | None]


@strawberry.type(description="A stage in the plan of a deployment snapshot.")
class DeploymentStageSnapshot:
    stage_id: ID = strawberry.field(description="Id of the stage, which may be deleted.")
    position: int = strawberry.field(description="Position in the plan, from 1.")
    name: str = strawberry.field(description="Name of the stage in the plan.")
    status: Status = strawberry.field(description="Status of the stage in the deployment.")
    started_at: datetime | None = strawberry.field(description="When the stage started; null if it had not.")
    finished_at: datetime | None = strawberry.field(description="When the stage ended; null if it had not.")
    services: list[DeploymentServiceSnapshot] = strawberry.field(description="The services of the stage.")


@strawberry.type(
    description="A deployment as it was, or as a dry run would make it. It is not the live deployment, so it has no id."
)
class DeploymentSnapshot:
    deployment_id: ID = strawberry.field(description="Id of the deployment; in a dry run of deploy, of none.")
    environment: Environment = strawberry.field(description="The environment of the deployment.")
    number: int = strawberry.field(description="Number of the deployment in its environment, from 1.")
    action: Action = strawberry.field(description="The effect on the services of the plan.")
    status: Status = strawberry.field(description="Status of the deployment.")
    reason: str | None = strawberry.field(description="The reason that the actor gave, if any.")
    pipeline_version: int = strawberry.field(description="Version of the pinned pipeline.")
    source_number: int | None = strawberry.field(
        description="Number of the deployment that it retries or rolls back to; null for another action."
    )
    revision: str | None = strawberry.field(
        description="Revision of the services' sources, which the actor gave, if any."
    )
    requested_at: datetime = strawberry.field(description="When the deployment was requested.")
    started_at: datetime | None = strawberry.field(description="When the deployment started; null if it had not.")
    finished_at: datetime | None = strawberry.field(description="When the deployment ended; null if it had not.")
    cancellation: Cancellation | None = strawberry.field(
        description="The kind of cancellation that was requested, if any."
    )
    failure: StepFailure | None = strawberry.field(description="The first failed step, if any.")
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
        revision=view.revision,
        requested_at=view.requested_at,
        started_at=view.started_at,
        finished_at=view.finished_at,
        cancellation=view.cancellation,
        failure=_failure(view),
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
        services=[_service_snapshot(service, planned) for service in view.services],
    )


def _service_snapshot(view: ServiceView, planned: DeploymentState | None) -> DeploymentServiceSnapshot:
    return DeploymentServiceSnapshot(
        service_id=global_id("service", view.id),
        name=view.name,
        type=view.type,
        status=view.status,
        ports=list(view.ports),
        build=_step(view.build),
        deploy=_step(view.deploy),
        key=view.id,
        planned=planned,
    )


async def from_view(context: Context, view: DeploymentView) -> Deployment:
    return convert(view, await environment_of(context, view.environment), context.application.log.epoch)


@edge(Deployment, "The actor who requested the deployment.", name="requested_by")
async def deployment_requested_by(context: Context, found: list[Deployment], selected: Selected) -> list[Actor]:
    return await existing_actors(context, [each.view.actor for each in found], selected)


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


NEWEST = Slice(first=1)
"""The newest deployment."""

CACHED_PAGE = 500
"""Size of a deployment in a cached page, in bytes, beside the deployment itself."""

STEPS = frozenset({"stages", "failure", "progress", "currentStage"})
"""The fields that need the steps of a deployment."""


def convert(view: DeploymentSummary, environment: Environment, epoch: str) -> Deployment:
    """Return the deployment of *view* in its environment.

    A summary is enough if no field of `STEPS` is selected.
    """
    stages = [_stage(view, stage) for stage in view.stages] if isinstance(view, DeploymentView) else []
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
        revision=view.revision,
        requested_at=view.requested_at,
        started_at=view.started_at,
        finished_at=view.finished_at,
        cancellation=view.cancellation,
        failure=_failure(view) if isinstance(view, DeploymentView) else None,
        stages=stages,
        duration_seconds=None if start is None or end is None else (end - start).total_seconds(),
        progress=DeploymentProgress(done=sum(service.status.is_final for service in services), total=len(services)),
        current_stage=next((stage for stage in stages if stage.status is Status.RUNNING), None),
        version=view.version,
        cursor=cursors.of_position(epoch, view.position),
        view=view,
    )


def listed_in(environment: EnvironmentId, query: DeploymentQuery | None = None) -> ListName:
    """Return the list of the deployments of an environment, or of those that match *query*."""
    return ListName("deployments", environment.hex).narrowed(query)


def _cached(context: Context, view: DeploymentSummary, environment: Environment) -> Deployment:
    """Return the deployment of *view* from the cache, if the view is itself cached."""
    epoch = context.application.log.epoch
    if not isinstance(view, DeploymentView):
        return convert(view, environment, epoch)
    return context.application.show(view.id, (view, environment), lambda: convert(view, environment, epoch), _size)


def _size(deployment: Deployment) -> int:
    return pipelines.CACHED_OBJECT * (1 + sum(1 + len(stage.services) for stage in deployment.stages))


async def _pages(
    context: Context,
    environments: Sequence[Environment],
    selected: Selected,
    slice_: Slice,
    query: DeploymentQuery | None = None,
) -> list[Page[Deployment]]:
    """Return the same part of the deployments of each environment, read at once."""
    await context.settled()
    context.reads(WHOLE)
    keys = [each.key for each in environments]
    has_steps = not STEPS.isdisjoint(selected)
    reader = context.application.deployments
    pages = (
        await reader.list_each(keys, slice_, has_steps=has_steps)
        if query is None
        else await reader.list_narrowed(keys, slice_, query, has_steps=has_steps)
    )

    def make() -> list[Page[Deployment]]:
        return [
            Page(
                edges=tuple(PageEdge(edge.cursor, _cached(context, edge.node, owner)) for edge in page.edges),
                has_previous=page.has_previous,
                has_next=page.has_next,
            )
            for owner, page in zip(environments, pages, strict=True)
        ]

    if query is not None or slice_.has_cursor:
        return make()
    key = (tuple(each.int for each in keys), slice_, has_steps)
    return context.application.show(
        key, (pages, *environments), make, lambda made: CACHED_PAGE * sum(1 + len(page.edges) for page in made)
    )


@strawberry.input(
    description="A filter of deployments. A deployment matches if it matches every field that is given, and of a list"
    f" any value: an empty list matches no deployment. At most {MAX_NARROWED} combinations of values are allowed."
)
class DeploymentFilter:
    statuses: list[Status] | None = strawberry.field(default=None, description="The present statuses.")
    actions: list[Action] | None = strawberry.field(default=None, description="The actions.")
    actors: list[str] | None = strawberry.field(default=None, description="Ids of the actors who requested it.")
    since: datetime | None = strawberry.field(default=None, description="Requested at this time or later.")
    until: datetime | None = strawberry.field(default=None, description="Requested at this time or earlier.")


Filter = Annotated[DeploymentFilter | None, strawberry.argument(description="The deployments to list; null for all.")]


@strawberry.enum(description="An order of deployments.")
class DeploymentOrder(Enum):
    NEWEST_FIRST = strawberry.enum_value("newest", description="By the time of the request, the newest first.")
    OLDEST_FIRST = strawberry.enum_value("oldest", description="By the time of the request, the oldest first.")


Order = Annotated[DeploymentOrder, strawberry.argument(description="The order of the list.")]

OLDEST = DeploymentQuery(is_ascending=True)
"""The query of all deployments, the oldest first."""


def _query(given: DeploymentFilter | None, order: DeploymentOrder) -> DeploymentQuery | None:
    """Return the query of a filter and an order, None for all, the newest first; raises `InvalidArgument`."""
    is_ascending = order is DeploymentOrder.OLDEST_FIRST
    if given is None:
        return OLDEST if is_ascending else None
    for name in ("statuses", "actions", "actors"):
        check_list(name, getattr(given, name) or ())
    return DeploymentQuery(
        statuses=None if given.statuses is None else frozenset(given.statuses),
        actions=None if given.actions is None else frozenset(given.actions),
        actors=None if given.actors is None else frozenset(given.actors),
        since=zoned("since", given.since),
        until=zoned("until", given.until),
        is_ascending=is_ascending,
    )


@edge(Environment, "The newest deployment of the environment, if any.")
async def latest_deployment(
    context: Context, environments: list[Environment], selected: Selected
) -> list[Deployment | None]:
    pages = await _pages(context, environments, selected, NEWEST)
    return [page.edges[0].node if page.edges else None for page in pages]


@edge(Environment, "The deployments of the environment, newest first.")
async def deployments(
    context: Context,
    environments: list[Environment],
    selected: Selected,
    filter: Filter = None,
    order_by: Order = DeploymentOrder.NEWEST_FIRST,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> list[Connection[Deployment]]:
    query = _query(filter, order_by)
    slices = {part(first, after, last, before, listed_in(each.key, query)) for each in environments}
    (slice_,) = slices  # a cursor belongs to one list
    pages = await _pages(context, environments, selected, slice_, query)
    return [
        connection(page, lambda node: node, listed_in(each.key, query))
        for each, page in zip(environments, pages, strict=True)
    ]


@edge(Environment, "The deployments that have not ended: the one that runs, then those that wait, in order.")
async def queue(context: Context, environments: list[Environment], selected: Selected) -> list[list[Deployment]]:
    await context.settled()
    context.reads(WHOLE)
    application = context.application
    waiting = await application.queues.open([each.key for each in environments])
    views = await application.deployments.find({id_ for some in waiting for id_ in some})
    epoch = application.log.epoch
    return [
        [convert(views[id_], environment, epoch) for id_ in some if id_ in views]
        for environment, some in zip(environments, waiting, strict=True)
    ]


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
        failure_reason=failure.reason,
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
        run=run.id,
    )


def _step(view: StepView) -> Step:
    return Step(
        status=view.status,
        attempt=view.attempt,
        started_at=view.started_at,
        finished_at=view.finished_at,
        failure_reason=None if view.status is Status.UNCHANGED else view.reason,
        unchanged_reason=view.reason if view.status is Status.UNCHANGED else None,
        attempts=_attempts(view),
        retry_at=view.retry_at,
    )


def _attempts(view: StepView) -> list[StepAttempt]:
    retried = [
        StepAttempt(
            attempt=each.attempt,
            status=Status.FAILED,
            started_at=each.started_at,
            finished_at=each.finished_at,
            failure_reason=each.reason,
        )
        for each in view.retried
    ]
    current = StepAttempt(
        attempt=view.attempt,
        status=view.status,
        started_at=view.started_at,
        finished_at=view.finished_at,
        failure_reason=view.reason if view.status is Status.FAILED else None,
    )
    return [*retried, current]


def deployment_id(text: str) -> DeploymentId:
    """Return the deployment with that id; raises `DeploymentNotFound` if *text* is not an id."""
    found = uuid_of("deployment", text)
    if found is None:
        raise DeploymentNotFound(deployment=text)
    return DeploymentId(found)


async def _count(context: Context, environment: EnvironmentId) -> int:
    states = context.application.handler.states
    return (await states.load(queues.decider, queues.stream(environment), has_asked=context.has_asked)).state.count


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
        filter: Filter = None,
        order_by: Order = DeploymentOrder.NEWEST_FIRST,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Deployment] | None:
        owner = await pipeline_view(info.context, environment)
        if owner is None:
            raise EnvironmentNotFound(environment=environment)
        query = _query(filter, order_by)
        key, selected, of = owner.environment, names(info), listed_in(owner.environment, query)
        now = environments.from_view(owner, await project_of(info.context, owner.project))
        (page,) = await _pages(info.context, [now], selected, part(first, after, last, before, of), query)
        total = await _count(info.context, key) if query in (None, OLDEST) and "totalCount" in selected else None
        return connection(page, lambda node: node, of, total)

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
