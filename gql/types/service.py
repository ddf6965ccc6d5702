"""Services of a pipeline."""

from typing import Any

import strawberry
from strawberry import ID, Private
from strawberry.types.lazy_type import LazyType

from domain.errors import InvalidArgument
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import AfterService, AtPosition, BeforeService, ServicePlace
from domain.pipeline.service import Service as DomainService
from domain.project import EnvironmentId
from domain.spec import ServiceType
from gql.contract.node import Node, global_id
from gql.types import spec as specs
from gql.types.ref import to_service
from gql.types.spec import ServiceSpec

STAGE: LazyType[Any, Any] = LazyType("Stage", "gql.types.stage")
"""The type of a stage, which has services itself."""


@strawberry.type(description="A unit of deployment. A service stands in exactly one stage.")
class Service(Node):
    name: str = strawberry.field(description="Name of the service, unique in its environment.")
    type: ServiceType = strawberry.field(description="Type of the service.")
    is_skipped: bool = strawberry.field(description="Whether deployments of the environment skip the service.")
    stage: Node = strawberry.field(graphql_type=STAGE, description="The stage of the service.")
    spec: ServiceSpec = strawberry.field(description="How the service is built, run and checked for health.")
    key: Private[tuple[EnvironmentId, ServiceId]]


def from_domain(service: DomainService, stage: Node, environment: EnvironmentId) -> Service:
    return Service(
        id=global_id("service", service.id),
        name=service.name,
        type=service.type,
        is_skipped=service.is_skipped,
        stage=stage,
        spec=specs.from_domain(service.spec),
        key=(environment, service.id),
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


@strawberry.type(description="A service as it was at a version of a pipeline. It is not the live service.")
class ServiceSnapshot:
    service_id: ID = strawberry.field(description="Id of the service, which may be removed.")
    name: str = strawberry.field(description="Name of the service at this version.")
    type: ServiceType = strawberry.field(description="Type of the service.")
    is_skipped: bool = strawberry.field(description="Whether deployments of the environment skipped the service.")
    stage_id: ID = strawberry.field(description="Id of the stage of the service.")
    spec: ServiceSpec = strawberry.field(description="How the service was built, run and checked for health.")


def snapshot(service: DomainService, stage: ID) -> ServiceSnapshot:
    return ServiceSnapshot(
        service_id=global_id("service", service.id),
        name=service.name,
        type=service.type,
        is_skipped=service.is_skipped,
        stage_id=stage,
        spec=specs.from_domain(service.spec),
    )
