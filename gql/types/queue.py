"""What happens in an environment's queue."""

import enum

import strawberry

from gql.contract import cursor as cursors
from gql.contract.node import global_id
from gql.types.event import DeploymentRef, Event
from projections.event import EventView


@strawberry.enum(description="What happened in an environment's queue.")
class QueueEventType(enum.Enum):
    DEPLOYMENT_REQUESTED = "DeploymentRequested"
    DEPLOYMENT_MERGED = "DeploymentMerged"
    DEPLOYMENT_ADMITTED = "DeploymentAdmitted"
    DEPLOYMENT_CLOSED = "DeploymentClosed"


@strawberry.type(
    description="Something that happened in an environment's queue, where one deployment at a time has its turn."
)
class QueueEvent(Event):
    version: int = strawberry.field(description="Its place among the queue's events.")
    type: QueueEventType = strawberry.field(description="What happened, for programs.")
    deployment: DeploymentRef = strawberry.field(
        description="The deployment that it happened to; with DEPLOYMENT_MERGED, the one that answers this request too."
    )


def queue_event(told: EventView, epoch: str) -> QueueEvent:
    recorded = told.recorded
    event = recorded.event
    return QueueEvent(
        id=global_id("event", recorded.id),
        cursor=cursors.of_position(epoch, recorded.position),
        position=recorded.position,
        version=recorded.version,
        type=QueueEventType(type(event).__name__),
        deployment=DeploymentRef(
            id=global_id("deployment", event.deployment),  # type: ignore[attr-defined]  # each event of a queue has one
            number=told.number,
        ),
        recorded_at=recorded.recorded_at,
        actor=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=told.message,
    )
