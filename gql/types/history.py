"""The history of pipelines, newest first and without a time limit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import ID

from domain.errors import EnvironmentNotFound, InvalidArgument, ServiceNotFound, StageNotFound
from domain.pipeline.ref import ServiceId, StageId
from domain.project import ProjectId
from endpoint.execution.answers import WHOLE
from endpoint.execution.edge import Selected, edge
from gql.context import Context, Info
from gql.contract.argument import check_list
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, part
from gql.types import event as events
from gql.types.change import PipelineEventType
from gql.types.environment import Environment, environment_id, pipeline_view, pipelines_of
from gql.types.event import PipelineEvent
from gql.types.moment import zoned
from gql.types.origin import Origin
from gql.types.project import Project, find_ever
from gql.types.ref import EnvironmentArgument, to_service, to_stage
from gql.types.service import Service
from gql.types.stream import PIPELINE
from gql.types.stream import page as event_page
from projections.engine.views import Page, PageEdge, Slice
from projections.history import HistoryQuery
from projections.pipeline import PipelineView

MAX_TEXT = 1000
"""Maximum length of the text to search for, in characters."""


LISTS = ("types", "actors", "origins", "stages", "services")
"""The fields of a filter that are lists."""

_REFS = "Their ids; in the history of one environment, their current names are also accepted."


@strawberry.input(
    description="A filter of the history. An event matches if it matches every field that is given, and of a list any"
    " value: an empty list matches no event."
)
class HistoryFilter:
    types: list[PipelineEventType] | None = strawberry.field(default=None, description="The event has one of them.")
    actors: list[str] | None = strawberry.field(default=None, description="Ids of the actors.")
    origins: list[Origin] | None = strawberry.field(default=None, description="The origins of the change.")
    stages: list[ID] | None = strawberry.field(default=None, description="The stages that the event is about. " + _REFS)
    services: list[ID] | None = strawberry.field(
        default=None, description="The services that the event is about. " + _REFS
    )
    since: datetime | None = strawberry.field(default=None, description="Recorded at this time or later.")
    until: datetime | None = strawberry.field(default=None, description="Recorded at this time or earlier.")
    text: str | None = strawberry.field(
        default=None,
        description="Words in the message or the reason; the last word may be a prefix."
        f" At most {MAX_TEXT} characters.",
    )


Filter = Annotated[HistoryFilter | None, strawberry.argument(description="The events to list; null for all.")]


def history_query(given: HistoryFilter | None, view: PipelineView | None = None) -> HistoryQuery:
    """Return the query of a filter; names are those in *view*. Raises the refusal of an invalid filter."""
    if given is None:
        return HistoryQuery()
    for name in LISTS:
        check_list(name, getattr(given, name) or ())
    if len(given.text or "") > MAX_TEXT:
        raise InvalidArgument(
            argument="text", why=f"{len(given.text or ''):,} characters; at most {MAX_TEXT:,} are allowed"
        )
    return HistoryQuery(
        types=tuple(type_.value for type_ in given.types or ()),
        actors=tuple(given.actors or ()),
        origins=tuple(given.origins or ()),
        stages=tuple(_stage(text, view) for text in given.stages or ()),
        services=tuple(_service(text, view) for text in given.services or ()),
        text=given.text or "",
        since=zoned("since", given.since),
        until=zoned("until", given.until),
        last=0 if any(getattr(given, name) == [] for name in LISTS) else None,
    )


def _stage(text: str, view: PipelineView | None) -> StageId:
    found = to_stage(text)
    if isinstance(found, UUID):
        return found
    if view is None:
        raise StageNotFound(stage=text)
    return view.pipeline.stage(found).id


def _service(text: str, view: PipelineView | None) -> ServiceId:
    found = to_service(text)
    if isinstance(found, UUID):
        return found
    if view is None:
        raise ServiceNotFound(service=text)
    return view.pipeline.service(found).id


async def pages(
    context: Context, queries: Sequence[HistoryQuery], slice_: Slice, lists: Sequence[ListName]
) -> list[Connection[PipelineEvent]]:
    """Return the same page of several lists, read at once, with all that was recorded before the request."""
    await context.settled()
    found = await context.application.history.list_all([replace(query, seen=context.seen) for query in queries], slice_)
    views = [edge.node for page in found for edge in page.edges]
    tokens = await context.application.history.token_names({view.by.token for view in views if view.by.token})
    epoch = context.application.log.epoch
    return [
        connection(page, lambda view: events.convert(view, view.environment, view.before, tokens, epoch), of)
        for page, of in zip(found, lists, strict=True)
    ]


@edge(Environment, "The events of the environment and its pipeline, newest first.", name="history")
async def environment_history(
    context: Context,
    environments: list[Environment],
    selected: Selected,
    filter: Filter = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> list[Connection[PipelineEvent]]:
    context.reads(WHOLE)
    names_a_part = filter is not None and (filter.stages or filter.services)
    views = await pipelines_of(context, [each.key for each in environments]) if names_a_part else {}
    queries = [replace(history_query(filter, views.get(each.key)), environment=each.key) for each in environments]
    lists = [_listed("pipelineHistory", query.environment, filter, query) for query in queries]
    return await _pages(context, queries, lists, first, after, last, before)


@edge(Project, "The events of the project's environments and their pipelines, newest first.", name="history")
async def project_history(
    context: Context,
    projects: list[Project],
    selected: Selected,
    filter: Filter = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> list[Connection[PipelineEvent]]:
    context.reads(WHOLE)
    queries = [replace(history_query(filter), project=each.key) for each in projects]
    lists = [_listed("history", query.project, filter, query) for query in queries]
    return await _pages(context, queries, lists, first, after, last, before)


@edge(Service, "The events of the service, newest first.", name="history")
async def service_history(
    context: Context,
    services: list[Service],
    selected: Selected,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> list[Connection[PipelineEvent]]:
    context.reads(WHOLE)
    queries = [HistoryQuery(environment=each.key[0], services=(each.key[1],)) for each in services]
    lists = [ListName("serviceHistory", each.key[1].hex) for each in services]
    return await _pages(context, queries, lists, first, after, last, before)


def _listed(name: str, owner: UUID | None, filter: HistoryFilter | None, query: HistoryQuery) -> ListName:
    """Return the list of the events of *owner*, or of all; with a filter, of those that match *query*."""
    return ListName(name, "" if owner is None else owner.hex).narrowed(None if filter is None else query)


async def _pages(
    context: Context,
    queries: Sequence[HistoryQuery],
    lists: Sequence[ListName],
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> list[Connection[PipelineEvent]]:
    """Return the same page of each list of events, read at once."""
    (slice_,) = {part(first, after, last, before, each) for each in lists}  # a cursor belongs to one list
    return await pages(context, queries, slice_, lists)


@strawberry.type
class Query:
    @strawberry.field(description="List the events of an environment and its pipeline, newest first.")
    async def pipeline_history(
        self,
        info: Info,
        environment: EnvironmentArgument,
        filter: Filter = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[PipelineEvent] | None:
        view = await pipeline_view(info.context, environment)
        if view is None:
            raise EnvironmentNotFound(environment=environment)
        query = replace(history_query(filter, view), environment=view.environment)
        info.context.reads(WHOLE)
        of = _listed("pipelineHistory", view.environment, filter, query)
        (found,) = await _pages(info.context, [query], [of], first, after, last, before)
        return found

    @strawberry.field(
        description="List the events of all environments and their pipelines, or of a project's, newest first."
    )
    async def history(
        self,
        info: Info,
        project: Annotated[
            ID | None,
            strawberry.argument(description="Id of a project, also of a deleted one, or its name; null for all."),
        ] = None,
        filter: Filter = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[PipelineEvent] | None:
        owner: ProjectId | None = None if project is None else await find_ever(info.context, project)
        info.context.reads(WHOLE)
        query = replace(history_query(filter), project=owner)
        of = _listed("history", owner, filter, query)
        (found,) = await _pages(info.context, [query], [of], first, after, last, before)
        return found

    @strawberry.field(description="List the events of an environment and its pipeline in order.")
    async def pipeline_events(
        self,
        info: Info,
        environment: EnvironmentArgument,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[PipelineEvent] | None:
        stream, missing = environment_id(environment), EnvironmentNotFound(environment=environment)
        found = await event_page(info.context, stream, PIPELINE, part(first, after, last, before), missing)
        info.context.reads(stream)
        nodes = await events.pipeline_events(info.context, [edge.node for edge in found.edges])
        edges = tuple(PageEdge(edge.cursor, node) for edge, node in zip(found.edges, nodes, strict=True))
        converted = Page(edges=edges, has_previous=found.has_previous, has_next=found.has_next)
        return connection(converted, lambda node: node)
