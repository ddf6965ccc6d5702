"""An environment's queue: its events in words, and the deployments in it at any version."""

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
from projections.event import EventView
from projections.words.queue import queue_event_words
from store.log import EventLog, RecordedEvent

BATCH = 100
"""Events that are read at once."""


class QueueStory:
    """Describes the events of one queue in order; *numbers* are those of the deployments that are in it before."""

    def __init__(self, numbers: dict[DeploymentId, int]) -> None:
        self._numbers = numbers

    def describe(self, recorded: RecordedEvent) -> EventView:
        """Describe the next event."""
        event = cast("QueueEvent", recorded.event)
        if isinstance(event, DeploymentRequested):
            self._numbers[event.deployment] = event.number
        number = self._numbers[event.deployment]
        if isinstance(event, DeploymentClosed):
            del self._numbers[event.deployment]
        words = queue_event_words(number, event)
        return EventView(recorded=recorded, message=words.message, subject=words.subject, number=number)


async def open_at(log: EventLog, queue: UUID, version: int) -> dict[DeploymentId, int]:
    """Return the numbers of the deployments that were in the stream *queue* at *version*.

    The queue is first come, first served: all deployments requested before the one admitted last are over. So the
    stream is read backwards, up to the request of that deployment.
    """
    found: dict[DeploymentId, int] = {}
    closed: set[DeploymentId] = set()
    admitted: DeploymentId | None = None
    while version > 0:
        for recorded in reversed(await log.events(queue, after=max(0, version - BATCH), until=version)):
            event = cast("QueueEvent", recorded)
            match event:
                case DeploymentClosed(deployment=deployment):
                    closed.add(deployment)
                case DeploymentAdmitted(deployment=deployment):
                    admitted = admitted or deployment
                case DeploymentRequested(deployment=deployment, number=number):
                    if deployment not in closed:
                        found[deployment] = number
                    if deployment == admitted:
                        return found
                case DeploymentMerged():
                    pass
                case _:
                    assert_never(event)
        version -= BATCH
    return found
