"""Use cases of projects."""

from application.handler import Transaction
from domain import name as names
from domain import pipeline as pipelines
from domain import project as projects
from domain.errors import ProjectNotFound
from domain.pipeline import need as needs
from domain.project import (
    CreateProject,
    DeleteProject,
    DeleteProjectVariables,
    EnvironmentId,
    FreeProjectName,
    NameProject,
    ProjectId,
    ProjectNamed,
    RenameProject,
    SetProjectVariables,
)
from store.log import EventLog

ProjectRef = ProjectId | str
"""The id of a project, or its name in any case."""


async def find(transaction: Transaction, ref: ProjectRef) -> ProjectId:
    """Return the project with that id or name; raises `ProjectNotFound` if there is none or it is deleted."""
    catalog = (await transaction.load(projects.catalog, projects.CATALOG)).state
    if isinstance(ref, str):
        return catalog.find(ref)
    if catalog.projects.get(ref) is None:
        raise ProjectNotFound(project=f"project_{ref.hex}")
    return ref


async def named(log: EventLog, name: str) -> set[ProjectId]:
    """Return the projects that have or had *name*, ignoring case, also deleted ones."""
    events, wanted = await log.events(projects.CATALOG), names.key(name)
    return {each.project for each in events if isinstance(each, ProjectNamed) and names.key(each.name) == wanted}


async def create(transaction: Transaction, project: ProjectId, name: str) -> ProjectId:
    """Create *project*; raises `NameTaken`."""
    await transaction.do(projects.catalog, projects.CATALOG, NameProject(project=project, name=name))
    await transaction.do(projects.decider, project, CreateProject(name=name))
    return project


async def rename(transaction: Transaction, ref: ProjectRef, name: str) -> ProjectId:
    """Rename a project; raises `ProjectNotFound` or `NameTaken`."""
    project = await find(transaction, ref)
    await transaction.do(projects.catalog, projects.CATALOG, NameProject(project=project, name=name))
    await transaction.do(projects.decider, project, RenameProject(name=name))
    return project


async def change(
    transaction: Transaction, ref: ProjectRef, command: SetProjectVariables | DeleteProjectVariables
) -> ProjectId:
    """Change the variables of a project; raises `ProjectNotFound`, and the refusals of `domain.variable`.

    Raises `UnmetReference` if a service of one of its environments refers to a deleted variable.
    """
    project = await find(transaction, ref)
    after = await transaction.do(projects.decider, project, command)
    if isinstance(command, DeleteProjectVariables):
        streams = sorted([EnvironmentId(entry.id) for entry in after.state.environments])  # in the order of creation
        found = [(await transaction.load(pipelines.decider, stream)).state for stream in streams]
        needs.check_unneeded(found, command.names)
    return project


async def delete(transaction: Transaction, ref: ProjectRef) -> ProjectId:
    """Delete a project; raises `ProjectNotFound`, or `ProjectNotEmpty` while it has environments."""
    project = await find(transaction, ref)
    await transaction.do(projects.catalog, projects.CATALOG, FreeProjectName(project=project))
    await transaction.do(projects.decider, project, DeleteProject())
    return project
