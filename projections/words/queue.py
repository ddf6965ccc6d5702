"""Words and subject of the events of a queue."""

from typing import assert_never

from domain.deployment.queue import (
    DeploymentAdmitted,
    DeploymentClosed,
    DeploymentFrozen,
    DeploymentMerged,
    DeploymentMoved,
    DeploymentRequested,
    DeploymentThawed,
    FreezeIgnored,
    QueueEvent,
)
from projections.words.subject import EventWords


def queue_event_words(number: int, event: QueueEvent) -> EventWords:
    """Describe *event* of the deployment with that number."""
    match event:
        case DeploymentRequested(undoes=int()):
            return EventWords(f"deployment {number} put into the queue, before those that wait")
        case DeploymentRequested(deletes_volumes=True):
            return EventWords(f"deployment {number} put into the queue; it deletes volumes, too")
        case DeploymentRequested():
            return EventWords(f"deployment {number} put into the queue")
        case DeploymentMerged():
            return EventWords(f"deployment {number} requested once more while it waits: one deployment for both")
        case DeploymentAdmitted():
            return EventWords(f"deployment {number}: its turn has come")
        case DeploymentFrozen(until=until):
            return EventWords(f"deployment {number} held by a freeze until {until:%Y-%m-%d %H:%M} UTC")
        case DeploymentThawed():
            return EventWords(f"deployment {number} no longer held: the freeze is over")
        case FreezeIgnored(until=until):
            return EventWords(f"deployment {number} requested in spite of the freeze until {until:%Y-%m-%d %H:%M} UTC")
        case DeploymentMoved(position=position):
            return EventWords(f"deployment {number} moved to place {position} of those that wait")
        case DeploymentClosed():
            return EventWords(f"deployment {number} left the queue")
        case _:
            assert_never(event)
