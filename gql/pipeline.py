"""Environments and their pipelines: the types, and how a change to one is written and answered."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from domain import pipeline as domain
from domain import project as projects
from domain.environment import Target
from domain.errors import EnvironmentNotFound, InvalidArgument
from domain.project import EnvironmentId, ProjectId
from domain.service import Service as DomainService
from domain.spec import ServiceType
from gql import cursor as cursors
from gql import spec as specs
from gql.context import Context, Info
from gql.errors import Refusal
from gql.node import Node, global_id, uuid_of
from gql.spec import ServiceSpec
from gql.straight import Lasting
from gql.write import Write
from projections.environment import EnvironmentView
from projections.pipeline import PipelineView
from store.handle import Handled, Transaction

SERVICE = 1500
"""Size of a service or stage of a pipeline that is kept as it is shown, in bytes."""

strawberry.enum(Target, description="What carries an environment's steps out.")


@strawberry.type(description="The project of something.")
class ProjectRef:
    id: ID
    name: str


@strawberry.type(description="Where services run together; has one pipeline, and one deployment at a time.")
class Environment(Node):
    name: str
    project: ProjectRef
    target: Target
    concurrency: int = strawberry.field(description="How many services are built or deployed at once.")
    is_deleted: bool
    created_at: datetime
    updated_at: datetime = strawberry.field(description="When it or anything in its pipeline last changed.")


@strawberry.type(description="The stage of something.")
class StageRef:
    id: ID
    name: str


@strawberry.type(description="The environment of something.")
class EnvironmentRef:
    id: ID
    name: str


@strawberry.type(description="The service of something.")
class ServiceRef:
    id: ID
    name: str
    type: ServiceType


@strawberry.type(description="How a stage is carried out.")
class StagePolicy:
    concurrency: int | None = strawberry.field(
        description="How many of its services at once; null for the environment's number."
    )


@strawberry.type(description="What is built and deployed; stands in exactly one stage.")
class Service:
    id: ID
    name: str
    type: ServiceType
    is_skipped: bool = strawberry.field(description="Whether deployments of the environment leave it out.")
    stage: StageRef
    spec: ServiceSpec


@strawberry.type(description="A step of the order: its services are worked on side by side.")
class Stage:
    id: ID
    position: int = strawberry.field(description="Its place in the order, counted from 1.")
    name: str
    description: str
    home_of: ServiceType | None = strawberry.field(description="New services of this type land in it.")
    policy: StagePolicy
    services: list[Service]


@strawberry.type(description="An environment's ordered stages, and which service stands where.")
class Pipeline(Node, Lasting):
    environment: Environment
    version: int = strawberry.field(
        description="Counts the changes to the environment; what expectedVersion speaks of."
    )
    cursor: str = strawberry.field(
        description="The place in the log of its last change: follow pipelineEvents after it."
    )
    stages: list[Stage]


PipelineResult = Annotated[
    Pipeline | Refusal,
    strawberry.union("PipelineResult", description="The pipeline as the change left it, or why there is no change."),
]


def environment(view: EnvironmentView | PipelineView, project: ProjectRef) -> Environment:
    id_, about = (view.environment, view.pipeline) if isinstance(view, PipelineView) else (view.id, view)
    return Environment(
        id=global_id("environment", id_),
        name=about.name,
        project=project,
        target=about.target,
        concurrency=about.concurrency,
        is_deleted=about.is_deleted,
        created_at=view.created_at,
        updated_at=view.updated_at,
    )


def pipeline(view: PipelineView, project: ProjectRef, epoch: str) -> Pipeline:
    return Pipeline(
        id=global_id("pipeline", view.environment),
        environment=environment(view, project),
        version=view.version,
        cursor=cursors.of_position(epoch, view.position),
        stages=[stage(position, each) for position, each in enumerate(view.pipeline.stages, 1)],
    )


def stage(position: int, state: domain.Stage) -> Stage:
    own = StageRef(id=global_id("stage", state.id), name=state.name)
    return Stage(
        id=own.id,
        position=position,
        name=state.name,
        description=state.description,
        home_of=state.home_of,
        policy=StagePolicy(concurrency=state.policy.concurrency),
        services=[service(each, own) for each in state.services],
    )


def service(state: DomainService, stage: StageRef) -> Service:
    return Service(
        id=global_id("service", state.id),
        name=state.name,
        type=state.type,
        is_skipped=state.is_skipped,
        stage=stage,
        spec=specs.from_domain(state.spec),
    )


def stage_ref(id_: UUID, name: str) -> StageRef:
    return StageRef(id=global_id("stage", id_), name=name)


def service_ref(id_: UUID, name: str, type_: ServiceType) -> ServiceRef:
    return ServiceRef(id=global_id("service", id_), name=name, type=type_)


async def project_ref(context: Context, project: ProjectId) -> ProjectRef:
    states = context.application.handler.states
    state = (await states.load(projects.decider, project, has_asked=context.has_asked)).state
    return ProjectRef(id=global_id("project", project), name=state.name or "")


async def project_refs(context: Context, projects: Collection[ProjectId]) -> dict[ProjectId, ProjectRef]:
    """The same of several, read at once."""
    if len(projects) == 1:
        return {project: await project_ref(context, project) for project in projects}
    found = await context.application.projects.find(projects)
    names = {project: found[project].name if project in found else "" for project in projects}
    return {project: ProjectRef(id=global_id("project", project), name=name) for project, name in names.items()}


async def pinned(
    context: Context, wanted: list[tuple[EnvironmentId, int | None]]
) -> list[tuple[PipelineView, ProjectRef] | None]:
    """Pipelines as they stood at a version, or now if it is None, each with its project; read at once."""
    pipelines = context.application.pipelines
    views: dict[tuple[EnvironmentId, int | None], PipelineView | None] = {}
    for environment in {environment for environment, _ in wanted}:
        if (environment, None) in wanted:
            views[environment, None] = await pipelines.get(environment, has_asked=context.has_asked)
        versions = {version for each, version in wanted if each == environment and version is not None}
        found = await pipelines.at(environment, versions)
        views |= {(environment, version): view for version, view in found.items()}
    projects = await project_refs(context, {view.project for view in views.values() if view is not None})
    return [None if (view := views.get(each)) is None else (view, projects[view.project]) for each in wanted]


def environment_id(text: str) -> EnvironmentId:
    """The environment that the id *text* names; raises `EnvironmentNotFound`."""
    found = uuid_of("environment", text) or uuid_of("pipeline", text)
    if found is None:
        raise EnvironmentNotFound(environment=text)
    return EnvironmentId(found)


async def existing(write: Write, transaction: Transaction, text: str) -> EnvironmentId:
    """The environment that the id *text* names; raises `EnvironmentNotFound` if there is none, or none any more."""
    view = await view_of(write.context, text)  # None, too, for an id that is something else's
    if view is None:
        raise EnvironmentNotFound(environment=text)
    if not (await transaction.load(domain.decider, view.environment)).state.exists:
        raise EnvironmentNotFound(environment=view.pipeline.name)
    return view.environment


@strawberry.type
class Query:
    @strawberry.field(description="An environment's pipeline: the current one, or as it was at a version or a time.")
    async def pipeline(
        self, info: Info, environment: ID, version: int | None = None, as_of: datetime | None = None
    ) -> Pipeline | None:
        if version is not None and as_of is not None:
            raise InvalidArgument(argument="version", why="it can't be given together with asOf")
        if as_of is not None and as_of.tzinfo is None:
            raise InvalidArgument(argument="asOf", why="it needs a time zone, as in 2026-01-31T12:00:00Z")
        context = info.context
        view = await view_of(context, environment, version, as_of)
        if view is None:
            return None
        context.reads(view.environment, view.project)
        return await _kept(context, view)


async def view_of(
    context: Context, environment: str, version: int | None = None, as_of: datetime | None = None
) -> PipelineView | None:
    found = uuid_of("environment", environment) or uuid_of("pipeline", environment)
    if found is None:
        return None
    pipelines = context.application.pipelines
    return await pipelines.get(EnvironmentId(found), version, as_of, has_asked=context.has_asked)


async def shown(context: Context, view: PipelineView) -> Pipeline:
    return pipeline(view, await project_ref(context, view.project), context.application.log.epoch)


async def _kept(context: Context, view: PipelineView) -> Pipeline:
    """What `shown` gives. For the views that are asked for again and again it is kept, as those are themselves."""
    project = await project_ref(context, view.project)
    kept = context.application.shown
    of, made = kept.get(view.environment) or (None, None)
    if of is not view or made is None or made.environment.project != project:
        made = pipeline(view, project, context.application.log.epoch)
        services = sum(len(stage.services) for stage in view.pipeline.stages)
        kept.put(view.environment, (view, made), SERVICE * (services + len(view.pipeline.stages)))
    return made


async def change(write: Write, environment: str, command: domain.PipelineCommand) -> Pipeline:
    """Carries out *command* on the environment's pipeline, and nothing beside it."""

    async def work(transaction: Transaction) -> UUID:
        stream = await existing(write, transaction, environment)
        await transaction.do(domain.decider, stream, command, write.expected_version)
        return stream

    return await answer(write, await write.transact(work, domain.decider))


async def answer(write: Write, handled: Handled[domain.Pipeline]) -> Pipeline:
    """The pipeline as the change left it, or as a dry run would have left it."""
    environment = EnvironmentId(handled.subject.stream)
    pipelines = write.context.application.pipelines
    if write.dry_run and handled.events:
        return await shown(write.context, _preview(handled, await pipelines.get(environment)))
    view = await pipelines.get(environment, handled.subject.version)
    assert view is not None, "a handled command leaves a pipeline behind"
    return await shown(write.context, view)


def _preview(handled: Handled[domain.Pipeline], now: PipelineView | None) -> PipelineView:
    """What a dry run would have led to."""
    at = datetime.now(UTC)
    assert handled.state.project is not None, "an environment that exists has a project"
    return PipelineView(
        environment=EnvironmentId(handled.subject.stream),
        project=handled.state.project,
        version=handled.subject.version,
        position=handled.receipt.position,
        created_at=now.created_at if now else at,
        updated_at=at,
        pipeline=handled.state,
    )
