"""An event in words, and the things that it is about."""

from msgspec import Struct

from domain.deployment.step import (
    Phase,
)
from domain.pipeline.ref import ServiceId, StageId
from domain.spec import ServiceType


class NamedStage(Struct, frozen=True, kw_only=True):
    """A stage with its name at the time of an event."""

    id: StageId
    name: str


class NamedService(Struct, frozen=True, kw_only=True):
    """A service with its name at the time of an event."""

    id: ServiceId
    name: str
    type: ServiceType


class EventSubject(Struct, frozen=True, kw_only=True):
    """The things that an event is about. After a rename it is the new name.

    *detail* is the reason of a failure or of a wait, the worker of a deployment, or the kind of a cancellation.
    """

    stage: NamedStage | None = None
    service: NamedService | None = None
    phase: Phase | None = None
    attempt: int | None = None
    detail: str | None = None
    ports: tuple[int, ...] | None = None


class EventWords(Struct, frozen=True):
    """An event in words, and its subject."""

    message: str
    subject: EventSubject = EventSubject()
