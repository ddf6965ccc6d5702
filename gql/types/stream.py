"""
Events of one stream in words: a page of them, or all after a cursor and the later ones.

Only the events of the page are read, and the context of their words: the first event of a deployment, which has all
names, or the state of a pipeline before the page.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol, cast, get_args
from uuid import UUID

from msgspec import Struct

from domain import project as projects
from domain.deployment.state import (
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentSucceeded,
    DeploymentTimedOut,
)
from domain.errors import InvalidArgument, Refused
from domain.pipeline.environment import EnvironmentCreated, EnvironmentDeleted
from domain.project import EnvironmentId, ProjectCreated, ProjectDeleted, ProjectEvent
from gql.context import Context
from gql.contract import cursor as cursors
from projections import deployment as deployments
from projections import environment as environments
from projections.engine.views import Page, PageEdge, Slice
from projections.event import DeploymentStory, EventView, PipelineStory, ProjectStory
from store.log import Event, EventLog, RecordedEvent


class Story(Protocol):
    """Describes the events of one stream in order."""

    def describe(self, recorded: RecordedEvent) -> EventView: ...


class StreamKind(Struct, frozen=True):
    """A kind of stream: its *events*, those that *begin* and *end* it, and the story of the events after a version.

    *story* gets the first event of the stream, and the version.
    """

    events: frozenset[type[Event]]
    begin: type[Event]
    ends: tuple[type[Event], ...]
    story: Callable[[Context, RecordedEvent, int], Awaitable[Story]]

    def has(self, recorded: RecordedEvent) -> bool:
        """Return whether *recorded* is an event of a stream of this kind."""
        return type(recorded.event) in self.events

    async def first(self, log: EventLog, stream: UUID, missing: Refused) -> RecordedEvent:
        """Return the first event of *stream*; raises *missing* if it is not a stream of this kind."""
        for recorded in await log.read(stream, until=1):
            if isinstance(recorded.event, self.begin):
                return recorded
        raise missing

    async def reached(self, log: EventLog, stream: UUID, position: int) -> int | None:
        """Return the version of *stream* at *position* of the log; None if it had already ended."""
        version = await log.version(stream, position) if position else 0
        for last in await log.read(stream, after=version - 1, until=version) if version else ():
            if isinstance(last.event, self.ends):
                return None
        return version


async def _deployment_story(context: Context, first: RecordedEvent, version: int) -> Story:
    return DeploymentStory(cast("DeploymentPlanned", first.event))


async def _pipeline_story(context: Context, first: RecordedEvent, version: int) -> Story:
    view = await context.application.pipelines.get(EnvironmentId(first.stream), version) if version else None
    return PipelineStory(view.pipeline) if view else PipelineStory()


DEPLOYMENT = StreamKind(
    deployments.EVENTS,
    DeploymentPlanned,
    (DeploymentSucceeded, DeploymentFailed, DeploymentTimedOut, DeploymentCancelled),
    _deployment_story,
)


async def _project_story(context: Context, first: RecordedEvent, version: int) -> Story:
    before = await context.application.handler.states.load_at(projects.decider, first.stream, version)
    return ProjectStory(before.state)


PROJECT = StreamKind(frozenset(get_args(ProjectEvent)), ProjectCreated, (ProjectDeleted,), _project_story)
PIPELINE = StreamKind(environments.EVENTS, EnvironmentCreated, (EnvironmentDeleted,), _pipeline_story)


async def page(context: Context, stream: UUID, kind: StreamKind, slice_: Slice, missing: Refused) -> Page[EventView]:
    """Return a page of the events of *stream*; raises `InvalidArgument`, or *missing*."""
    log = context.application.log
    first = await kind.first(log, stream, missing)
    start = 0 if slice_.after is None else await _version(log, stream, slice_.after)
    end = None if slice_.before is None else await _version(log, stream, slice_.before) - 1
    if slice_.last is not None:
        end = await log.version(stream) if end is None else end
        start = max(start, end - slice_.last)
    elif slice_.first is not None:
        end = start + slice_.first if end is None else min(end, start + slice_.first)
    assert end is not None, "a page has a size"
    count = max(0, end - start)
    found = await log.read(stream, after=start, until=end + 1)
    story = await kind.story(context, first, start)
    return Page(
        edges=tuple(
            PageEdge(cursors.of_position(log.epoch, recorded.position), story.describe(recorded))
            for recorded in found[:count]
        ),
        has_previous=start > 0,
        has_next=len(found) > count or end < start,
    )


async def _version(log: EventLog, stream: UUID, cursor: str) -> int:
    """Return the version of the event at *cursor*; raises `InvalidArgument` if *stream* has no such event."""
    position = cursors.to_position(log.epoch, cursor)
    for recorded in await log.read_all(position - 1, limit=1) if position else ():
        if recorded.stream == stream:
            return recorded.version
    raise InvalidArgument(argument="cursor", why="it is damaged, or belongs to another list")


async def follow(
    context: Context, stream: UUID, kind: StreamKind, after: str | None, missing: Refused
) -> AsyncGenerator[EventView, None]:
    """Yield the events of *stream* after a cursor, existing and later ones, until the stream ends."""
    log = context.application.log
    position = await cursors.reached(log, after)
    first = await kind.first(log, stream, missing)
    version = await kind.reached(log, stream, position)
    if version is None:
        return
    story = await kind.story(context, first, version)
    async with aclosing(log.follow(position, stream)) as following:
        async for batch in following:
            for recorded in batch:
                yield story.describe(recorded)
                if isinstance(recorded.event, kind.ends):
                    return
            del batch  # while it waits for the next one, it keeps no events
