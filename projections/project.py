"""Projects, by name."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from domain import name as names
from domain.project import ProjectCreated, ProjectId
from projections.engine.projection import Projection, Reader
from projections.engine.views import FIRST, ListPlace, Page, Slice, Views
from store.log import Recorded


class ProjectView(Struct, frozen=True, kw_only=True):
    id: ProjectId
    name: str
    created_at: datetime
    position: int


def key(recorded: Recorded) -> UUID | None:
    return recorded.stream if type(recorded.event) is ProjectCreated else None


def fold(view: ProjectView | None, recorded: Recorded) -> ProjectView | None:
    match recorded.event:
        case ProjectCreated(name=name):
            id_ = ProjectId(recorded.stream)
            return ProjectView(id=id_, name=name, created_at=recorded.recorded_at, position=recorded.position)
        case _:
            return view


def place(view: ProjectView) -> ListPlace:
    return ListPlace(parent="", sort=names.key(view.name))


projection = Projection("project", 1, ProjectView, key, fold, place)


class Projects:
    def __init__(self, views: Views) -> None:
        self._rows = Reader(views, projection)

    async def get(self, project: ProjectId) -> ProjectView | None:
        return await self._rows.get(project)

    async def find(self, projects: Collection[ProjectId]) -> Mapping[UUID, ProjectView]:
        """The projects that are there."""
        return await self._rows.find(projects)

    async def list(self, part: Slice = FIRST) -> Page[ProjectView]:
        """By name, without regard to case; raises `InvalidArgument` for what is no cursor."""
        return await self._rows.list("", part)
