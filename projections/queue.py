"""An environment's queue: its events told, and what was in it at any version."""

from typing import assert_never, cast
from uuid import UUID

from domain.deployment.queue import (
    DeploymentAdmitted,
    DeploymentClosed,
    DeploymentId,
    DeploymentMerged,
    DeploymentRequested,
    QueueEvent,
)
from projections.event import About, Told
from store.log import EventLog, Recorded

MANY = 100


class QueueStory:
    """Tells the events of one queue in their order; *numbers* are those of the deployments that are in it before."""

    def __init__(self, numbers: dict[DeploymentId, int]) -> None:
        self._numbers = numbers

    def tell(self, recorded: Recorded) -> Told:
        event = cast("QueueEvent", recorded.event)
        if isinstance(event, DeploymentRequested):
            self._numbers[event.deployment] = event.number
        number = self._numbers[event.deployment]
        if isinstance(event, DeploymentClosed):
            del self._numbers[event.deployment]
        return Told(recorded=recorded, message=queue_words(number, event), about=About(), number=number)


def queue_words(number: int, event: QueueEvent) -> str:
    """*event* of the deployment with that number, in words."""
    match event:
        case DeploymentRequested():
            return f"deployment {number} put into the queue"
        case DeploymentMerged():
            return f"deployment {number} requested once more while it waits: one deployment for both"
        case DeploymentAdmitted():
            return f"deployment {number}: its turn has come"
        case DeploymentClosed():
            return f"deployment {number} left the queue"
        case _:
            assert_never(event)


async def open_at(log: EventLog, queue: UUID, version: int) -> dict[DeploymentId, int]:
    """The numbers of the deployments that were in the stream *queue* at *version*.

    Who comes first is served first: all that were requested before the one whose turn came last are over. So it is
    read backwards, and no further than to the request of that one.
    """
    found: dict[DeploymentId, int] = {}
    closed: set[DeploymentId] = set()
    turn: DeploymentId | None = None
    while version > 0:
        for event in reversed(await log.events(queue, after=max(0, version - MANY), until=version)):
            match event:
                case DeploymentClosed(deployment=deployment):
                    closed.add(deployment)
                case DeploymentAdmitted(deployment=deployment):
                    turn = turn or deployment
                case DeploymentRequested(deployment=deployment, number=number):
                    if deployment not in closed:
                        found[deployment] = number
                    if deployment == turn:
                        return found
        version -= MANY
    return found
