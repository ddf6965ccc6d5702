"""What an engine asks for when it starts: deployments that aren't over, and services that stand in a pipeline."""

from typing import Generic, TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.queue import DeploymentClosed, DeploymentId, DeploymentRequested
from domain.pipeline.environment import EnvironmentCreated, EnvironmentDeleted
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import ServiceAdded, ServiceRemoved
from domain.project import EnvironmentId
from projections.engine.projection import Projection, Reader
from projections.engine.views import ListPlace, Slice, Views
from store.log import Recorded

View = TypeVar("View", bound=Struct)

PAGE = 500


class UnfinishedDeployment(Struct, frozen=True, kw_only=True):
    """A deployment that isn't over, admitted or waiting; *position* is where it was requested."""

    deployment: DeploymentId
    position: int


def _deployment(recorded: Recorded) -> UUID | None:
    match recorded.event:
        case DeploymentRequested(deployment=deployment) | DeploymentClosed(deployment=deployment):
            return deployment
        case _:
            return None


def _requested(view: UnfinishedDeployment | None, recorded: Recorded) -> UnfinishedDeployment | None:
    match recorded.event:
        case DeploymentRequested(deployment=deployment):
            return UnfinishedDeployment(deployment=deployment, position=recorded.position)
        case _:
            return None


class EnvironmentServices(Struct, frozen=True, kw_only=True):
    """The services of an environment."""

    environment: EnvironmentId
    services: tuple[ServiceId, ...] = ()


def _environment(recorded: Recorded) -> UUID | None:
    match recorded.event:
        case EnvironmentCreated() | EnvironmentDeleted() | ServiceAdded() | ServiceRemoved():
            return recorded.stream
        case _:
            return None


def _stands(view: EnvironmentServices | None, recorded: Recorded) -> EnvironmentServices | None:
    match recorded.event:
        case EnvironmentCreated():
            return EnvironmentServices(environment=EnvironmentId(recorded.stream))
        case ServiceAdded(service=service) if view:
            return replace(view, services=(*view.services, service))
        case ServiceRemoved(service=service) if view:
            return replace(view, services=tuple(each for each in view.services if each != service))
        case _:
            return None


def _by_position(view: UnfinishedDeployment) -> ListPlace:
    return ListPlace(parent="", sort=f"{view.position:020}")


def _anywhere(view: EnvironmentServices) -> ListPlace:
    return ListPlace(parent="", sort="")


unfinished = Projection("unfinished", 1, UnfinishedDeployment, _deployment, _requested, _by_position)
standing = Projection("standing", 1, EnvironmentServices, _environment, _stands, _anywhere)


class RowList(Generic[View]):
    """All rows of a projection that lists them under no parent."""

    def __init__(self, views: Views, projection: Projection[View]) -> None:
        self._rows = Reader(views, projection)

    async def list(self) -> list[View]:
        found: list[View] = []
        after: str | None = None
        while True:
            page = await self._rows.list("", Slice(first=PAGE, after=after))
            found += [edge.node for edge in page.edges]
            if not page.has_next:
                return found
            after = page.edges[-1].cursor
