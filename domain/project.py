"""
Projects: namespaces of environments.

The parent stream keeps names unique: the catalog for projects, a project for its environments.
"""

from collections.abc import Iterable
from typing import NewType, assert_never, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from domain import name as names
from domain import secret as secrets
from domain import variable as variables
from domain.decider import Decider
from domain.directory import Directory
from domain.errors import EnvironmentNotFound, NameTaken, ProjectNotEmpty, ProjectNotFound
from domain.secret import DeleteSecrets, RotateKey, Secret, SecretCommand, Secrets, SetSecret
from domain.spec import Variable

ProjectId = NewType("ProjectId", UUID)
EnvironmentId = NewType("EnvironmentId", UUID)

CATALOG = uuid5(NAMESPACE_URL, "stageline:catalog")
"""The stream of the catalog."""

MAX_LISTED = 10
"""Maximum number of environments that a refusal names."""


class ProjectNamed(Struct, frozen=True, kw_only=True):
    """The catalog lists *project* under *name* from now on."""

    project: ProjectId
    name: str


class ProjectNameFreed(Struct, frozen=True, kw_only=True):
    """The catalog no longer lists *project*."""

    project: ProjectId


class ProjectCreated(Struct, frozen=True, kw_only=True):
    name: str


class ProjectRenamed(Struct, frozen=True, kw_only=True):
    name: str


class ProjectDeleted(Struct, frozen=True, kw_only=True): ...


class ProjectVariableSet(Struct, frozen=True, kw_only=True):
    """The environments of the project have the variable *name* with *value* from now on."""

    name: str
    value: str


class ProjectVariableDeleted(Struct, frozen=True, kw_only=True):
    name: str


class ProjectSecretSet(Struct, frozen=True, kw_only=True):
    """The environments of the project have *secret* from now on, or it has a new value."""

    secret: Secret


class ProjectSecretDeleted(Struct, frozen=True, kw_only=True):
    name: str


class ProjectKeyRotated(Struct, frozen=True, kw_only=True):
    """The secrets of the project are sealed with the key of that number from now on; *secrets* are all of them."""

    key: int
    secrets: tuple[Secret, ...]


class EnvironmentNamed(Struct, frozen=True, kw_only=True):
    """*environment* has *name* in its project from now on; its earlier name is free."""

    environment: EnvironmentId
    name: str


class EnvironmentNameFreed(Struct, frozen=True, kw_only=True):
    environment: EnvironmentId


CatalogEvent = ProjectNamed | ProjectNameFreed
ProjectEvent = (
    ProjectCreated
    | ProjectRenamed
    | ProjectVariableSet
    | ProjectVariableDeleted
    | ProjectSecretSet
    | ProjectSecretDeleted
    | ProjectKeyRotated
    | ProjectDeleted
    | EnvironmentNamed
    | EnvironmentNameFreed
)


class NameProject(Struct, frozen=True, kw_only=True):
    project: ProjectId
    name: str


class FreeProjectName(Struct, frozen=True, kw_only=True):
    project: ProjectId


CatalogCommand = NameProject | FreeProjectName


class CreateProject(Struct, frozen=True, kw_only=True):
    name: str


class RenameProject(Struct, frozen=True, kw_only=True):
    name: str


class DeleteProject(Struct, frozen=True, kw_only=True): ...


class SetProjectVariables(Struct, frozen=True, kw_only=True):
    """Set *variables*; the others stay."""

    variables: tuple[Variable, ...]


class DeleteProjectVariables(Struct, frozen=True, kw_only=True):
    names: tuple[str, ...]


class NameEnvironment(Struct, frozen=True, kw_only=True):
    environment: EnvironmentId
    name: str


class FreeEnvironmentName(Struct, frozen=True, kw_only=True):
    environment: EnvironmentId


ProjectCommand = (
    CreateProject
    | RenameProject
    | SetProjectVariables
    | DeleteProjectVariables
    | SecretCommand
    | DeleteProject
    | NameEnvironment
    | FreeEnvironmentName
)


class Catalog(Struct, frozen=True, kw_only=True):
    """The names of all projects."""

    projects: Directory = Directory()

    def find(self, name: str) -> ProjectId:
        """Return the project with that name, ignoring case; raises `ProjectNotFound`."""
        entry = self.projects.named(name)
        if entry is None:
            raise ProjectNotFound(project=name)
        return ProjectId(entry.id)


class Project(Struct, frozen=True, kw_only=True):
    """A project, its variables by name, its secrets, and the names of its environments.

    `name` is None until the project is created. `version` counts the changes of its name and variables.
    """

    name: str | None = None
    is_deleted: bool = False
    variables: tuple[Variable, ...] = ()
    secrets: Secrets = Secrets()
    version: int = 0
    environments: Directory = Directory()

    def find(self, name: str) -> EnvironmentId:
        """Return the environment with that name, ignoring case; raises `EnvironmentNotFound`."""
        entry = self.environments.named(name)
        if entry is None:
            raise EnvironmentNotFound(environment=name)
        return EnvironmentId(entry.id)


