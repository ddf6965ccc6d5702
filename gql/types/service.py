"""Services: found, added, edited, moved, skipped and removed."""

from uuid import UUID

import strawberry
from strawberry import ID

from domain.errors import ServiceNotFound
from domain.pipeline.ref import ServiceId, ServiceRef
from domain.pipeline.service import AddService, EditService, MoveService, RemoveService, SkipService, UnskipService
from domain.spec import ServiceType
from gql.context import Info
from gql.contract.mutation import Write, mutation
from gql.contract.node import global_id, reference
from gql.types import spec as specs
from gql.types.pipeline import PipelineResult, Service, StageRef, change, view_of
from gql.types.pipeline import service as shown
from gql.types.spec import ServiceSpecInput
from gql.types.stage import stage_ref
from store import ids


@strawberry.type
class Query:
    @strawberry.field(description="A service of an environment, by its id or its name.")
    async def service(self, info: Info, environment: ID, service: ID) -> Service | None:
        view = await view_of(info.context, environment)
        if view is None:
            return None
        info.context.reads(view.environment)
        wanted = reference("service", service)
        try:
            found = view.pipeline.service(ServiceId(wanted) if isinstance(wanted, UUID) else wanted)
        except ServiceNotFound:
            return None
        home = view.pipeline.stage_of(found.id)
        return shown(found, StageRef(id=global_id("stage", home.id), name=home.name))


def service_ref(text: ID) -> ServiceRef:
    found = reference("service", text)
    return ServiceId(found) if isinstance(found, UUID) else found


@mutation("Adds a service, in the given stage or where its type has its home.")
async def add_service(
    write: Write,
    environment: ID,
    name: str,
    type: ServiceType,
    spec: ServiceSpecInput | None = None,
    stage: ID | None = None,
) -> PipelineResult:
    command = AddService(
        service=ServiceId(ids.new()),
        name=name,
        type=type,
        spec=specs.to_domain(spec),
        stage=None if stage is None else stage_ref(stage),
    )
    return await change(write, environment, command)


@mutation("Renames a service, or replaces its whole specification.")
async def edit_service(
    write: Write, environment: ID, service: ID, name: str | None = None, spec: ServiceSpecInput | None = None
) -> PipelineResult:
    replacement = None if spec is None else specs.to_domain(spec)
    return await change(write, environment, EditService(service=service_ref(service), name=name, spec=replacement))


@mutation("Moves a service into another stage.")
async def move_service(write: Write, environment: ID, service: ID, stage: ID) -> PipelineResult:
    return await change(write, environment, MoveService(service=service_ref(service), stage=stage_ref(stage)))


@mutation("Leaves a service out of the environment's deployments.")
async def skip_service(write: Write, environment: ID, service: ID) -> PipelineResult:
    return await change(write, environment, SkipService(service=service_ref(service)))


@mutation("Takes a skipped service into the environment's deployments again.")
async def unskip_service(write: Write, environment: ID, service: ID) -> PipelineResult:
    return await change(write, environment, UnskipService(service=service_ref(service)))


@mutation("Removes a service from its environment, and stops it.")
async def remove_service(write: Write, environment: ID, service: ID) -> PipelineResult:
    return await change(write, environment, RemoveService(service=service_ref(service)))
