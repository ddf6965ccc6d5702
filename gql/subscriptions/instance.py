"""The subscription of the instances of an environment."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

import strawberry

from domain import instance as instances
from domain.deployment import queue as queues
from domain.errors import EnvironmentNotFound
from domain.project import EnvironmentId
from endpoint.streams.mark import NEWEST
from gql.context import Context, Info
from gql.contract.newest import RATE, Reading, newest
from gql.types.environment import environment_id
from gql.types.pipeline import live_services
from gql.types.ref import EnvironmentArgument
from gql.types.service import Service
from store.log import RecordedEvent


class EnvironmentInstances:
    """The services of an environment, and the events that change them or their instances."""

    def __init__(self, context: Context, environment: EnvironmentId, missing: EnvironmentNotFound) -> None:
        self._context, self._environment, self._missing = context, environment, missing
        self._streams: set[UUID] = set()

    async def read(self) -> Reading[list[Service]]:
        application, own = self._context.application, self._environment
        position = await application.log.position()
        view = await application.pipelines.get(own)
        if view is None:
            raise self._missing
        await application.projector.wait_for(position)
        (running,) = await application.queues.open([own])
        self._streams = {own, queues.stream(own), instances.stream(own), *running}
        found = await live_services(self._context, [(own, each.id) for each in view.pipeline.services])
        value = [service for service in found if service is not None]
        return Reading(value=value, position=position, is_final=view.pipeline.is_deleted)

    def concerns(self, recorded: RecordedEvent) -> bool:
        return recorded.stream in self._streams


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="The services of an environment, for their `instance`: now and after each change of an instance, a"
        f" deployment or the pipeline; completes when the environment is deleted. {RATE}.",
        metadata=NEWEST,
    )
    async def instances(self, info: Info, environment: EnvironmentArgument) -> AsyncGenerator[list[Service], None]:
        own, missing = environment_id(environment), EnvironmentNotFound(environment=environment)
        services = EnvironmentInstances(info.context, own, missing)
        async with aclosing(newest(info.context.application.log, services.read, services.concerns)) as values:
            async for value in values:
                yield value
