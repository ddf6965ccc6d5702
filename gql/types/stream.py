"""
A stream's events in words: a page of them, or all behind a cursor and those to come.

No more is read than what is shown, and what it is told with: of a deployment its first event, which has all the names
in it, and of a pipeline its state before.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol, cast
from uuid import UUID

from msgspec import Struct

from domain.deployment.state import DeploymentCancelled, DeploymentFailed, DeploymentPlanned, DeploymentSucceeded
from domain.errors import InvalidArgument, Refused
from domain.pipeline.environment import EnvironmentCreated, EnvironmentDeleted
from domain.project import EnvironmentId
from gql.context import Context
from gql.contract import cursor as cursors
from projections.engine.views import Page, PageEdge, Slice
from projections.event import DeploymentStory, EventView, PipelineStory
from store.log import Event, EventLog, Recorded


class Telling(Protocol):
    """Puts one stream's events into words, in their order."""

    def describe(self, recorded: Recorded) -> EventView: ...


class Stream(Struct, frozen=True):
    """What a stream is about: which events begin and end it, and how those after a version are told.

    *story* gets the stream's first event and that version.
    """

    begin: type[Event]
    ends: tuple[type[Event], ...]
    story: Callable[[Context, Recorded, int], Awaitable[Telling]]

    async def first(self, log: EventLog, stream: UUID, missing: Refused) -> Recorded:
        """The stream's first event; raises *missing* if it isn't that of such a stream."""
        for recorded in await log.read(stream, until=1):
            if isinstance(recorded.event, self.begin):
                return recorded
        raise missing

    async def reached(self, log: EventLog, stream: UUID, position: int) -> int | None:
        """The stream's version at *position* of the log; None if it had come to its end by then."""
        version = await log.version(stream, position) if position else 0
        for last in await log.read(stream, after=version - 1, until=version) if version else ():
            if isinstance(last.event, self.ends):
                return None
        return version


async def _deployment(context: Context, first: Recorded, version: int) -> Telling:
    return DeploymentStory(cast("DeploymentPlanned", first.event))


async def _pipeline(context: Context, first: Recorded, version: int) -> Telling:
    view = await context.application.pipelines.get(EnvironmentId(first.stream), version) if version else None
    return PipelineStory(view.pipeline) if view else PipelineStory()


DEPLOYMENT = Stream(DeploymentPlanned, (DeploymentSucceeded, DeploymentFailed, DeploymentCancelled), _deployment)
PIPELINE = Stream(EnvironmentCreated, (EnvironmentDeleted,), _pipeline)


async def page(context: Context, stream: UUID, about: Stream, asked: Slice, missing: Refused) -> Page[EventView]:
    """The part of a stream's events that *asked* is about, with either number; raises `InvalidArgument`."""
    log = context.application.log
    first = await about.first(log, stream, missing)
    start = 0 if asked.after is None else await _version(log, stream, asked.after)
    end = None if asked.before is None else await _version(log, stream, asked.before) - 1
    if asked.last is not None:
        end = await log.version(stream) if end is None else end
        start = max(start, end - asked.last)
    elif asked.first is not None:
        end = start + asked.first if end is None else min(end, start + asked.first)
    assert end is not None, "a page has a size"
    count = max(0, end - start)
    found = await log.read(stream, after=start, until=end + 1)
    story = await about.story(context, first, start)
    return Page(
        edges=tuple(
            PageEdge(cursors.of_position(log.epoch, recorded.position), story.describe(recorded))
            for recorded in found[:count]
        ),
        has_previous=start > 0,
        has_next=len(found) > count or end < start,
    )


async def _version(log: EventLog, stream: UUID, cursor: str) -> int:
    """The version of the event that *cursor* is of; raises `InvalidArgument` if that is none of the stream's."""
    position = cursors.to_position(log.epoch, cursor)
    for recorded in await log.read_all(position - 1, limit=1) if position else ():
        if recorded.stream == stream:
            return recorded.version
    raise InvalidArgument(argument="cursor", why="it is damaged, or belongs to another list")


async def followed(
    context: Context, stream: UUID, about: Stream, after: str | None, missing: Refused
) -> AsyncGenerator[EventView, None]:
    """A stream's events behind the cursor *after*: what there is, then what comes, until the stream is at its end."""
    log = context.application.log
    position = await cursors.reached(log, after)
    first = await about.first(log, stream, missing)
    version = await about.reached(log, stream, position)
    if version is None:
        return
    story = await about.story(context, first, version)
    async with aclosing(log.follow(position, stream)) as following:
        async for batch in following:
            for recorded in batch:
                yield story.describe(recorded)
                if isinstance(recorded.event, about.ends):
                    return
