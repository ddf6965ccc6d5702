"""
Everything that happens in an environment, in one order: its pipeline's events, its queue's, and its deployments'.

What comes is picked out of the log as it grows, as long as that is in memory. Who is further behind gets what there is
already from the store, where only the environment's own streams are read: its queue names the deployments.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from heapq import heappop, heappush
from uuid import UUID

import strawberry
from strawberry import ID

from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentClosed, DeploymentRequested
from domain.errors import EnvironmentNotFound
from domain.project import EnvironmentId
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.types.event import Event, deployment_event, pipeline_event
from gql.types.pipeline import environment_id
from gql.types.queue import queue_event
from gql.types.stream import DEPLOYMENT, PIPELINE, Telling
from projections import queue
from projections.queue import QueueStory
from store.log import EventLog, Recorded

MANY = 500
"""Events of one stream at most that are read at once."""


class Chronicle:
    """Tells the events of an environment that come after a position, in their order."""

    def __init__(self, context: Context, first: Recorded, position: int) -> None:
        self._context = context
        self._log = context.application.log
        self._first = first
        self._position = position
        self._environment = EnvironmentId(first.stream)
        self._queue = queues.stream(self._environment)
        self._open: set[UUID] = {self._environment, self._queue}  # the streams that may get more events
        self._stories: dict[UUID, Telling] = {}

    async def events(self) -> AsyncGenerator[Event, None]:
        """Until the environment is deleted."""
        if await self._begin():
            async with aclosing(self._recorded()) as events:
                async for recorded in events:
                    yield await self._told(recorded)
                    if isinstance(recorded.event, PIPELINE.ends):
                        return

    async def _begin(self) -> bool:
        """Finds out what there was at the position; whether more can come."""
        log = self._log
        version = await PIPELINE.reached(log, self._environment, self._position)
        if version is None:
            return False
        waiting = await queue.open_at(log, self._queue, await log.version(self._queue, self._position))
        self._open |= waiting.keys()
        self._stories[self._environment] = await PIPELINE.story(self._context, self._first, version)
        self._stories[self._queue] = QueueStory(waiting)
        return True

    async def _told(self, recorded: Recorded) -> Event:
        epoch, stream = self._log.epoch, recorded.stream
        story = self._stories.get(stream)
        if story is None:
            first = recorded if recorded.version == 1 else (await self._log.read(stream, until=1))[0]
            story = self._stories[stream] = await DEPLOYMENT.story(self._context, first, recorded.version - 1)
        if isinstance(recorded.event, DEPLOYMENT.ends):
            del self._stories[stream]
        told = story.describe(recorded)
        if stream == self._environment:
            return pipeline_event(told, epoch)
        return queue_event(told, epoch) if stream == self._queue else deployment_event(told, epoch)

    async def _recorded(self) -> AsyncGenerator[Recorded, None]:
        """What there is, and what comes."""
        while True:
            async with aclosing(self._log.recent(self._position)) as recent:
                async for batch in recent:
                    for recorded in batch:
                        if recorded.stream in self._open:
                            yield self._noted(recorded)
                    self._position = batch[-1].position
            end = await self._log.position()
            async with aclosing(self._past(end)) as past:
                async for recorded in past:
                    yield self._noted(recorded)
            self._position = end

    def _noted(self, recorded: Recorded) -> Recorded:
        """A deployment's first event comes after its request, and its last one before it is closed."""
        self._position = recorded.position
        match recorded.event:
            case DeploymentRequested(deployment=deployment):
                self._open.add(deployment)
            case DeploymentClosed(deployment=deployment):
                self._open.discard(deployment)
        return recorded

    async def _past(self, until: int) -> AsyncGenerator[Recorded, None]:
        """The events up to position *until* that the store has, of the streams that are open and of those that open."""
        merged: list[tuple[int, Recorded, AsyncGenerator[Recorded, None]]] = []  # the next event of each stream

        async def add(events: AsyncGenerator[Recorded, None]) -> None:
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


async def _read(log: EventLog, stream: UUID, version: int, until: int) -> AsyncGenerator[Recorded, None]:
    """A stream's events after *version* up to position *until*, read as they are wanted."""
    while found := await log.read(stream, after=version, until=version + MANY):
        for recorded in found:
            if recorded.position > until:
                return
            yield recorded
        if len(found) < MANY:
            return
        version += MANY


async def followed(context: Context, environment: str, after: str | None) -> AsyncGenerator[Event, None]:
    log = context.application.log
    position = await cursors.reached(log, after)
    missing = EnvironmentNotFound(environment=environment)
    first = await PIPELINE.first(log, environment_id(environment), missing)
    async with aclosing(Chronicle(context, first, position).events()) as events:
        async for event in events:
            yield event


@strawberry.type
class Query:
    @strawberry.field(
        description="The end of the log: whatever is asked after this answer contains it, and so may what is asked"
        " together with it. Following events after it leaves none out."
    )
    async def cursor(self, info: Info) -> str:
        log = info.context.application.log
        return cursors.of_position(log.epoch, await log.position())


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="Everything that happens in an environment after a cursor, to its pipeline, in its deployments and"
        " in their queue, in one order; completes when it was deleted. Nothing is left out.",
        metadata=cursors.LOSSLESS,
    )
    async def environment_events(
        self, info: Info, environment: ID, after: str | None = None
    ) -> AsyncGenerator[Event, None]:
        async with aclosing(followed(info.context, environment, after)) as events:
            async for event in events:
                yield event
