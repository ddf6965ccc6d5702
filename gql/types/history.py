"""The history of pipelines, newest first and without a time limit."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import ID

from domain.errors import EnvironmentNotFound, InvalidArgument, ServiceNotFound, StageNotFound
from domain.pipeline.environment import EnvironmentCreated
from domain.pipeline.ref import ServiceId, StageId
from domain.project import ProjectId
from endpoint.execution.answers import WHOLE
from endpoint.execution.limits import check_list
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import After, Before, Connection, First, Last, connection, part
from gql.contract.node import global_id
from gql.types import change as changes
from gql.types.actor import ACTOR_NAME, actor_name
from gql.types.change import Change, PipelineEventType
from gql.types.environment import pipeline_view
from gql.types.moment import zoned
from gql.types.project import find as find_project
from gql.types.ref import (
    EnvironmentArgument,
    EnvironmentRef,
    ProjectRef,
    ServiceRef,
    StageRef,
    TokenRef,
    project_refs,
    to_service,
    to_stage,
)
from projections.engine.views import Slice
from projections.history import HistoryQuery, HistoryView
from projections.pipeline import PipelineView
from store.log import Origin

MAX_TEXT = 1000
"""Maximum length of the text to search for, in characters."""


@strawberry.type(description="An event of an environment or its pipeline, with its context.")
class HistoryEvent:
    id: ID = strawberry.field(description="Global id of the event; it never changes.")
    cursor: str = strawberry.field(description="Cursor of the event, to follow pipelineEvents after it.")
    position: int = strawberry.field(description="Position in the log.")
    type: PipelineEventType = strawberry.field(description="The kind of event, for programs.")
    message: str = strawberry.field(description="The event in words.")
    recorded_at: datetime = strawberry.field(description="When the event was recorded.")
    actor: str = strawberry.field(description="Id of the actor, which contains no personal data.")
    actor_name: str | None = strawberry.field(resolver=actor_name, description=ACTOR_NAME)
    origin: Origin = strawberry.field(description="Where the change came from.")
    reason: str | None = strawberry.field(description="The reason that the actor gave, if any.")
    token: TokenRef | None = strawberry.field(description="The token of the request; null for the server itself.")
    correlation: ID | None = strawberry.field(description="An id that all events of a request share.")
    version_before: int = strawberry.field(description="Version of the pipeline before the event.")
    version: int = strawberry.field(description="Version of the pipeline after the event.")
    project: ProjectRef = strawberry.field(description="The project of the environment.")
    environment: EnvironmentRef = strawberry.field(description="The environment, with its name at that time.")
    stage: StageRef | None = strawberry.field(description="The stage that the event is about, if any.")
    service: ServiceRef | None = strawberry.field(description="The service that the event is about, if any.")
    change: Change = strawberry.field(description="The change, with the previous values.")


_REFS = "Their ids; in the history of one environment, their current names are also accepted."


@strawberry.input(description="A filter of the history. An event matches if it matches every field that is given.")
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
    for name in ("types", "actors", "origins", "stages", "services"):
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


async def page(context: Context, query: HistoryQuery, slice_: Slice) -> Connection[HistoryEvent]:
    """Return a page of the history, which contains everything that was recorded before the request."""
    (only,) = await pages(context, [query], slice_)
    return only


async def pages(context: Context, queries: Sequence[HistoryQuery], slice_: Slice) -> list[Connection[HistoryEvent]]:
    """Return the same page of several lists, read at once."""
    await context.settled()
    found = await context.application.history.list_all(queries, slice_)
    views = [edge.node for page in found for edge in page.edges]
    tokens = await context.application.history.token_names({view.by.token for view in views if view.by.token})
    projects = await project_refs(context, {view.project for view in views})
    epoch = context.application.log.epoch
    return [connection(page, lambda view: _from_view(view, tokens, projects[view.project], epoch)) for page in found]


def _from_view(view: HistoryView, tokens: Mapping[UUID, str], project: ProjectRef, epoch: str) -> HistoryEvent:
    event = view.event
    change = changes.change(view.before, event)
    name = event.name if isinstance(event, EnvironmentCreated) else view.before.name
    return HistoryEvent(
        id=global_id("event", view.id),
        cursor=cursors.of_position(epoch, view.position),
        position=view.position,
        type=change.type,
        message=change.message,
        recorded_at=view.recorded_at,
        actor=view.by.actor,
        origin=view.by.origin,
        reason=view.by.reason,
        token=_token(view.by.token, tokens),
        correlation=None if view.by.correlation is None else ID(view.by.correlation.hex),
        version_before=view.version - 1,
        version=view.version,
        project=project,
        environment=EnvironmentRef(id=global_id("environment", view.environment), name=name),
        stage=change.stage,
        service=change.service,
        change=change,
    )


def _token(token: UUID | None, names: Mapping[UUID, str]) -> TokenRef | None:
    if token is None or token not in names:
        return None
    return TokenRef(id=global_id("token", token), name=names[token])


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
    ) -> Connection[HistoryEvent]:
        view = await pipeline_view(info.context, environment)
        if view is None:
            raise EnvironmentNotFound(environment=environment)
        query = replace(history_query(filter, view), environment=view.environment)
        info.context.reads(WHOLE)
        return await page(info.context, query, part(first, after, last, before))

    @strawberry.field(
        description="List the events of all environments and their pipelines, or of a project's, newest first."
    )
    async def history(
        self,
        info: Info,
        project: Annotated[
            ID | None, strawberry.argument(description="Id or name of a project; null for all projects.")
        ] = None,
        filter: Filter = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[HistoryEvent]:
        owner: ProjectId | None = None if project is None else await find_project(info.context, project)
        info.context.reads(WHOLE)
        return await page(info.context, replace(history_query(filter), project=owner), part(first, after, last, before))
