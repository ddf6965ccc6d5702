"""Subscriptions of pipelines."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from domain.errors import EnvironmentNotFound
from domain.project import EnvironmentId
from endpoint.streams.mark import NEWEST
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.cursor import CHANGES, LOSSLESS, AfterEvent
from gql.contract.newest import RATE, Reading, newest
from gql.types.environment import environment_id
from gql.types.event import PipelineEvent, pipeline_event, pipeline_events
from gql.types.pipeline import Pipeline, from_view
from gql.types.ref import EnvironmentArgument
from gql.types.stream import PIPELINE, follow
from projections.event import PipelineStory
from projections.pipeline import PipelineView

AfterPipeline = Annotated[
    str | None,
    strawberry.argument(description="Begin after this cursor, of any answer; null to begin with the whole pipeline."),
]

MAX_CHANGES = 100
"""Maximum number of changes that are sent at once; the whole pipeline replaces more."""


@strawberry.type(description="What happened to a pipeline since the last payload, or the whole pipeline.")
class PipelineChanges:
    cursor: str = strawberry.field(description="Position of the last change in the log, to continue after it.")
    version: int = strawberry.field(description="Version of the pipeline after the changes.")
    pipeline: Pipeline | None = strawberry.field(
        description="The whole pipeline, in the first payload without a cursor, and instead of more than"
        f" {MAX_CHANGES} changes; null if the changes lead from the last payload to this version."
    )
    changes: list[PipelineEvent] = strawberry.field(
        description=f"The events since the last payload, or since the cursor, in order; at most {MAX_CHANGES}. Empty if"
        " the whole pipeline is sent, or if there were none."
    )


class ChangedPipeline:
    """A pipeline as a subscriber knows it: at the version of the last payload, None before the first."""

    def __init__(self, context: Context, environment: EnvironmentId, missing: EnvironmentNotFound) -> None:
        self._context = context
        self._environment = environment
        self._missing = missing
        self._known: PipelineView | None = None

    async def begin(self, after: str | None) -> None:
        """Begin with the pipeline at a cursor."""
        log = self._context.application.log
        position = await cursors.reached(log, after)
        version = await log.version(self._environment, position) if position else 0
        if version:
            self._known = await self._context.application.pipelines.get(self._environment, version)

    async def read(self) -> Reading[PipelineChanges]:
        """Return the changes since the last payload."""
        application, known = self._context.application, self._known
        now = await application.pipelines.get(self._environment)
        if now is None:
            raise self._missing
        changes: list[PipelineEvent] = []
        is_whole = known is None or now.version - known.version > MAX_CHANGES
        if known is not None and not is_whole:
            story = PipelineStory(known.pipeline)
            events = await application.log.read(self._environment, after=known.version, until=now.version)
            changes = await pipeline_events(self._context, [story.describe(recorded) for recorded in events])
        value = PipelineChanges(
            cursor=cursors.of_position(application.log.epoch, now.position),
            version=now.version,
            pipeline=await from_view(self._context, now) if is_whole else None,
            changes=changes,
        )
        self._known = now
        return Reading(value=value, position=now.position, is_final=now.pipeline.is_deleted)


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

    @strawberry.subscription(
        description="The pipeline of an environment, and then only its changes, so that a large one is sent once. After"
        f" a cursor it begins with the changes since. Completes when the environment is deleted. {RATE}.",
        metadata=CHANGES,
    )
    async def pipeline_changes(
        self, info: Info, environment: EnvironmentArgument, after: AfterPipeline = None
    ) -> AsyncGenerator[PipelineChanges, None]:
        own = environment_id(environment)
        pipeline = ChangedPipeline(info.context, own, EnvironmentNotFound(environment=environment))
        await pipeline.begin(after)
        async with aclosing(newest(info.context.application.log, pipeline.read, stream=own)) as values:
            async for value in values:
                yield value
