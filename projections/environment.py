"""Environments of a project, by name: each as a whole, without its stages and services."""

from datetime import datetime
from typing import get_args
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain import name as names
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentRenamed,
    Target,
    TargetChanged,
)
from domain.pipeline.state import PipelineEvent
from domain.project import EnvironmentId, ProjectId
from projections.engine.projection import Projection, Reader
from projections.engine.views import FIRST, ListPlace, Page, Slice, Views
from store.log import Recorded

EVENTS = frozenset(get_args(PipelineEvent))
OWN = frozenset(get_args(EnvironmentEvent))


class EnvironmentView(Struct, frozen=True, kw_only=True):
    """*version* and *updated_at* are its pipeline's: a change to a stage or a service is one of the environment too."""

    id: EnvironmentId
    project: ProjectId
    name: str
    target: Target
    concurrency: int
    is_deleted: bool = False
    created_at: datetime
    updated_at: datetime
    version: int
    position: int


def key(recorded: Recorded) -> UUID | None:
    return recorded.stream if type(recorded.event) in EVENTS else None


def fold(view: EnvironmentView | None, recorded: Recorded) -> EnvironmentView | None:
    at, version, position = recorded.recorded_at, recorded.version, recorded.position
    if view is not None:
        view = replace(view, updated_at=at, version=version, position=position)
        if type(recorded.event) not in OWN:  # which nearly none is
            return view
    match recorded.event:
        case EnvironmentCreated(project=project, name=name, target=target, concurrency=concurrency):
            return EnvironmentView(
                id=EnvironmentId(recorded.stream),
                project=project,
                name=name,
                target=target,
                concurrency=concurrency,
                created_at=at,
                updated_at=at,
                version=version,
                position=position,
            )
        case EnvironmentRenamed(name=name) if view:
            return replace(view, name=name)
        case TargetChanged(target=target) if view:
            return replace(view, target=target)
        case ConcurrencyChanged(concurrency=concurrency) if view:
            return replace(view, concurrency=concurrency)
        case EnvironmentDeleted() if view:
            return replace(view, is_deleted=True)
        case _:
            return view


def place(view: EnvironmentView) -> ListPlace | None:
    return None if view.is_deleted else ListPlace(parent=str(view.project), sort=names.key(view.name))


projection = Projection("environment", 1, EnvironmentView, key, fold, place)


class Environments:
    def __init__(self, views: Views) -> None:
        self._rows = Reader(views, projection)

    async def get(self, environment: EnvironmentId) -> EnvironmentView | None:
        """The environment, be it deleted or not."""
        return await self._rows.get(environment)

    async def list(self, project: ProjectId, part: Slice = FIRST) -> Page[EnvironmentView]:
        """Those not deleted, by name without regard to case; raises `InvalidArgument` for what is no cursor."""
        return await self._rows.list(str(project), part)
