"""Lists of services."""

from collections.abc import Collection, Iterator
from typing import Annotated

import strawberry
from strawberry import ID

from domain import name as names
from domain.errors import EnvironmentNotFound, InvalidArgument
from domain.project import EnvironmentId, ProjectId
from endpoint.execution.answers import WHOLE
from endpoint.execution.edge import Selected, edge
from endpoint.execution.selection import names as selected_names
from gql.context import Context, Info
from gql.contract.argument import MAX_PREFIX, name_prefix
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, part
from gql.types import service as services
from gql.types import stage as stages
from gql.types.environment import Environment, environments_of, pipeline_view, pipelines_of
from gql.types.project import find as find_project
from gql.types.service import Service
from projections.engine.views import Page, PageEdge
from projections.environment import owners
from projections.pipeline import PipelineView
from projections.service import ALL, ListedService, ServiceQuery


@strawberry.input(description="A filter of services.")
class ServiceFilter:
    name_prefix: str | None = strawberry.field(
        default=None,
        description=f"The beginning of the name, without regard to case. At most {MAX_PREFIX} characters.",
    )


def _query(given: ServiceFilter | None) -> ServiceQuery:
    """Return the query of a filter; raises `InvalidArgument`."""
    return ALL if given is None else ServiceQuery(prefix=name_prefix(given.name_prefix))


@edge(Service, "The environment of the service.", name="environment")
async def service_environment(context: Context, services: list[Service], selected: Selected) -> list[Environment]:
    found = await environments_of(context, {each.key[0] for each in services})
    return [found[each.key[0]] for each in services]


async def _live(context: Context, page: Page[ListedService]) -> Page[Service]:
    """Return the services of *page* as they are now, without those that were removed since it was read."""
    wanted: dict[EnvironmentId, set[int]] = {}
    for each in page.edges:
        wanted.setdefault(each.node.environment, set()).add(each.node.service.int)
    views = await pipelines_of(context, wanted)
    found = {made.key[1]: made for key, view in views.items() for made in _services(view, wanted[key])}
    return Page(
        edges=tuple(
            PageEdge(each.cursor, found[each.node.service]) for each in page.edges if each.node.service in found
        ),
        has_previous=page.has_previous,
        has_next=page.has_next,
    )


def _services(view: PipelineView, wanted: Collection[int]) -> Iterator[Service]:
    """Yield the services of a pipeline whose ids, as integers, are *wanted*; none of a deleted environment."""
    for position, stage in enumerate(view.pipeline.stages if view.pipeline.exists else (), 1):
        own = [each for each in stage.services if each.id.int in wanted]
        if own:
            made = stages.from_domain(position, stage, view.environment)
            yield from (services.from_domain(each, made, view.environment) for each in own)


async def _owner(
    context: Context, project: str | None, environment: str | None
) -> tuple[ProjectId | EnvironmentId | None, PipelineView | None]:
    """Return the project or environment whose services are listed, None for all; and the pipeline of the latter."""
    if environment is None:
        return (None if project is None else await find_project(context, project)), None
    if project is not None:
        raise InvalidArgument(argument="project", why="it must not be given together with environment")
    view = await pipeline_view(context, environment)
    if view is None:
        raise EnvironmentNotFound(environment=environment)
    return view.environment, view


def _count(view: PipelineView, query: ServiceQuery) -> int:
    prefix = names.key(query.prefix)
    return (
        sum(names.key(each.name).startswith(prefix) for each in view.pipeline.services) if view.pipeline.exists else 0
    )


@strawberry.type
class Query:
    @strawberry.field(
        description="List the services of an environment, of a project, or of all projects, by name,"
        " without those of deleted environments. Only the list of an environment has a totalCount."
    )
    async def services(
        self,
        info: Info,
        project: Annotated[
            ID | None, strawberry.argument(description="Id or name of the project; null for all projects.")
        ] = None,
        environment: Annotated[
            ID | None,
            strawberry.argument(description="Id of the environment; null for all. With it, project must not be given."),
        ] = None,
        filter: Annotated[
            ServiceFilter | None, strawberry.argument(description="The services to list; null for all.")
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Service] | None:
        context, query = info.context, _query(filter)
        await context.settled()
        context.reads(WHOLE)
        owner, pipeline = await _owner(context, project, environment)
        of = ListName("services", "" if owner is None else owner.hex).narrowed(None if query == ALL else query)
        whole = None if owner is None else ProjectId(owner)
        seen = [owner] if pipeline is not None else owners(whole, context.seen)
        page = await context.application.services.list(seen, part(first, after, last, before, of), query)
        total = None if pipeline is None or "totalCount" not in selected_names(info) else _count(pipeline, query)
        return connection(await _live(context, page), lambda each: each, of, total)
