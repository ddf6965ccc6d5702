"""Services of a pipeline."""

import strawberry
from strawberry import ID

from domain.errors import InvalidArgument, ServiceNotFound
from domain.pipeline.service import AfterService, AtPosition, BeforeService, ServicePlace
from domain.pipeline.service import Service as DomainService
from domain.spec import ServiceType
from gql.context import Info
from gql.contract.node import global_id
from gql.types import spec as specs
from gql.types.environment import pipeline_view
from gql.types.ref import EnvironmentArgument, ServiceArgument, StageRef, stage_ref, to_service
from gql.types.spec import ServiceSpec


@strawberry.type(description="A unit of deployment. A service stands in exactly one stage.")
class Service:
    id: ID = strawberry.field(description="Id of the service.")
    name: str = strawberry.field(description="Name of the service, unique in its environment.")
    type: ServiceType = strawberry.field(description="Type of the service.")
    is_skipped: bool = strawberry.field(description="Whether deployments of the environment skip the service.")
    stage: StageRef = strawberry.field(description="The stage of the service.")
    spec: ServiceSpec = strawberry.field(description="How the service is built, run and checked for health.")


def from_domain(service: DomainService, stage: StageRef) -> Service:
    return Service(
        id=global_id("service", service.id),
        name=service.name,
        type=service.type,
        is_skipped=service.is_skipped,
        stage=stage,
        spec=specs.from_domain(service.spec),
    )


@strawberry.input(
    description="A position in the list of a stage: exactly one of the fields. If not all services of a stage run at"
    " once, they start in the order of the list.",
    one_of=True,
)
class ServicePlaceInput:
    position: int | None = strawberry.field(default=strawberry.UNSET, description="The position, from 1.")
    before: ID | None = strawberry.field(
        default=strawberry.UNSET, description="The position before this service, given by its id or name."
    )
    after: ID | None = strawberry.field(
        default=strawberry.UNSET, description="The position after this service, given by its id or name."
    )


def place_to_domain(given: ServicePlaceInput) -> ServicePlace:
    match given:
        case ServicePlaceInput(position=int(position)):
            return AtPosition(position=position)
        case ServicePlaceInput(before=str(service)):
            return BeforeService(service=to_service(service))
        case ServicePlaceInput(after=str(service)):
            return AfterService(service=to_service(service))
        case _:
            raise InvalidArgument(argument="to", why="a position, or a service to stand before or after, is required")


@strawberry.type
class Query:
    @strawberry.field(description="Return a service of an environment.")
    async def service(self, info: Info, environment: EnvironmentArgument, service: ServiceArgument) -> Service | None:
        view = await pipeline_view(info.context, environment)
        if view is None:
            return None
        info.context.reads(view.environment)
        try:
            found = view.pipeline.service(to_service(service))
        except ServiceNotFound:
            return None
        stage = view.pipeline.stage_of(found.id)
        return from_domain(found, stage_ref(stage.id, stage.name))
