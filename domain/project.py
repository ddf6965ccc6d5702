"""
Projects: namespaces of environments.

The parent stream keeps names unique: the catalog for projects, a project for its environments.
"""

from collections.abc import Iterable
from typing import NewType, assert_never, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from domain import name as names
from domain.decider import Decider
from domain.errors import EnvironmentNotFound, NameTaken, ProjectNotFound

ProjectId = NewType("ProjectId", UUID)
EnvironmentId = NewType("EnvironmentId", UUID)

CATALOG = uuid5(NAMESPACE_URL, "stageline:catalog")
"""The stream of the catalog."""


class ProjectNamed(Struct, frozen=True, kw_only=True):
    """The catalog lists *project* under *name* from now on."""

    project: ProjectId
    name: str


class ProjectCreated(Struct, frozen=True, kw_only=True):
    name: str


class EnvironmentNamed(Struct, frozen=True, kw_only=True):
    """*environment* has *name* in its project from now on; its earlier name is free."""

    environment: EnvironmentId
    name: str


class EnvironmentNameFreed(Struct, frozen=True, kw_only=True):
    environment: EnvironmentId


ProjectEvent = ProjectCreated | EnvironmentNamed | EnvironmentNameFreed


class NameProject(Struct, frozen=True, kw_only=True):
    project: ProjectId
    name: str


class CreateProject(Struct, frozen=True, kw_only=True):
    name: str


class NameEnvironment(Struct, frozen=True, kw_only=True):
    environment: EnvironmentId
    name: str


class FreeEnvironmentName(Struct, frozen=True, kw_only=True):
    environment: EnvironmentId


ProjectCommand = CreateProject | NameEnvironment | FreeEnvironmentName


class Entry(Struct, frozen=True, kw_only=True):
    id: UUID
    name: str


class Catalog(Struct, frozen=True, kw_only=True):
    """The names of all projects."""

    projects: tuple[Entry, ...] = ()

    def find(self, name: str) -> ProjectId:
        """Return the project with that name, ignoring case; raises `ProjectNotFound`."""
        entry = _named(self.projects, name)
        if entry is None:
            raise ProjectNotFound(project=name)
        return ProjectId(entry.id)


class Project(Struct, frozen=True, kw_only=True):
    """A project and the names of its environments; `name` is None until the project is created."""

    name: str | None = None
    environments: tuple[Entry, ...] = ()

    def find(self, name: str) -> EnvironmentId:
        """Return the environment with that name, ignoring case; raises `EnvironmentNotFound`."""
        entry = _named(self.environments, name)
        if entry is None:
            raise EnvironmentNotFound(environment=name)
        return EnvironmentId(entry.id)


def _named(entries: tuple[Entry, ...], name: str) -> Entry | None:
    wanted = names.key(name)
    found = [entry for entry in entries if names.key(entry.name) == wanted]
    # an old log may have two names with the same key: then the exact one is meant
    return next((entry for entry in found if entry.name == name), found[0] if found else None)


def _by_id(entries: tuple[Entry, ...]) -> dict[int, Entry]:
    """Return *entries* by id as integer: integers compare much faster than UUIDs."""
    return {entry.id.int: entry for entry in entries}


def decide_catalog(state: Catalog, command: NameProject) -> list[ProjectNamed]:
    name = names.checked(command.name)
    holder = _named(state.projects, name)
    if holder is not None and holder.id != command.project:
        raise NameTaken(kind="project", name=holder.name)
    if holder is not None and holder.name == name:
        return []
    return [ProjectNamed(project=command.project, name=name)]


def evolve_catalog(state: Catalog, event: ProjectNamed) -> Catalog:
    return fold_catalog(state, (event,))


def fold_catalog(catalog: Catalog, events: Iterable[ProjectNamed]) -> Catalog:
    projects = _by_id(catalog.projects)
    for event in events:
        projects[event.project.int] = Entry(id=event.project, name=event.name)
    return Catalog(projects=tuple(projects.values()))


def decide(state: Project, command: ProjectCommand) -> list[ProjectEvent]:
    match command:
        case CreateProject(name=name):
            return [ProjectCreated(name=names.checked(name))] if state.name is None else []
        case _ if state.name is None:
            raise ProjectNotFound(project="")
        case NameEnvironment(environment=environment, name=wanted):
            name = names.checked(wanted)
            holder = _named(state.environments, name)
            if holder is not None and holder.id != environment:
                raise NameTaken(kind="environment", name=holder.name)
            if holder is not None and holder.name == name:
                return []
            return [EnvironmentNamed(environment=environment, name=name)]
        case FreeEnvironmentName(environment=environment):
            if all(entry.id != environment for entry in state.environments):
                return []
            return [EnvironmentNameFreed(environment=environment)]
        case _:
            assert_never(command)


def evolve(state: Project, event: ProjectEvent) -> Project:
    return fold(state, (event,))


def fold(project: Project, events: Iterable[ProjectEvent]) -> Project:
    name, environments = project.name, _by_id(project.environments)
    for event in events:
        match event:
            case ProjectCreated():
                name = event.name
            case EnvironmentNamed(environment=environment):
                environments[environment.int] = Entry(id=environment, name=event.name)
            case EnvironmentNameFreed(environment=environment):
                environments.pop(environment.int, None)
            case _:
                assert_never(event)
    return Project(name=name, environments=tuple(environments.values()))


catalog = Decider("catalog", Catalog(), decide_catalog, evolve_catalog, (ProjectNamed,), fold_catalog)
decider = Decider("project", Project(), decide, evolve, get_args(ProjectEvent), fold)
