"""Pipelines of environments, at any version."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from msgspec import Struct

from domain import pipeline
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.project import EnvironmentId, ProjectId
from projections import history
from projections import service as services
from projections.engine import snapshot
from projections.engine.projection import Projection, Reader
from projections.engine.replay import Replay
from projections.engine.snapshot import Snapshots, VersionedView
from projections.engine.views import ListPlace, ViewRow, Views
from projections.environment import EVENTS
from store.log import EventLog, RecordedEvent


class PipelineView(Struct, frozen=True, kw_only=True):
    """A pipeline at *version*; *position* is that of its last event."""

    environment: EnvironmentId
    project: ProjectId
    version: int
    position: int
    created_at: datetime
    updated_at: datetime
    pipeline: Pipeline


def key(recorded: RecordedEvent) -> UUID | None:
    return recorded.stream if type(recorded.event) in EVENTS else None


def fold(view: PipelineView | None, recorded: RecordedEvent) -> PipelineView | None:
    before = view.pipeline if view else pipeline.decider.initial
    return _next_view(view, pipeline.evolve(before, cast("PipelineEvent", recorded.event)), recorded, recorded)


def fold_all(view: PipelineView | None, events: Sequence[RecordedEvent]) -> PipelineView | None:
    if not events:
        return view
    facts = [cast("PipelineEvent", recorded.event) for recorded in events]
    after = pipeline.decider.replay(facts, view.pipeline if view else None)
    return _next_view(view, after, events[0], events[-1])


def _next_view(
    view: PipelineView | None, after: Pipeline, first: RecordedEvent, last: RecordedEvent
) -> PipelineView | None:
    """Return the view of *after*, to which the events from *first* to *last* led."""
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


def beside(before: PipelineView | None, after: PipelineView | None, recorded: RecordedEvent) -> Sequence[ViewRow]:
    """Return the row of an event in the history, and a snapshot where one is due."""
    if after is None:
        return ()
    entry = history.row(before.pipeline if before else Pipeline(), after.project, recorded)
    return (entry, snapshot.row(after, recorded)) if snapshot.is_due(recorded) else (entry,)


def parts(
    before: PipelineView | None, after: PipelineView | None, recorded: RecordedEvent
) -> Mapping[UUID, ViewRow | None]:
    """Return the rows of the services that an event adds to lists, moves in them or removes from them."""
    if after is None or type(recorded.event) not in services.EVENTS:
        return {}
    return services.rows(before.pipeline if before else Pipeline(), after.project, recorded)


projection = Projection(history.KIND, 15, PipelineView, key, fold, place, beside, fold_all, parts=parts)


class Pipelines:
    """Reads pipelines from the log, so that they are never behind it; snapshots in *views* shorten the reading."""

    def __init__(self, log: EventLog, views: Views | None = None) -> None:
        self._replay = Replay(log, projection, None if views is None else Snapshots(log, views, projection))
        self._rows = None if views is None else Reader(views, projection)

    async def get(
        self,
        environment: EnvironmentId,
        version: int | None = None,
        as_of: datetime | None = None,
        *,
        has_asked: bool = False,
    ) -> PipelineView | None:
        """Return the newest pipeline, or that at *version*, or that at the time *as_of*, which has a time zone.

        With *has_asked* the caller has read the position of the log, and the newest pipeline is that of then or later.
        The result is None if there was no such environment or version at that time.
        """
        return await self._replay.get(environment, version, as_of, has_asked=has_asked)

    async def get_all(
        self, environments: Collection[EnvironmentId], *, has_asked: bool = False
    ) -> Mapping[EnvironmentId, PipelineView]:
        """Return the newest pipelines, as new as the read models, with at most one statement."""
        found: dict[EnvironmentId, PipelineView] = {}
        for each in environments if has_asked else ():
            known = self._replay.current(each)
            if known is not None:
                found[each] = known
        missing = [each for each in environments if each not in found]
        if missing and self._rows is not None:
            rows = await self._rows.find(missing)
            for each in missing:
                if each in rows:
                    found[each] = view = rows[each]
                    self._replay.keep(each, VersionedView(view.version, view.updated_at, view))
        return found

    async def at(self, environment: EnvironmentId, versions: Collection[int]) -> Mapping[int, PipelineView | None]:
        """Return the pipeline at each of *versions* in one pass, without versions that do not exist yet."""
        return await self._replay.at(environment, versions)
