"""What differs between two moments of a pipeline, and the events that made it so."""

from datetime import datetime
from typing import Annotated

import strawberry
from msgspec.structs import replace
from strawberry import ID, Private

from domain.deployment.queue import DeploymentId
from domain.errors import DeploymentNotFound, EnvironmentNotFound, InvalidArgument, VersionNotFound
from domain.pipeline import diff
from domain.pipeline.service import ServiceAdded
from domain.pipeline.stage import StageCreated
from domain.pipeline.state import PipelineEvent
from domain.project import EnvironmentId
from endpoint.execution.answers import WHOLE
from gql.context import Context, Info
from gql.contract.connection import Connection, part
from gql.contract.node import uuid_of
from gql.types import change as changes
from gql.types.change import Change, PipelineEventType
from gql.types.history import HistoryEvent, pages, zoned
from gql.types.pipeline import Pipeline, ProjectRef, pipeline, project_ref, view_of
from projections.engine.views import Slice
from projections.history import HistoryQuery
from projections.pipeline import PipelineView

MadeBy = tuple[HistoryQuery, ...]
"""Where to look for the events that made a difference, the likeliest first."""

SKIPPING = (PipelineEventType.SERVICE_SKIPPED.value, PipelineEventType.SERVICE_UNSKIPPED.value)


@strawberry.input(description="A pipeline at a version, at a time, or as a deployment pinned it.", one_of=True)
class PipelineMoment:
    version: int | None = strawberry.UNSET
    as_of: datetime | None = strawberry.UNSET
    deployment: ID | None = strawberry.UNSET


@strawberry.type(description="One of the fewest changes that lead from one moment to the other.")
class Difference:
    change: Change
    message: str = strawberry.field(description="The change in words.")
    made_by: Private[MadeBy]

    @strawberry.field(description="The events between the two moments that made it, the newest first.")
    async def events(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[HistoryEvent]:
        return await info.context.together(_events, (self.made_by, part(first, after, last, before)))


@strawberry.type(description="What leads from one moment of a pipeline to another.")
class PipelineDiff:
    from_: Pipeline = strawberry.field(name="from")
    to: Pipeline
    differences: list[Difference]


async def _events(context: Context, asked: list[tuple[MadeBy, Slice]]) -> list[Connection[HistoryEvent]]:
    """Pages of the events that made differences, of all of them at once."""
    history = context.application.history
    nearer = list(dict.fromkeys(each for made_by, _ in asked for each in made_by[:-1]))
    found = dict(zip(nearer, await history.list_all(nearer, Slice(first=1)), strict=True)) if nearer else {}
    wanted = [(next((each for each in made_by[:-1] if found[each].edges), made_by[-1]), cut) for made_by, cut in asked]
    shown: dict[tuple[HistoryQuery, Slice], Connection[HistoryEvent]] = {}
    for cut in {cut for _, cut in wanted}:
        filters = list(dict.fromkeys(each for each, own in wanted if own == cut))
        connections = await pages(context, filters, cut)
        shown |= {(each, cut): page for each, page in zip(filters, connections, strict=True)}
    return [shown[each] for each in wanted]


async def between(context: Context, source: PipelineView, target: PipelineView, project: ProjectRef) -> PipelineDiff:
    events = diff.diff(source.pipeline, target.pipeline)
    first, last = sorted((source.position, target.position))
    span = HistoryQuery(environment=source.environment, first=first + 1, last=last)
    told = changes.changes(source.pipeline, events)
    return PipelineDiff(
        from_=pipeline(source, project, context.application.log.epoch),
        to=pipeline(target, project, context.application.log.epoch),
        differences=[
            Difference(change=change, message=change.message, made_by=_made_by(span, event))
            for change, event in zip(told, events, strict=True)
        ],
    )


def _made_by(span: HistoryQuery, event: PipelineEvent) -> MadeBy:
    """Where to look for the events that made the difference *event*.

    What came to be is made by all that was done to it. A place in the order may also have changed by what was done
    to others.
    """
    type_ = type(event).__name__
    alike = replace(span, types=SKIPPING if type_ in SKIPPING else (type_,))
    stage, service = getattr(event, "stage", None), getattr(event, "service", None)
    if stage is None and service is None:
        return (alike,)
    about = {"stages": (stage,)} if service is None else {"services": (service,)}
    whole = replace(span, **about)
    if isinstance(event, StageCreated | ServiceAdded):
        return (whole,)
    return replace(alike, **about), whole, alike


async def at(context: Context, environment: EnvironmentId, argument: str, given: PipelineMoment) -> PipelineView:
    """The pipeline at that moment; raises what is wrong with the moment."""
    pipelines = context.application.pipelines
    match given:
        case PipelineMoment(as_of=datetime() as moment):
            view = await pipelines.get(environment, as_of=zoned(argument, moment))
            if view is None:
                raise InvalidArgument(argument=argument, why="the environment was not there yet")
            return view
        case PipelineMoment(version=int(version)):
            return await at_version(context, environment, version)
        case PipelineMoment(deployment=str(text)):
            found = uuid_of("deployment", text)
            run = None if found is None else await context.application.deployments.read(DeploymentId(found))
            if run is None or run.environment != environment:
                raise DeploymentNotFound(deployment=text)
            return await at_version(context, environment, run.pipeline_version)
        case _:
            raise InvalidArgument(argument=argument, why="give a version, a time or a deployment")


async def at_version(context: Context, environment: EnvironmentId, version: int) -> PipelineView:
    """The pipeline at *version*; raises `VersionNotFound`."""
    pipelines = context.application.pipelines
    view = await pipelines.get(environment, version)
    if view is None:
        now = await pipelines.get(environment)
        raise VersionNotFound(version=version, last=now.version if now else 0)
    return view


@strawberry.type
class Query:
    @strawberry.field(
        description="The fewest changes that lead from one moment of a pipeline to another, or to the current one."
    )
    async def pipeline_diff(
        self,
        info: Info,
        environment: ID,
        from_: Annotated[PipelineMoment, strawberry.argument(name="from")],
        to: PipelineMoment | None = None,
    ) -> PipelineDiff:
        now = await view_of(info.context, environment)
        if now is None:
            raise EnvironmentNotFound(environment=environment)
        source = await at(info.context, now.environment, "from", from_)
        target = now if to is None else await at(info.context, now.environment, "to", to)
        info.context.reads(WHOLE)
        return await between(info.context, source, target, await project_ref(info.context, now.project))
