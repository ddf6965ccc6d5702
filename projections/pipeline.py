"""An environment's pipeline, as it stands and as it stood."""

from datetime import datetime
from typing import cast
from uuid import UUID

from msgspec import Struct

from domain import pipeline
from domain.pipeline import Pipeline, PipelineEvent
from domain.project import EnvironmentId, ProjectId
from projections.environment import EVENTS
from projections.projection import Projection
from projections.replay import Replay
from projections.views import Place
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
    return recorded.stream if isinstance(recorded.event, EVENTS) else None


def fold(view: PipelineView | None, recorded: Recorded) -> PipelineView | None:
    event = cast("PipelineEvent", recorded.event)
    after = pipeline.evolve(view.pipeline if view else Pipeline(), event)
    if after.project is None:
        return None
    return PipelineView(
        environment=EnvironmentId(recorded.stream),
        project=after.project,
        version=recorded.version,
        position=recorded.position,
        created_at=view.created_at if view else recorded.recorded_at,
        updated_at=recorded.recorded_at,
        pipeline=after,
    )


def place(view: PipelineView) -> Place | None:
    return None


projection = Projection("pipeline", 1, PipelineView, key, fold, place)


class Pipelines:
    """Pipelines straight from the log: never behind it."""

    def __init__(self, log: EventLog) -> None:
        self._replay = Replay(log, projection)

    async def get(
        self, environment: EnvironmentId, version: int | None = None, as_of: datetime | None = None
    ) -> PipelineView | None:
        """The pipeline as it stands, or stood at *version* or at the time *as_of* (which has a zone).

        None if there is no such environment, none yet at that time, or no such version yet.
        """
        return await self._replay.get(environment, version, as_of)
