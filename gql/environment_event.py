"""
Everything that happens in an environment, in one order: its pipeline's events and its deployments'.

What there is already is read from the environment's own streams: its queue names the deployments, and those that were
over at the cursor are not read. What comes is picked out of the log as it grows.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from heapq import heappop, heappush
from uuid import UUID

import strawberry
from strawberry import ID

from domain import queue as queues
from domain.deployment import DeploymentPlanned
from domain.environment import EnvironmentDeleted
from domain.errors import EnvironmentNotFound
from domain.project import EnvironmentId
from domain.queue import DeploymentClosed, DeploymentRequested
from gql import cursor as cursors
from gql.context import Context, Info
from gql.event import DEPLOYMENT, PIPELINE, Event, deployment_event, pipeline_event
from gql.mark import LOSSLESS
from gql.pipeline import environment_id
from projections.event import DeploymentStory, PipelineStory
from store.log import EventLog, Recorded


class Chronicle:
    """Tells an environment's events in their order; what isn't of that environment is passed over."""

    def __init__(self, environment: EnvironmentId, epoch: str) -> None:
        self._environment = environment
        self._epoch = epoch
        self._pipeline = PipelineStory()
        self._deployments: dict[UUID, DeploymentStory] = {}

    def show(self, recorded: Recorded) -> Event | None:
        if recorded.stream == self._environment:
            return pipeline_event(self._pipeline.tell(recorded), self._epoch)
        if isinstance(recorded.event, DeploymentPlanned) and recorded.event.environment == self._environment:
            self._deployments[recorded.stream] = DeploymentStory()
        story = self._deployments.get(recorded.stream)
        if story is None:
            return None
        if isinstance(recorded.event, DEPLOYMENT.ends):
            del self._deployments[recorded.stream]
        return deployment_event(story.tell(recorded), self._epoch)


async def _past(log: EventLog, environment: EnvironmentId, after: int, until: int) -> AsyncGenerator[Recorded, None]:
    """The events up to position *until*, in order, of every stream of the environment that has some after *after*."""
    started: dict[UUID, int] = {environment: 0}
    for recorded in await log.read(queues.stream(environment)):
        match recorded.event:
            case DeploymentRequested(deployment=deployment):  # is written before the deployment's first event
                started[deployment] = recorded.position
            case DeploymentClosed(deployment=deployment) if recorded.position <= after:  # and this after its last
                del started[deployment]
    waiting = deque(sorted((position, stream) for stream, position in started.items()))
    open_: list[tuple[int, deque[Recorded]]] = []
    while waiting or open_:
        if waiting and (not open_ or waiting[0][0] < open_[0][0]):
            _, stream = waiting.popleft()
            events = deque(each for each in await log.read(stream) if each.position <= until)
        else:
            _, events = heappop(open_)
            yield events.popleft()
        if events:
            heappush(open_, (events[0].position, events))


async def _recorded(log: EventLog, environment: EnvironmentId, after: int) -> AsyncGenerator[Recorded, None]:
    """What `_past` has, then everything that comes to the log."""
    end = await log.position()
    async with aclosing(_past(log, environment, after, end)) as past:
        async for recorded in past:
            yield recorded
    async with aclosing(log.follow(end)) as following:
        async for batch in following:
            for recorded in batch:
                yield recorded


async def followed(context: Context, environment: str, after: str | None) -> AsyncGenerator[Event, None]:
    log, own = context.application.log, environment_id(environment)
    position = 0 if after is None else cursors.to_position(log.epoch, after)
    PIPELINE.check(await log.read(own, until=1), EnvironmentNotFound(environment=environment))
    chronicle = Chronicle(own, log.epoch)
    async with aclosing(_recorded(log, own, position)) as events:
        async for recorded in events:
            event = chronicle.show(recorded)
            if event is not None and recorded.position > position:
                yield event
            if recorded.stream == own and isinstance(recorded.event, EnvironmentDeleted):
                return


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
        description="Everything that happens in an environment after a cursor, to its pipeline and in its deployments,"
        " in one order; completes when it was deleted. Nothing is left out.",
        metadata=LOSSLESS,
    )
    async def environment_events(
        self, info: Info, environment: ID, after: str | None = None
    ) -> AsyncGenerator[Event, None]:
        async with aclosing(followed(info.context, environment, after)) as events:
            async for event in events:
                yield event
