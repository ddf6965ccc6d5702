"""Environments."""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Annotated

import strawberry
from msgspec.structs import replace
from strawberry import ID, Private

from domain import project as projects
from domain.errors import EnvironmentNotFound, InvalidArgument, NotFound
from domain.pipeline.environment import EnvironmentPolicy as DomainPolicy
from domain.project import EnvironmentId, ProjectId
from endpoint.execution.answers import WHOLE
from endpoint.execution.edge import Selected, edge
from endpoint.execution.selection import names
from gql.context import Context, Info
from gql.contract.argument import MAX_PREFIX, check_list, name_prefix
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, part
from gql.contract.node import Node, global_id, uuid_of
from gql.types import freeze as freezes
from gql.types.failure import OnFailure
from gql.types.freeze import Freeze, FreezeInput
from gql.types.project import Project, project_of, projects_of
from gql.types.project import find as find_project
from gql.types.request import OnRequest
from gql.types.target import Target
from gql.types.variable import EnvironmentVariable, variables_from_domain
from projections.environment import EXISTING, EnvironmentQuery, EnvironmentView
from projections.pipeline import PipelineView

_ON_FAILURE = "The reaction of each stage that has none of its own."
_BUILD_BARRIER = "Whether all builds of a stage end before a service of it is deployed."
_FREEZES = "Recurring times in which no deployment starts; one that runs goes on."
_ON_REQUEST = "What a further request does while a deployment runs."
_DEPLOYMENT_TIMEOUT = (
    "Maximum duration of a deployment from its start, with all of its waits; then it fails. Null for no limit."
)


@strawberry.type(description="How the deployments of an environment are carried out.")
class EnvironmentPolicy:
    on_failure: OnFailure = strawberry.field(description=_ON_FAILURE)
    build_barrier: bool = strawberry.field(description=_BUILD_BARRIER)
    deployment_timeout_seconds: float | None = strawberry.field(description=_DEPLOYMENT_TIMEOUT)
    on_request: OnRequest = strawberry.field(description=_ON_REQUEST)
    freezes: list[Freeze] = strawberry.field(description=_FREEZES)


@strawberry.input(description="How the deployments of an environment are carried out.")
class EnvironmentPolicyInput:
    on_failure: OnFailure = strawberry.field(default=OnFailure.STOP, description=_ON_FAILURE)
    build_barrier: bool = strawberry.field(default=False, description=_BUILD_BARRIER)
    deployment_timeout_seconds: float | None = strawberry.field(default=None, description=_DEPLOYMENT_TIMEOUT)
    on_request: OnRequest = strawberry.field(default=OnRequest.MERGE, description=_ON_REQUEST)
    freezes: list[FreezeInput] = strawberry.field(default_factory=list, description=_FREEZES)


def policy_from_domain(policy: DomainPolicy) -> EnvironmentPolicy:
    return EnvironmentPolicy(
        on_failure=policy.on_failure,
        build_barrier=policy.build_barrier,
        deployment_timeout_seconds=policy.deployment_timeout,
        on_request=policy.on_request,
        freezes=[freezes.from_domain(each) for each in policy.freezes],
    )


def policy_to_domain(given: EnvironmentPolicyInput) -> DomainPolicy:
    check_list("freezes", given.freezes)
    return DomainPolicy(
        on_failure=given.on_failure,
        build_barrier=given.build_barrier,
        deployment_timeout=given.deployment_timeout_seconds,
        on_request=given.on_request,
        freezes=tuple(freezes.to_domain(each) for each in given.freezes),
    )


@strawberry.type(
    description="The place where services run together. It has one pipeline, and one deployment at a time."
)
class Environment(Node):
    name: str = strawberry.field(description="Name of the environment, unique in its project.")
    project: Project = strawberry.field(description="The project of the environment.")
    target: Target = strawberry.field(description="Where the steps of its deployments run.")
    concurrency: int = strawberry.field(description="Number of services that are built or deployed at once.")
    policy: EnvironmentPolicy = strawberry.field(description="How its deployments are carried out.")
    variables: list[EnvironmentVariable] = strawberry.field(
        description="The variables of the environment by name. They replace those of its project with the same name."
    )
    is_deleted: bool = strawberry.field(description="Whether the environment was deleted. Its history is kept.")
    created_at: datetime = strawberry.field(description="When the environment was created.")
    updated_at: datetime = strawberry.field(description="When the environment or its pipeline was last changed.")
    key: Private[EnvironmentId]


