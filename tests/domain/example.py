"""A small environment to tell stories with: stages Build and Ship, services api, web and orders."""

from uuid import UUID

from domain.pipeline.environment import EnvironmentCreated, Target
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import ServiceAdded, ServiceMoved
from domain.pipeline.stage import StageCreated
from domain.project import ProjectId
from domain.spec import ServiceSpec, ServiceType

PROJECT = ProjectId(UUID(int=1))
BUILD, SHIP, REST, NOWHERE = (StageId(UUID(int=number)) for number in range(11, 15))
API, WEB, ORDERS, NOBODY = (ServiceId(UUID(int=number)) for number in range(21, 25))

SPEC = ServiceSpec(directory="api", build=("make",), run="./api")

created = EnvironmentCreated(project=PROJECT, name="Production", target=Target.PROCESS, concurrency=8)
build = StageCreated(stage=BUILD, name="Build", description="", position=1)
ship = StageCreated(stage=SHIP, name="Ship", description="", position=2)
rest = StageCreated(stage=REST, name="Rest", description="", position=3)


def added(
    service: ServiceId,
    name: str,
    stage: StageId,
    spec: ServiceSpec = SPEC,
    type_: ServiceType = ServiceType.APPLICATION,
) -> tuple[ServiceAdded, ServiceMoved]:
    return (
        ServiceAdded(service=service, name=name, type=type_, spec=spec),
        ServiceMoved(service=service, source=None, target=stage),
    )


api_in_build = added(API, "api", BUILD)
web_in_build = added(WEB, "web", BUILD)
orders_in_ship = added(ORDERS, "orders", SHIP)
