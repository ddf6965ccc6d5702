"""The subscription of an environment."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import strawberry

from domain.errors import EnvironmentNotFound
from domain.project import EnvironmentId
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.cursor import LOSSLESS, AfterEvent
from gql.types.chronicle import Chronicle
from gql.types.environment import environment_id
from gql.types.event import Event
from gql.types.ref import EnvironmentArgument
from gql.types.stream import PIPELINE


async def follow_environment(context: Context, environment: str, after: str | None) -> AsyncGenerator[Event, None]:
    """Yield all events of an environment after a cursor, until it is deleted; raises `EnvironmentNotFound`."""
    log = context.application.log
    position = await cursors.reached(log, after)
    missing = EnvironmentNotFound(environment=environment)
    first = await PIPELINE.first(log, environment_id(environment), missing)
    chronicle = Chronicle(context, position)
    await chronicle.open(EnvironmentId(first.stream))
    async with aclosing(chronicle.events()) as events:
        async for event in events:
            yield event


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="All events of an environment after a cursor: of its pipeline, its deployments, its queue and"
        " its instances, in one order; completes when the environment is deleted. No event is left out.",
        metadata=LOSSLESS,
    )
    async def environment_events(
        self, info: Info, environment: EnvironmentArgument, after: AfterEvent = None
    ) -> AsyncGenerator[Event, None]:
        async with aclosing(follow_environment(info.context, environment, after)) as events:
            async for event in events:
                yield event
