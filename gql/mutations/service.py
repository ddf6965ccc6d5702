"""Mutations of services."""

from typing import Annotated

import strawberry
from strawberry import ID

from domain.pipeline.ref import ServiceId
from domain.pipeline.service import AddService, EditService, MoveService, RemoveService, SkipService, UnskipService
from domain.spec import ServiceType
from gql.mutation import Write, mutation
from gql.mutations.pipeline import PipelineResult, change
from gql.types import spec as specs
from gql.types.ref import EnvironmentArgument, ServiceArgument, to_service, to_stage
from gql.types.service import ServicePlaceInput, place_to_domain
from gql.types.spec import ServiceSpecInput
from store import ids


@mutation("Add a service to an environment.", of="pipeline")
async def add_service(
    write: Write,
    environment: EnvironmentArgument,
    name: Annotated[
        str, strawberry.argument(description="Name of the service; unique in the environment, in any case.")
    ],
    type: Annotated[ServiceType, strawberry.argument(description="Type of the service.")],
    spec: Annotated[
        ServiceSpecInput | None,
        strawberry.argument(description="How the service is built and run; null if it can't be deployed yet."),
    ] = None,
    stage: Annotated[
        ID | None,
        strawberry.argument(description="Id or name of the stage; null for the default stage of the service's type."),
    ] = None,
) -> PipelineResult:
    command = AddService(
        service=ServiceId(ids.new()),
        name=name,
        type=type,
        spec=specs.to_domain(spec),
        stage=None if stage is None else to_stage(stage),
    )
    return await change(write, environment, command)


@mutation("Change the name of a service, or replace its specification.", of="pipeline", is_part=True)
async def edit_service(
    write: Write,
    environment: EnvironmentArgument,
    service: ServiceArgument,
    name: Annotated[str | None, strawberry.argument(description="The new name; null for no change.")] = None,
    spec: Annotated[
        ServiceSpecInput | None,
        strawberry.argument(description="The new specification, which replaces the whole old one; null for no change."),
    ] = None,
) -> PipelineResult:
    replacement = None if spec is None else specs.to_domain(spec)
    return await change(write, environment, EditService(service=to_service(service), name=name, spec=replacement))


@mutation("Move a service to a stage, or to a place in the list of its stage.", of="pipeline", is_part=True)
async def move_service(
    write: Write,
    environment: EnvironmentArgument,
    service: ServiceArgument,
    stage: Annotated[ID, strawberry.argument(description="Id or name of the stage.")],
    to: Annotated[
        ServicePlaceInput | None,
        strawberry.argument(
            description="Position in the list of the stage; null for the end, or for no change within the same stage."
        ),
    ] = None,
) -> PipelineResult:
    place = None if to is None else place_to_domain(to)
    return await change(
        write, environment, MoveService(service=to_service(service), stage=to_stage(stage), place=place)
    )


@mutation("Skip a service in the deployments of its environment.", of="pipeline", is_part=True)
async def skip_service(write: Write, environment: EnvironmentArgument, service: ServiceArgument) -> PipelineResult:
    return await change(write, environment, SkipService(service=to_service(service)))


@mutation("Include a skipped service in the deployments of its environment again.", of="pipeline", is_part=True)
async def unskip_service(write: Write, environment: EnvironmentArgument, service: ServiceArgument) -> PipelineResult:
    return await change(write, environment, UnskipService(service=to_service(service)))


@mutation("Remove a service from its environment, and stop it.", of="pipeline", is_part=True)
async def remove_service(write: Write, environment: EnvironmentArgument, service: ServiceArgument) -> PipelineResult:
    return await change(write, environment, RemoveService(service=to_service(service)))
