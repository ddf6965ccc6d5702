"""
References to objects by the name that they had, and the arguments that take objects.

A reference has no field `id`: a client's cache would take its name for that of the live object.
"""

from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from domain.pipeline.ref import ServiceId, StageId
from domain.project import ProjectId
from domain.spec import ServiceType
from gql.contract.node import global_id, reference

EnvironmentArgument = Annotated[ID, strawberry.argument(description="Id of the environment, or of its pipeline.")]
ProjectArgument = Annotated[ID, strawberry.argument(description="Id or name of the project.")]
StageArgument = Annotated[ID, strawberry.argument(description="Id or name of the stage.")]
ServiceArgument = Annotated[ID, strawberry.argument(description="Id or name of the service.")]
DeploymentArgument = Annotated[ID, strawberry.argument(description="Id of the deployment.")]


@strawberry.type(description="An environment by the name that it had. It is not the live environment.")
class EnvironmentRef:
    environment_id: ID = strawberry.field(description="Id of the environment.")
    name: str = strawberry.field(description="Name of the environment at that time.")


@strawberry.type(description="A stage by the name that it had. It is not the live stage.")
class StageRef:
    stage_id: ID = strawberry.field(description="Id of the stage, which may be deleted.")
    name: str = strawberry.field(description="Name of the stage at that time.")


@strawberry.type(description="A service by the name that it had. It is not the live service.")
class ServiceRef:
    service_id: ID = strawberry.field(description="Id of the service, which may be removed.")
    name: str = strawberry.field(description="Name of the service at that time.")
    type: ServiceType = strawberry.field(description="Type of the service.")


@strawberry.type(description="A deployment by its number.")
class DeploymentRef:
    deployment_id: ID = strawberry.field(description="Id of the deployment.")
    number: int = strawberry.field(description="Number of the deployment in its environment, from 1.")


@strawberry.type(description="A token by its name.")
class TokenRef:
    token_id: ID = strawberry.field(description="Id of the token.")
    name: str = strawberry.field(description="Name of the token.")


def stage_ref(id_: UUID, name: str) -> StageRef:
    return StageRef(stage_id=global_id("stage", id_), name=name)


def service_ref(id_: UUID, name: str, type_: ServiceType) -> ServiceRef:
    return ServiceRef(service_id=global_id("service", id_), name=name, type=type_)


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
