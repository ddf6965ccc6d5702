"""Lists of deployments."""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from domain.deployment import queue as queues
from domain.deployment.queue import Action
from domain.errors import EnvironmentNotFound
from domain.project import EnvironmentId
from endpoint.execution.answers import WHOLE
from endpoint.execution.edge import Selected, edge
from endpoint.execution.selection import names
from gql.context import Context, Info
from gql.contract.argument import check_list
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, part
from gql.types import deployment
from gql.types import environment as environments
from gql.types import pipeline as pipelines
from gql.types.deployment import Deployment
from gql.types.environment import Environment, pipeline_view
from gql.types.moment import zoned
from gql.types.project import project_of
from gql.types.ref import EnvironmentArgument
from gql.types.step import Status
from projections.deployment import MAX_NARROWED, DeploymentQuery, DeploymentSummary, DeploymentView
from projections.engine.views import Page, PageEdge, Slice

NEWEST = Slice(first=1)
"""The newest deployment."""

CACHED_PAGE = 500
"""Size of a deployment in a cached page, in bytes, beside the deployment itself."""

STEPS = frozenset({"stages", "failure", "progress", "currentStage", "logs", "explanation"})
"""The fields that need the steps of a deployment."""


def listed_in(environment: EnvironmentId, query: DeploymentQuery | None = None) -> ListName:
    """Return the list of the deployments of an environment, or of those that match *query*."""
    return ListName("deployments", environment.hex).narrowed(query)


def _cached(context: Context, view: DeploymentSummary, environment: Environment) -> Deployment:
    """Return the deployment of *view* from the cache, if the view is itself cached."""
    epoch = context.application.log.epoch
    if not isinstance(view, DeploymentView):
        return deployment.convert(view, environment, epoch)
    return context.application.show(
        view.id, (view, environment), lambda: deployment.convert(view, environment, epoch), _size
    )


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
    open_ = await open_deployments(context, [each.key for each in environments])
    epoch = context.application.log.epoch
    return [[deployment.convert(view, each, epoch) for view in open_[each.key]] for each in environments]


async def open_deployments(
    context: Context, environments: Collection[EnvironmentId]
) -> dict[EnvironmentId, list[DeploymentView]]:
    """Return the deployments of each environment that have not ended, in order; all are read at once."""
    await context.settled()
    context.reads(WHOLE)
    keys = list(dict.fromkeys(environments))
    waiting = await context.application.queues.open(keys)
    views = await context.application.deployments.find({id_ for some in waiting for id_ in some})
    return {key: [views[id_] for id_ in some if id_ in views] for key, some in zip(keys, waiting, strict=True)}


async def _count(context: Context, environment: EnvironmentId) -> int:
    states = context.application.handler.states
    return (await states.load(queues.decider, queues.stream(environment), has_asked=context.has_asked)).state.count


@strawberry.type
class Query:
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
