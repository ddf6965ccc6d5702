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
    EnvironmentKeyRotated,
    EnvironmentPolicy,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    EnvironmentSecretDeleted,
    EnvironmentSecretSet,
    EnvironmentVariableDeleted,
    EnvironmentVariableSet,
    Target,
    TargetChanged,
)
from domain.pipeline.state import PipelineEvent
from domain.project import EnvironmentId, ProjectId
from domain.role import Place
from domain.spec import Variable
from domain.variable import merged, without
from projections.engine.pages import RecentPages
from projections.engine.projection import Projection, Reader
from projections.engine.projector import Projector
from projections.engine.views import FIRST, ListPlace, Page, Slice, SortRange, Views
from store.log import EventLog, RecordedEvent

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
    variables: tuple[Variable, ...] = ()
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
        case EnvironmentVariableSet(name=name, value=value):
            return replace(view, variables=merged(view.variables, (Variable(name=name, value=value),)))
        case EnvironmentVariableDeleted(name=name):
            return replace(view, variables=without(view.variables, name))
        case EnvironmentSecretSet() | EnvironmentSecretDeleted() | EnvironmentKeyRotated():
            return view  # secrets are read from the state of the pipeline
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
    """Return None: all lists of environments are narrow ones."""


def places(view: EnvironmentView) -> list[ListPlace]:
    sort = names.key(view.name)
    return [ListPlace(_list(owner, view.is_deleted), sort) for owner in (view.project, None, view.id)]


def _list(owner: ProjectId | EnvironmentId | None, is_deleted: bool) -> str:
    """Return the list of the environments of a project, or of all, that are deleted or not.

    An environment has a list of its own: lists of some environments are merged from them.
    """
    return f"{'deleted' if is_deleted else 'existing'} {owner or ''}"


def owners(project: ProjectId | None, seen: Sequence[Place] | None) -> list[ProjectId | EnvironmentId | None]:
    """Return the owners of the lists that have what is *seen* of a project, or of all."""
    if seen is None:
        return [project]
    whole = None if project is None else Place(project=project)
    if whole is not None and any(place.contains(whole) for place in seen):
        return [project]
    return [place.environment or place.project for place in seen if whole is None or whole.contains(place)]


class EnvironmentQuery(Struct, frozen=True, kw_only=True):
    """A query of environments: those whose name starts with *prefix*, without regard to case; also deleted ones.

    They are ordered by name, from the last name on if *is_descending*.
    """

    prefix: str = ""
    has_deleted: bool = False
    is_descending: bool = False

    def parents(self, project: ProjectId | None, seen: Sequence[Place] | None) -> list[str]:
        """Return the lists of matching environments of a project, or of all, that are *seen*."""
        kinds = (False, True) if self.has_deleted else (False,)
        return [_list(owner, is_deleted) for owner in owners(project, seen) for is_deleted in kinds]


EXISTING = EnvironmentQuery()
"""The query of all environments that are not deleted."""

projection = Projection("environment", 8, EnvironmentView, key, fold, place, places=places)


LISTS = UUID(int=0)
"""Subject that stands for all lists of environments: which environments they have, in which order."""

LISTED = (EnvironmentCreated, EnvironmentRenamed, EnvironmentDeleted)
"""Events that change lists."""

EnvironmentPages = RecentPages[EnvironmentView]


def recent_pages(log: EventLog, projector: Projector) -> EnvironmentPages:
    """Return the cache of pages for `Environments`."""
    return RecentPages(log, projector, projection.name, EVENTS, _subjects)


def _subjects(recorded: RecordedEvent) -> tuple[UUID, ...]:
    return (recorded.stream, LISTS) if isinstance(recorded.event, LISTED) else (recorded.stream,)


class Environments:
    """Reads environments; *recent* has the pages without cursors that were read last."""

    def __init__(self, views: Views, recent: EnvironmentPages | None = None) -> None:
        self._rows = Reader(views, projection)
        self._recent = recent

    async def get(self, environment: EnvironmentId) -> EnvironmentView | None:
        """Return an environment, also a deleted one, or None."""
        return await self._rows.get(environment)

    async def find(self, environments: Collection[EnvironmentId]) -> Mapping[UUID, EnvironmentView]:
        """Return the environments that exist, also deleted ones."""
        return await self._rows.find(environments)

    async def list_each(
        self,
        projects: Sequence[ProjectId | None],
        part: Slice,
        query: EnvironmentQuery,
        seen: tuple[Place, ...] | None = None,
    ) -> Sequence[Page[EnvironmentView]]:
        """Return the same part of the environments of each of *projects* that match *query*; None is all projects.

        With *seen* they are only those within such a place. Names are compared without regard to case. Only the part of
        one project may have cursors.
        """
        within = SortRange.starting_with(names.key(query.prefix))

        async def read() -> Sequence[Page[EnvironmentView]]:
            groups = [query.parents(each, seen) for each in projects]
            return await self._rows.read_merged(
                groups, part, projection.decode, is_descending=query.is_descending, within=within
            )

        if self._recent is None or part.has_cursor:
            return await read()
        key = (tuple(None if each is None else each.int for each in projects), part, query, seen)
        return await self._recent.get(
            key, read, lambda pages: (LISTS, *(edge.node.id for page in pages for edge in page.edges))
        )

    async def list(
        self,
        project: ProjectId | None,
        part: Slice = FIRST,
        query: EnvironmentQuery = EXISTING,
        seen: tuple[Place, ...] | None = None,
    ) -> Page[EnvironmentView]:
        """Return the environments of a project, or of all, that match *query* and are *seen*.

        Raises `InvalidArgument` for an invalid cursor.
        """
        (page,) = await self.list_each([project], part, query, seen)
        return page
