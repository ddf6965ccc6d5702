"""
Subscriptions of environments: the events of its pipeline, its queue and its deployments, in one order.

Recent events are selected from the part of the log that is in memory. For a subscriber that is further behind, only the
environment's own streams are read from the store; its queue names the deployments.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from heapq import heappop, heappush
from uuid import UUID

import strawberry

from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentClosed, DeploymentRequested
from domain.errors import EnvironmentNotFound
from domain.project import EnvironmentId
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.cursor import LOSSLESS, AfterEvent
from gql.types.environment import environment_id
from gql.types.event import Event, deployment_event, pipeline_event, queue_event
from gql.types.ref import EnvironmentArgument
from gql.types.stream import DEPLOYMENT, PIPELINE, Story
from projections import queue
from projections.queue import QueueStory
from store.log import EventLog, RecordedEvent

CHUNK = 500
"""Maximum number of events of one stream that are read at once."""


class Chronicle:
    """The events of an environment after a position, in order."""

    def __init__(self, context: Context, first: RecordedEvent, position: int) -> None:
        self._context = context
        self._log = context.application.log
        self._first = first
        self._position = position
        self._environment = EnvironmentId(first.stream)
        self._queue = queues.stream(self._environment)
        self._open: set[UUID] = {self._environment, self._queue}  # the streams that may get more events
        self._stories: dict[UUID, Story] = {}

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the events until the environment is deleted."""
        if await self._begin():
            async with aclosing(self._recorded()) as events:
                async for recorded in events:
                    yield await self._convert(recorded)
                    if isinstance(recorded.event, PIPELINE.ends):
                        return

    async def _begin(self) -> bool:
        """Load the state at the position; return False if no event can follow."""
        log = self._log
        version = await PIPELINE.reached(log, self._environment, self._position)
        if version is None:
            return False
        waiting = await queue.open_at(log, self._queue, await log.version(self._queue, self._position))
        self._open |= waiting.keys()
        self._stories[self._environment] = await PIPELINE.story(self._context, self._first, version)
        self._stories[self._queue] = QueueStory(waiting)
        return True

    async def _convert(self, recorded: RecordedEvent) -> Event:
        epoch, stream = self._log.epoch, recorded.stream
        story = self._stories.get(stream)
        if story is None:
            first = recorded if recorded.version == 1 else (await self._log.read(stream, until=1))[0]
            story = self._stories[stream] = await DEPLOYMENT.story(self._context, first, recorded.version - 1)
        if isinstance(recorded.event, DEPLOYMENT.ends):
            del self._stories[stream]
        view = story.describe(recorded)
        if stream == self._environment:
            return await pipeline_event(self._context, view)
        return queue_event(view, epoch) if stream == self._queue else deployment_event(view, epoch)

    async def _recorded(self) -> AsyncGenerator[RecordedEvent, None]:
        """Yield the existing events, then the new ones."""
        while True:
            async with aclosing(self._log.recent(self._position)) as recent:
                async for batch in recent:
                    for recorded in batch:
                        if recorded.stream in self._open:
                            yield self._note(recorded)
                    self._position = batch[-1].position
            end = await self._log.position()
            async with aclosing(self._past(end)) as past:
                async for recorded in past:
                    yield self._note(recorded)
            self._position = end

    def _note(self, recorded: RecordedEvent) -> RecordedEvent:
        """Open the stream of a requested deployment, and close that of an ended one.

        The first event of a deployment follows its request, and its last event precedes its end in the queue.
        """
        self._position = recorded.position
        match recorded.event:
            case DeploymentRequested(deployment=deployment):
                self._open.add(deployment)
            case DeploymentClosed(deployment=deployment):
                self._open.discard(deployment)
        return recorded

    async def _past(self, until: int) -> AsyncGenerator[RecordedEvent, None]:
        """Yield the stored events up to position *until* of all streams that are open or become open."""
        merged: list[
            tuple[int, RecordedEvent, AsyncGenerator[RecordedEvent, None]]
        ] = []  # the next event of each stream

        async def add(events: AsyncGenerator[RecordedEvent, None]) -> None:
            recorded = await anext(events, None)
            if recorded is not None:
                heappush(merged, (recorded.position, recorded, events))

        for stream in self._open:
            await add(_read(self._log, stream, await self._log.version(stream, self._position), until))
        while merged:
            _, recorded, events = heappop(merged)
            yield recorded
            if isinstance(recorded.event, DeploymentRequested):
                await add(_read(self._log, recorded.event.deployment, 0, until))
            await add(events)


async def _read(log: EventLog, stream: UUID, version: int, until: int) -> AsyncGenerator[RecordedEvent, None]:
    """Yield the events of a stream after *version* up to position *until*."""
    while found := await log.read(stream, after=version, until=version + CHUNK):
        for recorded in found:
            if recorded.position > until:
                return
            yield recorded
        if len(found) < CHUNK:
            return
        version += CHUNK


async def follow_environment(context: Context, environment: str, after: str | None) -> AsyncGenerator[Event, None]:
    """Yield all events of an environment after a cursor, until it is deleted; raises `EnvironmentNotFound`."""
    log = context.application.log
    position = await cursors.reached(log, after)
    missing = EnvironmentNotFound(environment=environment)
    first = await PIPELINE.first(log, environment_id(environment), missing)
    async with aclosing(Chronicle(context, first, position).events()) as events:
        async for event in events:
            yield event


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="All events of an environment after a cursor: of its pipeline, its deployments and its queue, in"
        " one order; completes when the environment is deleted. No event is left out.",
        metadata=LOSSLESS,
    )
    async def environment_events(
        self, info: Info, environment: EnvironmentArgument, after: AfterEvent = None
    ) -> AsyncGenerator[Event, None]:
        async with aclosing(follow_environment(info.context, environment, after)) as events:
            async for event in events:
                yield event