@strawberry.type(description="An environment as it was at a version of its pipeline. It is not the live environment.")
class EnvironmentSnapshot:
    environment_id: ID = strawberry.field(description="Id of the environment.")
    name: str = strawberry.field(description="Name of the environment at this version.")
    project: Project = strawberry.field(description="The project of the environment.")
    target: Target = strawberry.field(description="Where the steps of its deployments ran.")
    concurrency: int = strawberry.field(description="Number of services that were built or deployed at once.")
    policy: EnvironmentPolicy = strawberry.field(description="How its deployments were carried out.")
    variables: list[EnvironmentVariable] = strawberry.field(description="The variables of the environment by name.")
    is_deleted: bool = strawberry.field(description="Whether the environment was deleted.")
    created_at: datetime = strawberry.field(description="When the environment was created.")
    updated_at: datetime = strawberry.field(description="When this version was made.")


def snapshot(view: PipelineView, project: Project) -> EnvironmentSnapshot:
    return EnvironmentSnapshot(
        environment_id=global_id("environment", view.environment),
        name=view.pipeline.name,
        project=project,
        target=view.pipeline.target,
        concurrency=view.pipeline.concurrency,
        policy=policy_from_domain(view.pipeline.policy),
        variables=variables_from_domain(view.pipeline.variables),
        is_deleted=view.pipeline.is_deleted,
        created_at=view.created_at,
        updated_at=view.updated_at,
    )


def from_view(view: EnvironmentView | PipelineView, project: Project) -> Environment:
    id_, state = (view.environment, view.pipeline) if isinstance(view, PipelineView) else (view.id, view)
    return Environment(
        id=global_id("environment", id_),
        name=state.name,
        project=project,
        target=state.target,
        concurrency=state.concurrency,
        policy=policy_from_domain(state.policy),
        variables=variables_from_domain(state.variables),
        is_deleted=state.is_deleted,
        created_at=view.created_at,
        updated_at=view.updated_at,
        key=id_,
    )


CACHED_ENVIRONMENT = 2000
"""Size of an environment of a cached page, in bytes, with its edge."""


@strawberry.input(description="A filter of environments. An environment matches if it matches every field.")
class EnvironmentFilter:
    name_prefix: str | None = strawberry.field(
        default=None,
        description=f"The beginning of the name, without regard to case. At most {MAX_PREFIX} characters.",
    )
    include_deleted: bool = strawberry.field(default=False, description="Whether to list deleted environments, too.")


Filter = Annotated[
    EnvironmentFilter | None,
    strawberry.argument(description="The environments to list; null for all that are not deleted."),
]


@strawberry.enum(description="An order of environments.")
class EnvironmentOrder(Enum):
    NAME_ASCENDING = strawberry.enum_value("asc", description="By name, from A to Z, without regard to case.")
    NAME_DESCENDING = strawberry.enum_value("desc", description="By name, from Z to A, without regard to case.")


Order = Annotated[EnvironmentOrder, strawberry.argument(description="The order of the list.")]


def _query(given: EnvironmentFilter | None, order: EnvironmentOrder) -> EnvironmentQuery:
    """Return the query of a filter and an order; raises `InvalidArgument`."""
    is_descending = order is EnvironmentOrder.NAME_DESCENDING
    if given is None:
        return EnvironmentQuery(is_descending=is_descending)
    return EnvironmentQuery(
        prefix=name_prefix(given.name_prefix), has_deleted=given.include_deleted, is_descending=is_descending
    )


def listed_in(project: ProjectId | None, query: EnvironmentQuery) -> ListName:
    """Return the list of the environments of a project, or of all, that match *query*."""
    of = ListName("environments", "" if project is None else project.hex)
    return of if query == EXISTING else of.narrowed(query)


