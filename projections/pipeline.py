"""An environment's pipeline, as it stands and as it stood."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from msgspec import Struct

from domain import pipeline
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.project import EnvironmentId, ProjectId
from projections import history
from projections.engine import snapshot
from projections.engine.projection import Projection
from projections.engine.replay import Replay
from projections.engine.snapshot import Snapshots
from projections.engine.views import ListPlace, ViewRow, Views
from projections.environment import EVENTS
from store.log import EventLog, Recorded


class PipelineView(Struct, frozen=True, kw_only=True):
    environment: EnvironmentId
    project: ProjectId
    version: int
    position: int
    created_at: datetime
    updated_at: datetime
    pipeline: Pipeline


def key(recorded: Recorded) -> UUID | None:
    return recorded.stream if type(recorded.event) in EVENTS else None


def fold(view: PipelineView | None, recorded: Recorded) -> PipelineView | None:
    before = view.pipeline if view else pipeline.decider.initial
    return _became(view, pipeline.evolve(before, cast("PipelineEvent", recorded.event)), recorded, recorded)


def fold_all(view: PipelineView | None, events: Sequence[Recorded]) -> PipelineView | None:
    if not events:
        return view
    facts = [cast("PipelineEvent", recorded.event) for recorded in events]
    after = pipeline.decider.replay(facts, view.pipeline if view else None)
    return _became(view, after, events[0], events[-1])


def _became(view: PipelineView | None, after: Pipeline, first: Recorded, last: Recorded) -> PipelineView | None:
    if after.project is None:
        return view
    return PipelineView(
        environment=EnvironmentId(last.stream),
        project=after.project,
        version=last.version,
        position=last.position,
        created_at=view.created_at if view else first.recorded_at,
        updated_at=last.recorded_at,
        pipeline=after,
    )


def place(view: PipelineView) -> ListPlace | None:
    return None


def beside(before: PipelineView | None, after: PipelineView | None, recorded: Recorded) -> Sequence[ViewRow]:
    """The event's row in the history, and now and then a snapshot."""
    if after is None:
        return ()
    told = history.row(before.pipeline if before else Pipeline(), after.project, recorded)
    return (told, snapshot.row(after, recorded)) if snapshot.is_due(recorded) else (told,)


projection = Projection(history.KIND, 2, PipelineView, key, fold, place, beside, fold_all)


class Pipelines:
    """Pipelines straight from the log: never behind it. Snapshots among the *views* spare reading all of it."""

    def __init__(self, log: EventLog, views: Views | None = None) -> None:
        self._replay = Replay(log, projection, None if views is None else Snapshots(log, views, projection))

    async def get(
        self,
        environment: EnvironmentId,
        version: int | None = None,
        as_of: datetime | None = None,
        *,
        has_asked: bool = False,
    ) -> PipelineView | None:
        """The pipeline as it stands, or stood at *version* or at the time *as_of* (which has a zone).

        For who *has_asked* for the log's position, as it stood then, or later. None if there is no such environment,
        none yet at that time, or no such version yet.
        """
        return await self._replay.get(environment, version, as_of, has_asked=has_asked)

    async def at(self, environment: EnvironmentId, versions: Collection[int]) -> Mapping[int, PipelineView | None]:
        """The pipeline as it stood at each of *versions*, as soon as for one; what is still to come is left out."""
        return await self._replay.at(environment, versions)
