"""
Things as they are, given again when they have changed: only the newest counts.

The first value comes at once. Changes that come quicker than one may be sent are one change, and the last value is
always given, so that a slow reader costs no more than a quick one.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Generic, TypeVar
from uuid import UUID

import strawberry
from msgspec import Struct
from strawberry import ID

from domain.deployment import queue as queues
from domain.deployment.state import DeploymentPlanned
from domain.errors import DeploymentNotFound, EnvironmentNotFound
from domain.project import EnvironmentId
from endpoint.streams.mark import NEWEST
from gql.context import Context, Info
from gql.contract.connection import Connection, connection, part
from gql.types import deployment as deployments
from gql.types.deployment import Deployment, deployment_id
from gql.types.pipeline import Pipeline, environment_id
from gql.types.pipeline import shown as shown_pipeline
from store.log import EventLog, LogUnavailable, Recorded

Value = TypeVar("Value")

UPDATES = 10
"""A second, at most."""

AGAIN = 1.0
"""Seconds after which a log that could not be reached is asked again."""

RATE = f"At most {UPDATES} updates a second: changes between two of them are given as one, and the last is always given"


class Seen(Struct, Generic[Value], frozen=True, kw_only=True):
    """A *value* as it was at *position*; nothing changes it any more when it *is_over*."""

    value: Value
    position: int
    is_over: bool


async def newest(
    log: EventLog,
    read: Callable[[], Awaitable[Seen[Value]]],
    concerns: Callable[[Recorded], bool] = lambda _: True,
    stream: UUID | None = None,
) -> AsyncGenerator[Value, None]:
    """What *read* gives, at once and after every event of *stream* (None: of any) that *concerns* it.

    When the log can't be reached, that is waited for, but for the first value.
    """
    seen = await read()
    while True:
        yield seen.value
        if seen.is_over:
            return
        await asyncio.sleep(1 / UPDATES)
        while True:
            try:
                if not await _happens(log, seen.position, concerns, stream):
                    return
                seen = await read()
                break
            except LogUnavailable:
                await asyncio.sleep(AGAIN)


async def _happens(log: EventLog, after: int, concerns: Callable[[Recorded], bool], stream: UUID | None) -> bool:
    """Waits for such an event; whether there is one before the log is closed."""
    async with aclosing(log.follow(after, stream)) as following:
        async for batch in following:
            if any(map(concerns, batch)):
                return True
    return False


async def pipeline(context: Context, environment: str) -> AsyncGenerator[Pipeline, None]:
    application, own = context.application, environment_id(environment)

    async def read() -> Seen[Pipeline]:
        view = await application.pipelines.get(own)
        if view is None:
            raise EnvironmentNotFound(environment=environment)
        value = await shown_pipeline(context, view)
        return Seen(value=value, position=view.position, is_over=view.pipeline.is_deleted)

    async with aclosing(newest(application.log, read, stream=own)) as values:
        async for value in values:
            yield value


async def deployment(context: Context, id: str) -> AsyncGenerator[Deployment, None]:
    application, own = context.application, deployment_id(id)

    async def read() -> Seen[Deployment]:
        view = await application.deployments.read(own)
        if view is None:
            raise DeploymentNotFound(deployment=id)
        value = await deployments.shown(context, view)
        return Seen(value=value, position=view.position, is_over=view.status.is_final)

    async with aclosing(newest(application.log, read, stream=own)) as values:
        async for value in values:
            yield value


class Listed:
    """The newest deployments of an environment, and what changes them."""

    def __init__(self, context: Context, environment: EnvironmentId, first: int | None) -> None:
        self._context = context
        self._environment = environment
        self._part = part(first, None, None, None)
        self._streams: set[UUID] = set()

    async def read(self) -> Seen[Connection[Deployment]]:
        application = self._context.application
        position = await application.log.position()
        owner = await application.pipelines.get(self._environment)
        if owner is None:
            raise EnvironmentNotFound(environment=f"environment_{self._environment.hex}")
        await application.projector.wait_for(position)
        page = await application.deployments.list(self._environment, self._part)
        self._streams = {self._environment, queues.stream(self._environment), *(edge.node.id for edge in page.edges)}
        name = owner.pipeline.name
        value = connection(page, lambda view: deployments.deployment(view, name, application.log.epoch))
        return Seen(value=value, position=position, is_over=owner.pipeline.is_deleted)

    def concerns(self, recorded: Recorded) -> bool:
        event = recorded.event
        is_new = isinstance(event, DeploymentPlanned) and event.environment == self._environment
        return is_new or recorded.stream in self._streams


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description=f"An environment's pipeline as it stands, now and after each change; completes when the environment"
        f" was deleted. {RATE}.",
        metadata=NEWEST,
    )
    async def pipeline(self, info: Info, environment: ID) -> AsyncGenerator[Pipeline, None]:
        async with aclosing(pipeline(info.context, environment)) as values:
            async for value in values:
                yield value

    @strawberry.subscription(
        description=f"A deployment as it stands, now and after each change; completes when it is over. {RATE}.",
        metadata=NEWEST,
    )
    async def deployment(self, info: Info, id: ID) -> AsyncGenerator[Deployment, None]:
        async with aclosing(deployment(info.context, id)) as values:
            async for value in values:
                yield value

    @strawberry.subscription(
        description="An environment's newest deployments, now and after each change to one of them or to the list;"
        f" completes when the environment was deleted. {RATE}.",
        metadata=NEWEST,
    )
    async def deployments(
        self, info: Info, environment: ID, first: int | None = None
    ) -> AsyncGenerator[Connection[Deployment], None]:
        listed = Listed(info.context, environment_id(environment), first)
        async with aclosing(newest(info.context.application.log, listed.read, listed.concerns)) as values:
            async for value in values:
                yield value
