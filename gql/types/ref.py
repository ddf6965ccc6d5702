"""References to objects by id and name, and the arguments that take them."""

from collections.abc import Collection
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from domain import project as projects
from domain.pipeline.ref import ServiceId, StageId
from domain.project import ProjectId
from domain.spec import ServiceType
from gql.context import Context
from gql.contract.node import global_id, reference

EnvironmentArgument = Annotated[ID, strawberry.argument(description="Id of the environment, or of its pipeline.")]
ProjectArgument = Annotated[ID, strawberry.argument(description="Id or name of the project.")]
StageArgument = Annotated[ID, strawberry.argument(description="Id or name of the stage.")]
ServiceArgument = Annotated[ID, strawberry.argument(description="Id or name of the service.")]
DeploymentArgument = Annotated[ID, strawberry.argument(description="Id of the deployment.")]


@strawberry.type(description="A reference to a project.")
class ProjectRef:
    id: ID = strawberry.field(description="Id of the project.")
    name: str = strawberry.field(description="Name of the project.")


@strawberry.type(description="A reference to an environment.")
class EnvironmentRef:
    id: ID = strawberry.field(description="Id of the environment.")
    name: str = strawberry.field(description="Name of the environment.")


@strawberry.type(description="A reference to a stage.")
class StageRef:
    id: ID = strawberry.field(description="Id of the stage.")
    name: str = strawberry.field(description="Name of the stage.")


@strawberry.type(description="A reference to a service.")
class ServiceRef:
    id: ID = strawberry.field(description="Id of the service.")
    name: str = strawberry.field(description="Name of the service.")
    type: ServiceType = strawberry.field(description="Type of the service.")


@strawberry.type(description="A reference to a deployment.")
class DeploymentRef:
    id: ID = strawberry.field(description="Id of the deployment.")
    number: int = strawberry.field(description="Number of the deployment in its environment, from 1.")


@strawberry.type(description="A reference to a token.")
class TokenRef:
    id: ID = strawberry.field(description="Id of the token.")
    name: str = strawberry.field(description="Name of the token.")


def stage_ref(id_: UUID, name: str) -> StageRef:
    return StageRef(id=global_id("stage", id_), name=name)


def service_ref(id_: UUID, name: str, type_: ServiceType) -> ServiceRef:
    return ServiceRef(id=global_id("service", id_), name=name, type=type_)


async def project_ref(context: Context, project: ProjectId) -> ProjectRef:
    states = context.application.handler.states
    state = (await states.load(projects.decider, project, has_asked=context.has_asked)).state
    return ProjectRef(id=global_id("project", project), name=state.name or "")


async def project_refs(context: Context, projects: Collection[ProjectId]) -> dict[ProjectId, ProjectRef]:
    """Return references to several projects, read at once."""
    if len(projects) == 1:
        return {project: await project_ref(context, project) for project in projects}
    found = await context.application.projects.find(projects)
    names = {project: found[project].name if project in found else "" for project in projects}
    return {project: ProjectRef(id=global_id("project", project), name=name) for project, name in names.items()}


def to_project(text: str) -> ProjectId | str:
    """Return the id of a project if *text* is one, else *text* as a name."""
    found = reference("project", text)
    return ProjectId(found) if isinstance(found, UUID) else found


def to_stage(text: str) -> StageId | str:
    """Return the id of a stage if *text* is one, else *text* as a name."""
    found = reference("stage", text)
    return StageId(found) if isinstance(found, UUID) else found


def to_service(text: str) -> ServiceId | str:
    """Return the id of a service if *text* is one, else *text* as a name."""
    found = reference("service", text)
    return ServiceId(found) if isinstance(found, UUID) else found
