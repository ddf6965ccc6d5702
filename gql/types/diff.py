"""Differences between two moments of a pipeline, and the events that made them."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from msgspec.structs import replace
from strawberry import Private

from domain.errors import EnvironmentNotFound
from domain.pipeline import diff
from domain.pipeline import service as services
from domain.pipeline import stage as stages
from domain.pipeline.service import ServiceAdded
from domain.pipeline.stage import StageCreated
from domain.pipeline.state import PipelineEvent
from endpoint.execution.answers import PAST, WHOLE
from endpoint.execution.selection import names
from gql.context import Context, Info
from gql.contract.connection import After, Before, Connection, First, Last, ListName, part
from gql.types import change as changes
from gql.types.change import Change
from gql.types.environment import pipeline_view
from gql.types.event import PipelineEvent as PipelineEventNode
from gql.types.history import pages
from gql.types.moment import PipelineMoment, at_moment, is_fixed
from gql.types.pipeline import LIVE, PipelineSnapshot, snapshot
from gql.types.project import Project, project_of
from gql.types.ref import EnvironmentArgument
from projections.engine.views import Slice
from projections.history import HistoryQuery
from projections.pipeline import PipelineView

Searches = tuple[HistoryQuery, ...]
"""Searches for the events that made a difference, the likeliest first."""

SKIPPING = (services.ServiceSkipped.__name__, services.ServiceUnskipped.__name__)
"""The events that make a difference in `is_skipped`."""


EVENTS = ListName("differenceEvents")
"""The list of the events of a difference."""


@strawberry.type(description="A change in the shortest list of changes from one pipeline to the other.")
class Difference:
    change: Change = strawberry.field(description="The change.")
    made_by: Private[Searches]

    @strawberry.field(
        description="List the events between the two moments that made the difference, newest first; none for a"
        " document."
    )
    async def events(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[PipelineEventNode]:
        return await info.context.together(_events, (self.made_by, part(first, after, last, before, EVENTS)))


@strawberry.type(
    description="The differences between two pipelines of an environment: of two moments, or now and by a document."
)
class PipelineDiff:
    from_: PipelineSnapshot = strawberry.field(
        name="from", description="The pipeline at the first moment; the current one for a document."
    )
    to: PipelineSnapshot = strawberry.field(
        description="The pipeline at the second moment; the one that a document would make."
    )
    differences: list[Difference] = strawberry.field(
        description="The shortest list of changes from the first to the second, in order."
    )


async def _events(context: Context, requests: list[tuple[Searches, Slice]]) -> list[Connection[PipelineEventNode]]:
    """Return pages of the events that made differences, read at once."""
    history = context.application.history
    nearer = list(dict.fromkeys(each for made_by, _ in requests for each in made_by[:-1]))
    found = dict(zip(nearer, await history.list_all(nearer, Slice(first=1)), strict=True)) if nearer else {}
    wanted = [
        (next((each for each in made_by[:-1] if found[each].edges), made_by[-1]), cut) for made_by, cut in requests
    ]
    read: dict[tuple[HistoryQuery, Slice], Connection[PipelineEventNode]] = {}
    for cut in {cut for _, cut in wanted}:
        queries = list(dict.fromkeys(each for each, own in wanted if own == cut))
        connections = await pages(context, queries, cut, [EVENTS] * len(queries))
        read |= {(each, cut): page for each, page in zip(queries, connections, strict=True)}
    return [read[each] for each in wanted]


async def between(context: Context, source: PipelineView, target: PipelineView, project: Project) -> PipelineDiff:
    """Return the differences between two views of a pipeline."""
    return difference(context, source, target, project, diff.diff(source.pipeline, target.pipeline))


def difference(
    context: Context, source: PipelineView, target: PipelineView, project: Project, events: Sequence[PipelineEvent]
) -> PipelineDiff:
    """Return the difference between two views of a pipeline, of which *events* are the shortest way."""
    first, last = sorted((source.position, target.position))
    span = HistoryQuery(environment=source.environment, first=first + 1, last=last)
    epoch = context.application.log.epoch
    return PipelineDiff(
        from_=snapshot(source, project, epoch),
        to=snapshot(target, project, epoch),
        differences=[
            Difference(change=change, made_by=_searches(span, event))
            for change, event in zip(changes.changes(source.pipeline, events), events, strict=True)
        ],
    )


def _searches(span: HistoryQuery, event: PipelineEvent) -> Searches:
    """Return the searches for the events that made the difference *event*.

    All events of a new object made it. A change of position can also be due to events of other objects.
    """
    type_ = type(event).__name__
    alike = replace(span, types=SKIPPING if type_ in SKIPPING else (type_,))
    if isinstance(event, stages.StageEvent):
        about = replace(span, stages=(event.stage,)), replace(alike, stages=(event.stage,))
    elif isinstance(event, services.ServiceEvent):
        about = replace(span, services=(event.service,)), replace(alike, services=(event.service,))
    else:
        return (alike,)
    whole, same = about
    if isinstance(event, StageCreated | ServiceAdded):
        return (whole,)
    return same, whole, alike


@strawberry.type
class Query:
    @strawberry.field(
        description="Return the shortest list of changes from one moment of a pipeline to another, or to now."
    )
    async def pipeline_diff(
        self,
        info: Info,
        environment: EnvironmentArgument,
        from_: Annotated[PipelineMoment, strawberry.argument(name="from", description="The first moment.")],
        to: Annotated[
            PipelineMoment | None, strawberry.argument(description="The second moment; null for now.")
        ] = None,
    ) -> PipelineDiff | None:
        now = await pipeline_view(info.context, environment)
        if now is None:
            raise EnvironmentNotFound(environment=environment)
        source = await at_moment(info.context, now.environment, "from", from_)
        target = now if to is None else await at_moment(info.context, now.environment, "to", to)
        is_past = is_fixed(from_) and to is not None and is_fixed(to) and LIVE.isdisjoint(names(info))
        info.context.reads(PAST if is_past else WHOLE)
        return await between(info.context, source, target, await project_of(info.context, now.project))
