"""Services of a pipeline: state, events and commands."""

from msgspec import Struct

from domain.pipeline.ref import ServiceId, ServiceRef, StageId, StageRef
from domain.spec import ServiceSpec, ServiceType

MAX_SERVICES = 1000
"""Maximum number of services in an environment."""


class Service(Struct, frozen=True, kw_only=True):
    """A service as it stands in a pipeline."""

    id: ServiceId
    name: str
    type: ServiceType
    spec: ServiceSpec
    is_skipped: bool = False


class ServiceAdded(Struct, frozen=True, kw_only=True):
    service: ServiceId
    name: str
    type: ServiceType
    spec: ServiceSpec


class ServiceRenamed(Struct, frozen=True, kw_only=True):
    service: ServiceId
    name: str


class ServiceConfigured(Struct, frozen=True, kw_only=True):
    service: ServiceId
    spec: ServiceSpec


class ServiceMoved(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service now stands at *position* in the list of stage *target*, last if it is None.

    *source* is None when the service is new.
    """

    service: ServiceId
    source: StageId | None
    target: StageId
    position: int | None = None


class ServiceSkipped(Struct, frozen=True, kw_only=True):
    """Deployments leave the service out from now on."""

    service: ServiceId


class ServiceUnskipped(Struct, frozen=True, kw_only=True):
    service: ServiceId


class ServiceRemoved(Struct, frozen=True, kw_only=True):
    service: ServiceId


ServiceEvent = (
    ServiceAdded
    | ServiceRenamed
    | ServiceConfigured
    | ServiceMoved
    | ServiceSkipped
    | ServiceUnskipped
    | ServiceRemoved
)


class AddService(Struct, frozen=True, kw_only=True):
    """Add a service to *stage*, or to the home stage of its type."""

    service: ServiceId
    name: str
    type: ServiceType
    spec: ServiceSpec = ServiceSpec()
    stage: StageRef | None = None


class EditService(Struct, frozen=True, kw_only=True):
    """Change the fields that are not None; *spec* replaces the whole specification."""

    service: ServiceRef
    name: str | None = None
    spec: ServiceSpec | None = None


class AtPosition(Struct, frozen=True, kw_only=True):
    """The position with that number in the list of a stage, counted from 1."""

    position: int


class BeforeService(Struct, frozen=True, kw_only=True):
    service: ServiceRef


class AfterService(Struct, frozen=True, kw_only=True):
    service: ServiceRef


ServicePlace = AtPosition | BeforeService | AfterService


class MoveService(Struct, frozen=True, kw_only=True):
    """Move a service to *place* in a stage; without one a service of another stage goes to the end."""

    service: ServiceRef
    stage: StageRef
    place: ServicePlace | None = None


class SkipService(Struct, frozen=True, kw_only=True):
    service: ServiceRef


class UnskipService(Struct, frozen=True, kw_only=True):
    service: ServiceRef


class RemoveService(Struct, frozen=True, kw_only=True):
    service: ServiceRef


ServiceCommand = AddService | EditService | MoveService | SkipService | UnskipService | RemoveService