def decide_catalog(state: Catalog, command: CatalogCommand) -> list[CatalogEvent]:
    match command:
        case NameProject(project=project, name=wanted):
            name = names.checked(wanted)
            holder = state.projects.named(name)
            if holder is not None and holder.id != project:
                raise NameTaken(kind="project", name=holder.name)
            if holder is not None and holder.name == name:
                return []
            return [ProjectNamed(project=project, name=name)]
        case FreeProjectName(project=project):
            is_listed = state.projects.get(project) is not None
            return [ProjectNameFreed(project=project)] if is_listed else []
        case _:
            assert_never(command)


def evolve_catalog(state: Catalog, event: CatalogEvent) -> Catalog:
    return fold_catalog(state, (event,))


def fold_catalog(catalog: Catalog, events: Iterable[CatalogEvent]) -> Catalog:
    changes: list[tuple[UUID, str | None]] = []
    for event in events:
        match event:
            case ProjectNamed(project=project, name=name):
                changes.append((project, name))
            case ProjectNameFreed(project=project):
                changes.append((project, None))
            case _:
                assert_never(event)
    return Catalog(projects=catalog.projects.changed(changes))


def decide(state: Project, command: ProjectCommand) -> list[ProjectEvent]:
    match command:
        case CreateProject(name=name):
            return [ProjectCreated(name=names.checked(name))] if state.name is None else []
        case _ if state.name is None or state.is_deleted:
            raise ProjectNotFound(project=state.name or "")
        case RenameProject(name=wanted):
            name = names.checked(wanted)
            return [] if name == state.name else [ProjectRenamed(name=name)]
        case SetProjectVariables(variables=wanted_variables):
            changed = variables.changes(state.variables, wanted_variables)
            return [ProjectVariableSet(name=each.name, value=each.value) for each in changed]
        case DeleteProjectVariables(names=unwanted):
            variables.check_known(state.variables, unwanted, "project")
            return [ProjectVariableDeleted(name=each) for each in dict.fromkeys(unwanted)]
        case SetSecret():
            return [ProjectSecretSet(secret=secrets.new(state.secrets, command))]
        case DeleteSecrets(names=unwanted):
            secrets.check_known(state.secrets, unwanted, "project")
            return [ProjectSecretDeleted(name=each) for each in dict.fromkeys(unwanted)]
        case RotateKey(key=key, secrets=entries):
            return [ProjectKeyRotated(key=key, secrets=entries)]
        case DeleteProject():
            if state.environments:
                raise ProjectNotEmpty(project=state.name, environments=_listed(state.environments))
            return [ProjectDeleted()]
        case NameEnvironment(environment=environment, name=wanted):
            name = names.checked(wanted)
            holder = state.environments.named(name)
            if holder is not None and holder.id != environment:
                raise NameTaken(kind="environment", name=holder.name)
            if holder is not None and holder.name == name:
                return []
            return [EnvironmentNamed(environment=environment, name=name)]
        case FreeEnvironmentName(environment=environment):
            if state.environments.get(environment) is None:
                return []
            return [EnvironmentNameFreed(environment=environment)]
        case _:
            assert_never(command)


def _listed(entries: Directory) -> str:
    """Return the first `MAX_LISTED` names in the order of creation, and the number of the others."""
    more = len(entries) - MAX_LISTED
    first = sorted(entries, key=lambda entry: entry.id.int)[:MAX_LISTED]
    listed = ", ".join(entry.name for entry in first)
    return f"{listed} and {more:,} more" if more > 0 else listed


def evolve(state: Project, event: ProjectEvent) -> Project:
    return fold(state, (event,))


def fold(project: Project, events: Iterable[ProjectEvent]) -> Project:
    name, is_deleted, own, version = project.name, project.is_deleted, project.variables, project.version
    sealed = project.secrets
    changes: list[tuple[UUID, str | None]] = []
    for event in events:
        version += not isinstance(event, EnvironmentNamed | EnvironmentNameFreed)
        match event:
            case ProjectCreated() | ProjectRenamed():
                name = event.name
            case ProjectVariableSet():
                own = variables.merged(own, (Variable(name=event.name, value=event.value),))
            case ProjectVariableDeleted():
                own = variables.without(own, event.name)
            case ProjectSecretSet(secret=secret):
                sealed = secrets.with_secret(sealed, secret)
            case ProjectSecretDeleted():
                sealed = secrets.without_secret(sealed, event.name)
            case ProjectKeyRotated(key=key, secrets=entries):
                sealed = secrets.rotated(sealed, key, entries)
            case ProjectDeleted():
                is_deleted = True
            case EnvironmentNamed(environment=environment):
                changes.append((environment, event.name))
            case EnvironmentNameFreed(environment=environment):
                changes.append((environment, None))
            case _:
                assert_never(event)
    known = project.environments.changed(changes)
    return Project(name=name, is_deleted=is_deleted, variables=own, secrets=sealed, version=version, environments=known)


catalog = Decider("catalog", Catalog(), decide_catalog, evolve_catalog, get_args(CatalogEvent), fold_catalog)
decider = Decider("project", Project(), decide, evolve, get_args(ProjectEvent), fold)
