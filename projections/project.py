"""Projects, by name."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import assert_never, cast, get_args
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain import name as names
from domain.project import (
    EnvironmentNamed,
    EnvironmentNameFreed,
    ProjectCreated,
    ProjectDeleted,
    ProjectEvent,
    ProjectId,
    ProjectKeyRotated,
    ProjectRenamed,
    ProjectSecretDeleted,
    ProjectSecretSet,
    ProjectVariableDeleted,
    ProjectVariableSet,
)
from domain.role import Place
from domain.spec import Variable
from domain.variable import merged, without
from projections.engine.projection import Projection, Reader
from projections.engine.views import FIRST, ListPlace, Page, Slice, Views
from store.log import RecordedEvent

EVENTS = frozenset(get_args(ProjectEvent))


class ProjectView(Struct, frozen=True, kw_only=True):
    id: ProjectId
    name: str
    is_deleted: bool = False
    variables: tuple[Variable, ...] = ()
    created_at: datetime
    position: int


def key(recorded: RecordedEvent) -> UUID | None:
    if type(recorded.event) not in EVENTS:
        return None
    event = cast("ProjectEvent", recorded.event)
    match event:
        case ProjectCreated() | ProjectRenamed() | ProjectDeleted() | ProjectVariableSet() | ProjectVariableDeleted():
            return recorded.stream
        case ProjectSecretSet() | ProjectSecretDeleted() | ProjectKeyRotated():  # nor are secrets
            return None
        case EnvironmentNamed() | EnvironmentNameFreed():  # names of environments are no part of the view
            return None
        case _:
            assert_never(event)


def fold(view: ProjectView | None, recorded: RecordedEvent) -> ProjectView | None:
    event = cast("ProjectEvent", recorded.event)
    match event:
        case ProjectCreated(name=name):
            id_ = ProjectId(recorded.stream)
            return ProjectView(id=id_, name=name, created_at=recorded.recorded_at, position=recorded.position)
        case ProjectRenamed(name=name):
            return None if view is None else replace(view, name=name, position=recorded.position)
        case ProjectVariableSet(name=name, value=value):
            own = () if view is None else merged(view.variables, (Variable(name=name, value=value),))
            return None if view is None else replace(view, variables=own, position=recorded.position)
        case ProjectVariableDeleted(name=name):
            own = () if view is None else without(view.variables, name)
            return None if view is None else replace(view, variables=own, position=recorded.position)
        case ProjectDeleted():
            return None if view is None else replace(view, is_deleted=True, position=recorded.position)
        case ProjectSecretSet() | ProjectSecretDeleted() | ProjectKeyRotated():
            return view
        case EnvironmentNamed() | EnvironmentNameFreed():
            return view
        case _:
            assert_never(event)


def place(view: ProjectView) -> ListPlace | None:
    return None if view.is_deleted else ListPlace(parent="", sort=names.key(view.name))


def places(view: ProjectView) -> list[ListPlace]:
    """Return a list for each project: lists of some projects are merged from them."""
    return [] if view.is_deleted else [ListPlace(_own(view.id), names.key(view.name))]


def _own(project: ProjectId) -> str:
    return f"project {project}"


projection = Projection("project", 4, ProjectView, key, fold, place, places=places)


class Projects:
    """Reads projects."""

    def __init__(self, views: Views) -> None:
        self._rows = Reader(views, projection)

    async def get(self, project: ProjectId) -> ProjectView | None:
        """Return a project, also a deleted one, or None."""
        return await self._rows.get(project)

    async def find(self, projects: Collection[ProjectId]) -> Mapping[UUID, ProjectView]:
        """Return the projects that exist or existed."""
        return await self._rows.find(projects)

    async def list(self, part: Slice = FIRST, seen: Sequence[Place] | None = None) -> Page[ProjectView]:
        """Return the projects that are not deleted, by name without regard to case.

        With *seen* they are only those that contain such a place. Raises `InvalidArgument` for an invalid cursor.
        """
        if seen is None:
            return await self._rows.list("", part)
        parents = sorted({_own(place.project) for place in seen if place.project is not None})
        (page,) = await self._rows.read_merged([parents], part, projection.decode)
        return page
