"""What happened to pipelines, the newest first and without a cut-off."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import ID

from domain.environment import EnvironmentCreated
from domain.errors import EnvironmentNotFound, InvalidArgument, ServiceNotFound, StageNotFound
from domain.project import ProjectId
from domain.service import ServiceId
from domain.stage import StageId
from gql import change as changes
from gql import cursor as cursors
from gql.actor import ACTOR_NAME, actor_name
from gql.answer import WHOLE
from gql.change import Change, PipelineEventType
from gql.connection import Connection, connection, part
from gql.context import Context, Info
from gql.limit import check_list
from gql.node import global_id, reference
from gql.pipeline import (
    EnvironmentRef,
    ProjectRef,
    ServiceRef,
    StageRef,
    project_refs,
    view_of,
)
from gql.project import find as find_project
from projections import history as projection
from projections.history import HistoryView
from projections.pipeline import PipelineView
from projections.views import Slice
from store.log import Origin

MAX_TEXT = 1000
"""Maximum length of the text that is searched for, in characters."""


@strawberry.type(description="The token with which somebody came in.")
class TokenRef:
    id: ID
    name: str


@strawberry.type(description="Something that was done to an environment or its pipeline.")
class HistoryEvent:
    id: ID
    cursor: str = strawberry.field(description="Its place in the log: pipelineEvents goes on after it.")
    position: int = strawberry.field(description="Its place in the whole log.")
    type: PipelineEventType
    message: str = strawberry.field(description="What happened, in words.")
    recorded_at: datetime
    actor: str
    actor_name: str | None = strawberry.field(resolver=actor_name, description=ACTOR_NAME)
    origin: Origin
    reason: str | None
    token: TokenRef | None = strawberry.field(description="Null for what the server did by itself.")
    correlation: ID | None = strawberry.field(description="The events of one request have it in common.")
    version_before: int
    version: int = strawberry.field(description="The pipeline's version after it.")
    project: ProjectRef
    environment: EnvironmentRef = strawberry.field(description="By the name that it had then.")
    stage: StageRef | None
    service: ServiceRef | None
    change: Change = strawberry.field(description="The event itself, with what was there before.")


@strawberry.input(description="Each field narrows the list; within one field any value will do.")
class HistoryFilter:
    types: list[PipelineEventType] | None = None
    actors: list[str] | None = None
    origins: list[Origin] | None = None
    stages: list[ID] | None = strawberry.field(
        default=None, description="Their ids; of one environment's also the names that they have now."
    )
    services: list[ID] | None = strawberry.field(
        default=None, description="Their ids; of one environment's also the names that they have now."
    )
    since: datetime | None = strawberry.field(default=None, description="Recorded then or later.")
    until: datetime | None = strawberry.field(default=None, description="Recorded then or earlier.")
    text: str | None = strawberry.field(
        default=None, description="Its words are in the message or the reason; the last one may be but begun."
    )


def asked(given: HistoryFilter | None, view: PipelineView | None = None) -> projection.HistoryFilter:
    """What is asked for, of the environment *view* or of more than one; raises what is wrong with it."""
    if given is None:
        return projection.HistoryFilter()
    for name in ("types", "actors", "origins", "stages", "services"):
        check_list(name, getattr(given, name) or ())
    if len(given.text or "") > MAX_TEXT:
        raise InvalidArgument(
            argument="text", why=f"it has {len(given.text or ''):,} characters; at most {MAX_TEXT} are allowed"
        )
    return projection.HistoryFilter(
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
    found = reference("stage", text)
    if isinstance(found, UUID):
        return StageId(found)
    if view is None:
        raise StageNotFound(stage=text)
    return view.pipeline.stage(found).id


def _service(text: str, view: PipelineView | None) -> ServiceId:
    found = reference("service", text)
    if isinstance(found, UUID):
        return ServiceId(found)
    if view is None:
        raise ServiceNotFound(service=text)
    return view.pipeline.service(found).id


def zoned(argument: str, moment: datetime | None) -> datetime | None:
    """*moment*; raises `InvalidArgument` if it says no time zone."""
    if moment is not None and moment.tzinfo is None:
        raise InvalidArgument(argument=argument, why="it needs a time zone, as in 2026-01-31T12:00:00Z")
    return moment


async def page(context: Context, wanted: projection.HistoryFilter, asked: Slice) -> Connection[HistoryEvent]:
    """A page of the history; what was done before it was asked for is in it."""
    (shown,) = await pages(context, [wanted], asked)
    return shown


async def pages(
    context: Context, wanted: Sequence[projection.HistoryFilter], asked: Slice
) -> list[Connection[HistoryEvent]]:
    """The same page of each of several lists, read at once."""
    await context.settled()
    found = await context.application.history.list_all(wanted, asked)
    views = [edge.node for page in found for edge in page.edges]
    tokens = await context.application.history.token_names({view.by.token for view in views if view.by.token})
    projects = await project_refs(context, {view.project for view in views})
    epoch = context.application.log.epoch
    return [connection(page, lambda view: _shown(view, tokens, projects[view.project], epoch)) for page in found]


def _shown(view: HistoryView, tokens: Mapping[UUID, str], project: ProjectRef, epoch: str) -> HistoryEvent:
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
    @strawberry.field(description="What happened to an environment and its pipeline, the newest first.")
    async def pipeline_history(
        self,
        info: Info,
        environment: ID,
        filter: HistoryFilter | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[HistoryEvent]:
        view = await view_of(info.context, environment)
        if view is None:
            raise EnvironmentNotFound(environment=environment)
        wanted = replace(asked(filter, view), environment=view.environment)
        info.context.reads(WHOLE)
        return await page(info.context, wanted, part(first, after, last, before))

    @strawberry.field(
        description="What happened to all environments and their pipelines, or to a project's; the newest first."
    )
    async def history(
        self,
        info: Info,
        project: ID | None = None,
        filter: HistoryFilter | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[HistoryEvent]:
        owner: ProjectId | None = None if project is None else await find_project(info.context, project)
        info.context.reads(WHOLE)
        return await page(info.context, replace(asked(filter), project=owner), part(first, after, last, before))
