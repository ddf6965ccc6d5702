"""Projects."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated

import strawberry
from msgspec import Struct
from strawberry import ID, Private

from application import project as writing
from cache.lru import weight
from domain import project as projects
from domain.errors import ProjectNotFound
from domain.project import ProjectId
from domain.role import Place, role_within
from endpoint.execution.answers import WHOLE
from endpoint.execution.selection import names
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, cut, part
from gql.contract.node import Node, global_id, uuid_of
from gql.types.ref import ProjectArgument
from gql.types.variable import EnvironmentVariable, variables_from_domain
from projections.engine.views import Slice
from projections.project import ProjectView, projection

PROJECTS = ListName("projects")
"""The list of all projects."""


class ProjectQuery(Struct, frozen=True):
    """A query of the projects that have or had a name."""

    named: str


CACHED_PROJECT = 1000
"""Size of a cached project without its variables, in bytes."""

_VARIABLES = "The variables of the project by name."


@strawberry.type(description="A namespace of environments.")
class Project(Node):
    name: str = strawberry.field(description="Name of the project, unique in the server.")
    is_deleted: bool = strawberry.field(description="Whether the project was deleted.")
    variables: list[EnvironmentVariable] = strawberry.field(
        description=f"{_VARIABLES} They apply to all its environments."
    )
    created_at: datetime = strawberry.field(description="When the project was created.")
    cursor: str = strawberry.field(description="A position in the log at which the project has this state.")

    key: Private[ProjectId]


@strawberry.type(
    description="A project as it was, or as a dry run would make it. It is not the live project, so it has no id."
)
class ProjectSnapshot:
    project_id: ID = strawberry.field(description="Id of the project; in a dry run of createProject, of none.")
    name: str = strawberry.field(description="Name of the project.")
    is_deleted: bool = strawberry.field(description="Whether the project was deleted.")
    variables: list[EnvironmentVariable] = strawberry.field(description=_VARIABLES)
    created_at: datetime = strawberry.field(description="When the project was created.")
    cursor: str = strawberry.field(description="A position in the log at which the project had this state.")


def snapshot(context: Context, view: ProjectView) -> ProjectSnapshot:
    return ProjectSnapshot(
        project_id=global_id("project", view.id),
        name=view.name,
        is_deleted=view.is_deleted,
        variables=variables_from_domain(view.variables),
        created_at=view.created_at,
        cursor=cursors.of_position(context.application.log.epoch, view.position),
    )


def from_view(context: Context, view: ProjectView) -> Project:
    return Project(
        id=global_id("project", view.id),
        name=view.name,
        is_deleted=view.is_deleted,
        variables=variables_from_domain(view.variables),
        created_at=view.created_at,
        cursor=cursors.of_position(context.application.log.epoch, view.position),
        key=view.id,
    )


async def project_of(context: Context, project: ProjectId) -> Project:
    """Return a project that exists, as it is now.

    Nothing is read if the stream has no new event: the pipelines of a project need it again and again.
    """
    application = context.application
    version = (await application.handler.states.load(projects.decider, project, has_asked=context.has_asked)).version
    cached: tuple[int, ProjectView | None, Project | None] = application.shown.get(project) or (0, None, None)
    known, view, found = cached
    if found is None or known != version:
        view = projection.replay(await application.log.read(project, after=known, until=version), view)
        assert view is not None, "an environment is in a project that exists"
        found = from_view(context, view)
        size = CACHED_PROJECT + sum(weight(variable) for variable in view.variables)
        application.shown.put(project, (version, view, found), size)
    return found


async def projects_of(context: Context, wanted: Collection[ProjectId]) -> dict[ProjectId, Project]:
    """Return several projects that exist, read at once."""
    if len(wanted) == 1:
        return {project: await project_of(context, project) for project in wanted}
    found = await context.application.projects.find(wanted)
    return {project: _same(context, from_view(context, found[project])) for project in wanted}


def _same(context: Context, project: Project) -> Project:
    """Return the cached project that equals *project*, which other cached objects are made of."""
    cache = context.application.shown
    known: Project | None = cache.get(project.id)
    if known != project:
        cache.put(project.id, project, CACHED_PROJECT)
    return project if known is None or known != project else known


async def find(context: Context, ref: str) -> ProjectId:
    """Return the project with that id or name; raises `ProjectNotFound`."""
    catalog = await _catalog(context)
    known = uuid_of("project", ref)
    if known is None:
        return catalog.find(ref)
    if catalog.projects.get(known) is None:
        raise ProjectNotFound(project=ref)
    return ProjectId(known)


async def find_ever(context: Context, ref: str) -> ProjectId:
    """Return the project with that id, also a deleted one, or with that name; raises `ProjectNotFound`."""
    known = uuid_of("project", ref)
    if known is not None:
        await context.settled()
        if await context.application.projects.get(ProjectId(known)) is not None:
            return ProjectId(known)
    return await find(context, ref)


async def _catalog(context: Context) -> projects.Catalog:
    states = context.application.handler.states
    return (await states.load(projects.catalog, projects.CATALOG, has_asked=context.has_asked)).state


async def _named(
    context: Context, name: str, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[Project]:
    application, of = context.application, PROJECTS.narrowed(ProjectQuery(named=name))
    found = await application.projects.find(await writing.named(application.log, name))
    seen = [view for view in found.values() if role_within(context.roles, Place(project=view.id))]
    views = sorted(seen, key=lambda view: (view.is_deleted, view.id))
    page = cut(views, part(first, after, last, before, of), lambda view: view.id.hex)
    return connection(page, lambda view: from_view(context, view), of, len(views))


async def page(context: Context, slice_: Slice, *, is_counted: bool) -> Connection[Project]:
    """Return a page of the projects."""
    found = await context.application.projects.list(slice_, context.seen)
    total = len((await _catalog(context)).projects) if is_counted and context.seen is None else None
    return connection(found, lambda view: from_view(context, view), PROJECTS, total)


@strawberry.type
class Query:
    @strawberry.field(description="List all projects by name.")
    async def projects(
        self,
        info: Info,
        named: Annotated[
            str | None,
            strawberry.argument(
                description="Only projects that have or had this name, in any case, also deleted ones. Those that are"
                " not deleted come first."
            ),
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Project] | None:
        await info.context.settled()
        info.context.reads(WHOLE)
        if named is not None:
            return await _named(info.context, named, first, after, last, before)
        slice_ = part(first, after, last, before, PROJECTS)
        return await page(info.context, slice_, is_counted="totalCount" in names(info))

    @strawberry.field(description="Return a project. A deleted one is found by its id only.")
    async def project(self, info: Info, id: ProjectArgument) -> Project | None:
        info.context.reads(WHOLE)
        try:
            return await project_of(info.context, await find(info.context, id))
        except ProjectNotFound:
            known = uuid_of("project", id)
            await info.context.settled()
            deleted = None if known is None else await info.context.application.projects.get(ProjectId(known))
            return None if deleted is None else from_view(info.context, deleted)
