"""Subscriptions of pipelines."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import strawberry

from domain.errors import EnvironmentNotFound
from endpoint.streams.mark import NEWEST
from gql.context import Context, Info
from gql.contract.cursor import LOSSLESS, AfterEvent
from gql.contract.newest import RATE, Reading, newest
from gql.types.environment import environment_id
from gql.types.event import PipelineEvent, pipeline_event
from gql.types.pipeline import Pipeline, from_view
from gql.types.ref import EnvironmentArgument
from gql.types.stream import PIPELINE, follow


async def pipeline(context: Context, environment: str) -> AsyncGenerator[Pipeline, None]:
    """Yield the pipeline now and after each change, until the environment is deleted."""
    application, own = context.application, environment_id(environment)

    async def read() -> Reading[Pipeline]:
        view = await application.pipelines.get(own)
        if view is None:
            raise EnvironmentNotFound(environment=environment)
        value = await from_view(context, view)
        return Reading(value=value, position=view.position, is_final=view.pipeline.is_deleted)

    async with aclosing(newest(application.log, read, stream=own)) as values:
        async for value in values:
            yield value


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="The pipeline of an environment, now and after each change; completes when the environment is"
        f" deleted. {RATE}.",
        metadata=NEWEST,
    )
    async def pipeline(self, info: Info, environment: EnvironmentArgument) -> AsyncGenerator[Pipeline, None]:
        async with aclosing(pipeline(info.context, environment)) as values:
            async for value in values:
                yield value

    @strawberry.subscription(
        description="The events of an environment and its pipeline after a cursor; completes when the environment is"
        " deleted. No event is left out.",
        metadata=LOSSLESS,
    )
    async def pipeline_events(
        self, info: Info, environment: EnvironmentArgument, after: AfterEvent = None
    ) -> AsyncGenerator[PipelineEvent, None]:
        stream, missing = environment_id(environment), EnvironmentNotFound(environment=environment)
        async with aclosing(follow(info.context, stream, PIPELINE, after, missing)) as events:
            async for view in events:
                yield await pipeline_event(info.context, view)
