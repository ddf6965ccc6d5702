"""An event in words, and the things that it is about."""

from msgspec import Struct

from domain.deployment.state import Cancellation
from domain.deployment.step import Phase
from domain.deployment.wait import WaitReason
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

    *worker* is the one that took over a deployment. *wait_reason* is the kind of a wait that began or ended.
    """

    stage: NamedStage | None = None
    service: NamedService | None = None
    phase: Phase | None = None
    attempt: int | None = None
    failure_reason: str | None = None
    wait_reason: WaitReason | None = None
    worker: str | None = None
    cancellation: Cancellation | None = None
    ports: tuple[int, ...] | None = None


class EventWords(Struct, frozen=True):
    """An event in words, and its subject."""

    message: str
    subject: EventSubject = EventSubject()