@edge(Project, "The environments of the project by name.")
async def environments(
    context: Context,
    projects: list[Project],
    selected: Selected,
    filter: Filter = None,
    order_by: Order = EnvironmentOrder.NAME_ASCENDING,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> list[Connection[Environment]]:
    await context.settled()
    context.reads(WHOLE)
    owners = {project.key: project for project in projects}
    query = _query(filter, order_by)
    slices = {part(first, after, last, before, listed_in(key, query)) for key in owners}
    (slice_,) = slices  # a cursor belongs to one list
    pages = await context.application.environments.list_each(list(owners), slice_, query, context.seen)

    def make() -> dict[str, Connection[Environment]]:
        return {
            owner.id: connection(page, partial(from_view, project=owner), listed_in(each, query))
            for (each, owner), page in zip(owners.items(), pages, strict=True)
        }

    def size(made: dict[str, Connection[Environment]]) -> int:
        return CACHED_ENVIRONMENT * sum(1 + len(each.edges) for each in made.values())

    key = (tuple(each.int for each in owners), slice_, query, context.seen)
    sources = (pages, *owners.values())
    found = make() if slice_.has_cursor else context.application.show(key, sources, make, size)
    return [found[project.id] for project in projects]


def environment_id(text: str) -> EnvironmentId:
    """Return the environment with that id; raises `EnvironmentNotFound` if *text* is not an id."""
    found = uuid_of("environment", text) or uuid_of("pipeline", text)
    if found is None:
        raise EnvironmentNotFound(environment=text)
    return EnvironmentId(found)


async def pipeline_view(
    context: Context, environment: str, version: int | None = None, as_of: datetime | None = None
) -> PipelineView | None:
    """Return the pipeline of the environment with that id, now, at *version* or at the time *as_of*."""
    found = uuid_of("environment", environment) or uuid_of("pipeline", environment)
    if found is None:
        return None
    pipelines = context.application.pipelines
    return await pipelines.get(EnvironmentId(found), version, as_of, has_asked=context.has_asked)


async def pipelines_of(context: Context, wanted: Collection[EnvironmentId]) -> Mapping[EnvironmentId, PipelineView]:
    """Return the newest pipelines of several environments, also of deleted ones, read at once."""
    await context.settled()
    return await context.application.pipelines.get_all(set(wanted), has_asked=context.has_asked)


async def environments_of(context: Context, wanted: Collection[EnvironmentId]) -> dict[EnvironmentId, Environment]:
    """Return several environments that exist or were deleted, as they are now, read at once."""
    views = await pipelines_of(context, wanted)
    projects = await projects_of(context, {view.project for view in views.values()})
    context.reads(*views, *projects)
    return {key: from_view(view, projects[view.project]) for key, view in views.items()}


async def environment_of(context: Context, environment: EnvironmentId) -> Environment:
    """Return an environment that exists or was deleted, as it is now."""
    view = await context.application.pipelines.get(environment, has_asked=context.has_asked)
    assert view is not None, "a deployment is of an environment that exists or was deleted"
    return from_view(view, await project_of(context, view.project))


async def known_environment(context: Context, text: str) -> EnvironmentId:
    """Return the environment with that id, which may be deleted; raises `EnvironmentNotFound`."""
    view = await pipeline_view(context, text)  # None also for an id of another kind of object
    if view is None:
        raise EnvironmentNotFound(environment=text)
    return view.environment


@strawberry.type
class Query:
    @strawberry.field(description="List the environments of a project, or of all projects, by name.")
    async def environments(
        self,
        info: Info,
        project: Annotated[
            ID | None, strawberry.argument(description="Id or name of the project; null for all projects.")
        ] = None,
        filter: Filter = None,
        order_by: Order = EnvironmentOrder.NAME_ASCENDING,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Environment] | None:
        application = info.context.application
        await info.context.settled()
        info.context.reads(WHOLE)
        owner = None if project is None else await find_project(info.context, project)
        query = _query(filter, order_by)
        of = listed_in(owner, query)
        seen = info.context.seen
        page = await application.environments.list(owner, part(first, after, last, before, of), query, seen)
        is_whole = owner is not None and replace(query, is_descending=False) == EXISTING
        is_counted = is_whole and seen is None and "totalCount" in names(info)
        total = await _count(info.context, owner) if owner and is_counted else None
        projects = await projects_of(info.context, {edge.node.project for edge in page.edges})
        return connection(page, lambda view: from_view(view, projects[view.project]), of, total)

    @strawberry.field(description="Return an environment, given either its id, or its project and its name.")
    async def environment(
        self,
        info: Info,
        id: Annotated[
            ID | None, strawberry.argument(description="Id of the environment; project and name must not be given.")
        ] = None,
        project: Annotated[
            ID | None, strawberry.argument(description="Id or name of the project; name must be given.")
        ] = None,
        name: Annotated[
            str | None, strawberry.argument(description="Name of the environment; project must be given.")
        ] = None,
    ) -> Environment | None:
        found = await _find(info.context, id, project, name)
        view = None if found is None else await info.context.application.pipelines.get(found)
        if view is None:
            return None
        if id is not None:
            info.context.reads(view.environment, view.project)
        return from_view(view, await project_of(info.context, view.project))


async def _count(context: Context, project: ProjectId) -> int:
    states = context.application.handler.states
    return len((await states.load(projects.decider, project, has_asked=context.has_asked)).state.environments)


async def _find(context: Context, id: str | None, project: str | None, name: str | None) -> EnvironmentId | None:
    if id is not None and project is None and name is None:
        found = uuid_of("environment", id)
        return None if found is None else EnvironmentId(found)
    if id is not None or project is None or name is None:
        raise InvalidArgument(argument="environment", why="either an id, or a project and a name, is required")
    try:
        owner = await find_project(context, project)
        return (await context.application.handler.states.load(projects.decider, owner)).state.find(name)
    except NotFound:
        return None
