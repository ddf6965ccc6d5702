"""
The events of environments after a position, in order: of their pipelines, queues, deployments and instances.

Recent events are selected from the part of the log that is in memory. For a subscriber that is further behind, only the
environments' own streams are read from the store. Queues name the deployments, and a project its environments.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from heapq import heappop, heappush
from uuid import UUID

from domain import instance as instances
from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentClosed, DeploymentRequested
from domain.pipeline.environment import EnvironmentDeleted
from domain.project import EnvironmentId, EnvironmentNamed, ProjectDeleted, ProjectId
from gql.context import Context
from gql.types.event import INSTANCE_EVENTS, Event, deployment_event, instance_event, pipeline_event, queue_event
from gql.types.stream import DEPLOYMENT, PIPELINE, Story
from projections import queue
from projections.event import InstanceStory
from projections.queue import QueueStory
from store.log import EventLog, RecordedEvent

CHUNK = 100
"""Maximum number of events of one stream that are read at once: a slow client keeps them in memory."""

MAX_STORIES = 100
"""Maximum number of streams of a follower whose names stay in memory; others are read again at their next event."""


class Chronicle:
    """The events after a position: of the environments that are opened, and of those that *project* gets later."""

    def __init__(self, context: Context, position: int, project: ProjectId | None = None) -> None:
        self._context = context
        self._log = context.application.log
        self._position = position
        self._project = project
        self._owners: set[UUID] = set() if project is None else {project}  # and the environments
        self._queues: set[UUID] = set()
        self._instances: set[UUID] = set()
        self._deployments: set[UUID] = set()  # those that have not ended
        self._stories: OrderedDict[UUID, Story] = OrderedDict()

    async def open(self, environment: EnvironmentId) -> None:
        """Follow *environment*, unless it was deleted before the position."""
        if await PIPELINE.reached(self._log, environment, self._position) is None:
            return
        stream = queues.stream(environment)
        self._add(environment)
        version = await self._log.version(stream, self._position)
        self._deployments |= (await queue.open_at(self._log, stream, version)).keys()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the events until no event can follow."""
        if not self._owners:
            return
        async with aclosing(self._recorded()) as events:
            async for recorded in events:
                if recorded.stream != self._project:
                    yield await self._convert(recorded)
                if not self._owners:
                    return

    def _add(self, environment: EnvironmentId) -> None:
        self._owners.add(environment)
        self._queues.add(queues.stream(environment))
        self._instances.add(instances.stream(environment))

    async def _convert(self, recorded: RecordedEvent) -> Event:
        epoch, stream = self._log.epoch, recorded.stream
        story = self._stories.pop(stream, None) or await self._story(recorded)
        view = story.describe(recorded)
        if not isinstance(recorded.event, DEPLOYMENT.ends + PIPELINE.ends):
            self._stories[stream] = story
            if len(self._stories) > MAX_STORIES:
                self._stories.popitem(last=False)
        if type(recorded.event) in queue.EVENTS:
            return queue_event(view, epoch)
        if type(recorded.event) in INSTANCE_EVENTS:
            return instance_event(view, epoch)
        return await pipeline_event(self._context, view) if PIPELINE.has(recorded) else deployment_event(view, epoch)

    async def _story(self, recorded: RecordedEvent) -> Story:
        """Return the story of a stream up to the event before *recorded*."""
        before = recorded.version - 1
        if type(recorded.event) in queue.EVENTS:
            return QueueStory(await queue.open_at(self._log, recorded.stream, before))
        if type(recorded.event) in INSTANCE_EVENTS:
            return InstanceStory()
        first = (await self._log.read(recorded.stream, until=1))[0] if before else recorded
        return await (PIPELINE if PIPELINE.has(recorded) else DEPLOYMENT).story(self._context, first, before)

    async def _recorded(self) -> AsyncGenerator[RecordedEvent, None]:
        """Yield the existing events, then the new ones."""
        while True:
            async with aclosing(self._log.recent(self._position)) as recent:
                async for batch in recent:
                    for recorded in batch:
                        if any(recorded.stream in some for some in self._streams):
                            yield self._note(recorded)
                    self._position = batch[-1].position
                    del batch  # while it waits for the next one, it keeps no events
            end = await self._log.position()
            async with aclosing(self._past(end)) as past:
                async for recorded in past:
                    yield self._note(recorded)
            self._position = end

    @property
    def _streams(self) -> tuple[set[UUID], ...]:
        return self._owners, self._queues, self._instances, self._deployments

    def _note(self, recorded: RecordedEvent) -> RecordedEvent:
        """Open the streams that *recorded* announces, and close those that it ends.

        The first event of a deployment follows its request, and its last event precedes its end in the queue. The name
        of an environment is taken before its first event.
        """
        self._position = recorded.position
        match recorded.event:
            case DeploymentRequested(deployment=deployment):
                self._deployments.add(deployment)
            case DeploymentClosed(deployment=deployment):
                self._deployments.discard(deployment)
            case EnvironmentNamed(environment=environment):
                self._add(environment)
            case EnvironmentDeleted():
                self._queues.discard(queues.stream(EnvironmentId(recorded.stream)))
                self._instances.discard(instances.stream(EnvironmentId(recorded.stream)))
                self._owners.discard(recorded.stream)
            case ProjectDeleted():
                self._owners.discard(recorded.stream)
        return recorded

    async def _past(self, until: int) -> AsyncGenerator[RecordedEvent, None]:
        """Yield the stored events up to position *until* of all streams that are open or become open."""
        merged: list[
            tuple[int, RecordedEvent, AsyncGenerator[RecordedEvent, None]]
        ] = []  # the next event of each stream
        begun = set[UUID]().union(*self._streams)

        async def add(events: AsyncGenerator[RecordedEvent, None]) -> None:
            recorded = await anext(events, None)
            if recorded is not None:
                heappush(merged, (recorded.position, recorded, events))

        for stream in list(begun):
            await add(_read(self._log, stream, await self._log.version(stream, self._position), until))
        while merged:
            _, recorded, events = heappop(merged)
            yield recorded
            for stream in _announced(recorded):
                if stream not in begun:
                    begun.add(stream)
                    await add(_read(self._log, stream, 0, until))
            await add(events)


def _announced(recorded: RecordedEvent) -> tuple[UUID, ...]:
    """Return the streams that may begin after *recorded*."""
    match recorded.event:
        case DeploymentRequested(deployment=deployment):
            return (deployment,)
        case EnvironmentNamed(environment=environment):
            return environment, queues.stream(environment), instances.stream(environment)
        case _:
            return ()


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
