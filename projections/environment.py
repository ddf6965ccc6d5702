"""Environments of a project, by name, without their stages and services."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import assert_never, cast, get_args
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain import name as names
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentPolicy,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    Target,
    TargetChanged,
)
from domain.pipeline.state import PipelineEvent
from domain.project import EnvironmentId, ProjectId
from projections.engine.projection import Projection, Reader
from projections.engine.views import FIRST, ListPlace, Page, Slice, Views
from store.log import RecordedEvent

EVENTS = frozenset(get_args(PipelineEvent))
"""Events of a pipeline."""

ENVIRONMENT_EVENTS = frozenset(get_args(EnvironmentEvent))
"""Those that change the environment itself, and not only its version."""


class EnvironmentView(Struct, frozen=True, kw_only=True):
    """An environment. *version* and *updated_at* are those of its pipeline, with its stages and services."""

    id: EnvironmentId
    project: ProjectId
    name: str
    target: Target
    concurrency: int
    policy: EnvironmentPolicy = EnvironmentPolicy()
    is_deleted: bool = False
    created_at: datetime
    updated_at: datetime
    version: int
    position: int


def key(recorded: RecordedEvent) -> UUID | None:
    return recorded.stream if type(recorded.event) in EVENTS else None


def fold(view: EnvironmentView | None, recorded: RecordedEvent) -> EnvironmentView | None:
    if view is None:
        return _created(recorded)
    at, version, position = recorded.recorded_at, recorded.version, recorded.position
    view = replace(view, updated_at=at, version=version, position=position)
    if type(recorded.event) not in ENVIRONMENT_EVENTS:
        return view
    event = cast("EnvironmentEvent", recorded.event)
    match event:
        case EnvironmentCreated():
            return _created(recorded)
        case EnvironmentRenamed(name=name):
            return replace(view, name=name)
        case TargetChanged(target=target):
            return replace(view, target=target)
        case ConcurrencyChanged(concurrency=concurrency):
            return replace(view, concurrency=concurrency)
        case EnvironmentPolicyChanged(policy=policy):
            return replace(view, policy=policy)
        case EnvironmentDeleted():
            return replace(view, is_deleted=True)
        case _:
            assert_never(event)


def _created(recorded: RecordedEvent) -> EnvironmentView | None:
    event = recorded.event
    if not isinstance(event, EnvironmentCreated):
        return None
    return EnvironmentView(
        id=EnvironmentId(recorded.stream),
        project=event.project,
        name=event.name,
        target=event.target,
        concurrency=event.concurrency,
        created_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        version=recorded.version,
        position=recorded.position,
    )


def place(view: EnvironmentView) -> ListPlace | None:
    return None if view.is_deleted else ListPlace(parent=str(view.project), sort=names.key(view.name))


projection = Projection("environment", 2, EnvironmentView, key, fold, place)


class Environments:
    """Reads environments."""

    def __init__(self, views: Views) -> None:
        self._rows = Reader(views, projection)

    async def get(self, environment: EnvironmentId) -> EnvironmentView | None:
        """Return an environment, also a deleted one, or None."""
        return await self._rows.get(environment)

    async def find(self, environments: Collection[EnvironmentId]) -> Mapping[UUID, EnvironmentView]:
        """Return the environments that exist, also deleted ones."""
        return await self._rows.find(environments)

    async def list_each(self, projects: Sequence[ProjectId], part: Slice) -> Sequence[Page[EnvironmentView]]:
        """Return the same part of the environments of each of *projects*; only that of one may have cursors."""
        return await self._rows.read_each([str(each) for each in projects], part, projection.decode)

    async def list(self, project: ProjectId, part: Slice = FIRST) -> Page[EnvironmentView]:
        """Return the environments of a project that are not deleted, by name without regard to case.

        Raises `InvalidArgument` for an invalid cursor.
        """
        return await self._rows.list(str(project), part)
