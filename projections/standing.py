"""Deployments that are not over, and services in a pipeline: an engine reads them when it starts."""

from typing import Generic, TypeVar, assert_never, cast, get_args
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.queue import (
    DeploymentAdmitted,
    DeploymentClosed,
    DeploymentFrozen,
    DeploymentId,
    DeploymentMerged,
    DeploymentRequested,
    DeploymentThawed,
    FreezeIgnored,
    QueueEvent,
)
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentKeyRotated,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    EnvironmentSecretDeleted,
    EnvironmentSecretSet,
    EnvironmentVariableDeleted,
    EnvironmentVariableSet,
    TargetChanged,
)
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import (
    ServiceAdded,
    ServiceConfigured,
    ServiceEvent,
    ServiceMoved,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
)
from domain.project import EnvironmentId
from projections.engine.projection import Projection, Reader
from projections.engine.views import ListPlace, Slice, Views
from store.log import RecordedEvent

View = TypeVar("View", bound=Struct)

QUEUE_EVENTS = frozenset(get_args(QueueEvent))
PLACE_EVENTS = frozenset((*get_args(EnvironmentEvent), *get_args(ServiceEvent)))
"""Events that may add a service to an environment, or remove one. A stage has no part in it."""

PAGE = 500
"""Rows that are read at once."""


class UnfinishedDeployment(Struct, frozen=True, kw_only=True):
    """A deployment that is not over, admitted or waiting; *position* is that of its request."""

    deployment: DeploymentId
    position: int


def _deployment_key(recorded: RecordedEvent) -> UUID | None:
    if type(recorded.event) not in QUEUE_EVENTS:
        return None
    event = cast("QueueEvent", recorded.event)
    match event:
        case DeploymentRequested(deployment=deployment) | DeploymentClosed(deployment=deployment):
            return deployment
        case DeploymentMerged() | DeploymentAdmitted() | DeploymentFrozen() | DeploymentThawed() | FreezeIgnored():
            return None
        case _:
            assert_never(event)


def _fold_deployment(view: UnfinishedDeployment | None, recorded: RecordedEvent) -> UnfinishedDeployment | None:
    event = cast("QueueEvent", recorded.event)
    match event:
        case DeploymentRequested(deployment=deployment):
            return UnfinishedDeployment(deployment=deployment, position=recorded.position)
        case DeploymentMerged() | DeploymentAdmitted() | DeploymentFrozen() | DeploymentThawed() | FreezeIgnored():
            return view
        case DeploymentClosed():
            return None
        case _:
            assert_never(event)


class EnvironmentServices(Struct, frozen=True, kw_only=True):
    """The services of an environment."""

    environment: EnvironmentId
    services: tuple[ServiceId, ...] = ()


def _services_key(recorded: RecordedEvent) -> UUID | None:
    if type(recorded.event) not in PLACE_EVENTS:
        return None
    event = cast("EnvironmentEvent | ServiceEvent", recorded.event)
    match event:  # frequent events first
        case ServiceConfigured() | ServiceMoved() | ServiceSkipped() | ServiceUnskipped() | ServiceRenamed():
            return None
        case ServiceAdded() | ServiceRemoved() | EnvironmentCreated() | EnvironmentDeleted():
            return recorded.stream
        case EnvironmentRenamed() | TargetChanged() | ConcurrencyChanged() | EnvironmentPolicyChanged():
            return None
        case EnvironmentVariableSet() | EnvironmentVariableDeleted():
            return None
        case EnvironmentSecretSet() | EnvironmentSecretDeleted() | EnvironmentKeyRotated():
            return None
        case _:
            assert_never(event)


def _fold_services(view: EnvironmentServices | None, recorded: RecordedEvent) -> EnvironmentServices | None:
    event = cast("EnvironmentEvent | ServiceEvent", recorded.event)
    match event:
        case EnvironmentCreated():
            return EnvironmentServices(environment=EnvironmentId(recorded.stream))
        case EnvironmentDeleted():
            return None
        case ServiceAdded(service=service):
            return view and replace(view, services=(*view.services, service))
        case ServiceRemoved(service=service):
            return view and replace(view, services=tuple(each for each in view.services if each != service))
        case ServiceConfigured() | ServiceMoved() | ServiceSkipped() | ServiceUnskipped() | ServiceRenamed():
            return view
        case EnvironmentRenamed() | TargetChanged() | ConcurrencyChanged() | EnvironmentPolicyChanged():
            return view
        case EnvironmentVariableSet() | EnvironmentVariableDeleted():
            return view
        case EnvironmentSecretSet() | EnvironmentSecretDeleted() | EnvironmentKeyRotated():
            return view
        case _:
            assert_never(event)


def _deployment_place(view: UnfinishedDeployment) -> ListPlace:
    return ListPlace(parent="", sort=f"{view.position:020}")


def _services_place(view: EnvironmentServices) -> ListPlace:
    return ListPlace(parent="", sort="")


unfinished = Projection("unfinished", 1, UnfinishedDeployment, _deployment_key, _fold_deployment, _deployment_place)
standing = Projection("standing", 1, EnvironmentServices, _services_key, _fold_services, _services_place)


class RowList(Generic[View]):
    """Reads all rows of a projection that lists them under the empty parent."""

    def __init__(self, views: Views, projection: Projection[View]) -> None:
        self._rows = Reader(views, projection)

    async def list(self) -> list[View]:
        """Return all views."""
        found: list[View] = []
        after: str | None = None
        while True:
            page = await self._rows.list("", Slice(first=PAGE, after=after))
            found += [edge.node for edge in page.edges]
            if not page.has_next:
                return found
            after = page.edges[-1].cursor
