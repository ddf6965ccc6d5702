"""A pipeline as it stands: its stages in order, and where each service stands."""

from typing import TypeVar
from uuid import UUID

from msgspec import Struct

from domain import name as names
from domain.errors import ServiceNotFound, StageNotFound
from domain.pipeline.environment import (
    DEFAULT_CONCURRENCY,
    EnvironmentCommand,
    EnvironmentEvent,
    EnvironmentPolicy,
    Target,
)
from domain.pipeline.ref import ServiceId, ServiceRef, StageId, StageRef
from domain.pipeline.service import Service, ServiceCommand, ServiceEvent
from domain.pipeline.stage import Stage, StageCommand, StageEvent
from domain.project import ProjectId
from domain.secret import Secrets
from domain.spec import Variable

PipelineEvent = EnvironmentEvent | StageEvent | ServiceEvent
PipelineCommand = EnvironmentCommand | StageCommand | ServiceCommand


Thing = TypeVar("Thing", Stage, Service)


class Pipeline(Struct, frozen=True, kw_only=True):
    """An environment with its stages in order.

    `project` is None until the environment is created. `variables` are ordered by name. `incoming` is a service
    between its `ServiceAdded` and its first `ServiceMoved`.
    """

    project: ProjectId | None = None
    name: str = ""
    target: Target = Target.PROCESS
    concurrency: int = DEFAULT_CONCURRENCY
    policy: EnvironmentPolicy = EnvironmentPolicy()
    variables: tuple[Variable, ...] = ()
    secrets: Secrets = Secrets()
    is_deleted: bool = False
    stages: tuple[Stage, ...] = ()
    incoming: Service | None = None

    @property
    def exists(self) -> bool:
        return self.project is not None and not self.is_deleted

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(service for stage in self.stages for service in stage.services)

    def stage(self, ref: StageRef) -> Stage:
        """Return the stage with that id or name; raises `StageNotFound`."""
        stage = find(self.stages, ref)
        if stage is None:
            raise StageNotFound(stage=str(ref))
        return stage

    def position(self, stage: StageId) -> int:
        return 1 + [known.id for known in self.stages].index(stage)

    def service(self, ref: ServiceRef) -> Service:
        """Return the service with that id or name; raises `ServiceNotFound`."""
        places = self.stages if isinstance(ref, UUID) else (self,)
        for place in places:
            service = find(place.services, ref)
            if service is not None:
                return service
        raise ServiceNotFound(service=str(ref))

    def stage_of(self, service: ServiceId) -> Stage:
        """Return the stage that holds the service with that id; raises `ServiceNotFound`."""
        for stage in self.stages:
            if find(stage.services, service) is not None:
                return stage
        raise ServiceNotFound(service=str(service))


def find(things: tuple[Thing, ...], ref: UUID | str) -> Thing | None:
    """Return the stage or service with that id or name, or None."""
    if isinstance(ref, UUID):
        wanted = ref.int  # integers compare much faster than UUIDs
        for thing in things:
            if thing.id.int == wanted:
                return thing
        return None
    key = names.key(ref)
    found = [thing for thing in things if names.key(thing.name) == key]
    # an old log may have two names with the same key: then the exact one is meant
    return next((thing for thing in found if thing.name == ref), found[0] if found else None)
