"""Use cases of projects."""

from application.handler import Transaction
from domain import project as projects
from domain.project import CreateProject, NameProject, ProjectId


async def create(transaction: Transaction, project: ProjectId, name: str) -> ProjectId:
    """Create *project*; raises `NameTaken`."""
    await transaction.do(projects.catalog, projects.CATALOG, NameProject(project=project, name=name))
    await transaction.do(projects.decider, project, CreateProject(name=name))
    return project
