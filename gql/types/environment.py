"""Environments."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from domain import project as projects
from domain.errors import EnvironmentNotFound, InvalidArgument, NotFound
from domain.pipeline.environment import Target
from domain.project import EnvironmentId
from endpoint.execution.answers import WHOLE
from gql.context import Context, Info
from gql.contract import enum
from gql.contract.connection import After, Before, Connection, First, Last, connection, part
from gql.contract.node import Node, global_id, uuid_of
from gql.types.project import find as find_project
from gql.types.ref import ProjectArgument, ProjectRef, project_ref
from projections.environment import EnvironmentView
from projections.pipeline import PipelineView

enum.describe(
    Target,
    "The place where the steps of a deployment run.",
    PROCESS="Processes on a machine of Stageline.",
    DOCKER="Containers of a Docker engine.",
    KUBERNETES="Workloads of a Kubernetes cluster.",
)


@strawberry.type(
    description="The place where services run together. It has one pipeline, and one deployment at a time."
)
class Environment(Node):
    name: str = strawberry.field(description="Name of the environment, unique in its project.")
    project: ProjectRef = strawberry.field(description="The project of the environment.")
    target: Target = strawberry.field(description="Where the steps of its deployments run.")
    concurrency: int = strawberry.field(description="Number of services that are built or deployed at once.")
    is_deleted: bool = strawberry.field(description="Whether the environment was deleted. Its history is kept.")
    created_at: datetime = strawberry.field(description="When the environment was created.")
    updated_at: datetime = strawberry.field(description="When the environment or its pipeline was last changed.")


def from_view(view: EnvironmentView | PipelineView, project: ProjectRef) -> Environment:
    id_, state = (view.environment, view.pipeline) if isinstance(view, PipelineView) else (view.id, view)
    return Environment(
        id=global_id("environment", id_),
        name=state.name,
        project=project,
        target=state.target,
        concurrency=state.concurrency,
        is_deleted=state.is_deleted,
        created_at=view.created_at,
        updated_at=view.updated_at,
    )


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


async def known_environment(context: Context, text: str) -> EnvironmentId:
    """Return the environment with that id, which may be deleted; raises `EnvironmentNotFound`."""
    view = await pipeline_view(context, text)  # None also for an id of another kind of object
    if view is None:
        raise EnvironmentNotFound(environment=text)
    return view.environment


@strawberry.type
class Query:
    @strawberry.field(description="List the environments of a project by name.")
    async def environments(
        self,
        info: Info,
        project: ProjectArgument,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Environment]:
        application = info.context.application
        await info.context.settled()
        info.context.reads(WHOLE)
        owner = await find_project(info.context, project)
        own = await project_ref(info.context, owner)
        page = await application.environments.list(owner, part(first, after, last, before))
        return connection(page, lambda view: from_view(view, own))

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
        return from_view(view, await project_ref(info.context, view.project))


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
